"""Easy data augmentation of token ids, in one layer."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_contrastive._checks import integer, real
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.augmentation._base import draw_columns, part_keys
from keras_contrastive.augmentation._random_token_deletion import RandomTokenDeletion
from keras_contrastive.augmentation._random_token_insertion import RandomTokenInsertion
from keras_contrastive.augmentation._random_token_masking import RandomTokenMasking
from keras_contrastive.augmentation._random_token_replacement import RandomTokenReplacement
from keras_contrastive.augmentation._random_token_swap import RandomTokenSwap
from keras_contrastive.augmentation._synonym_table import Synonyms, SynonymTable
from keras_contrastive.augmentation._token_augmenter import TokenAugmenter, draw_below

Operation = Literal["replacement", "insertion", "swap", "deletion", "masking"]

OPERATIONS: tuple[Operation, ...] = ("replacement", "insertion", "swap", "deletion", "masking")


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EDATokenAugmenter(TokenAugmenter):
    """Changes each row of token ids by one random operation: easy data augmentation (EDA).

    Use it as `ContrastiveTrainer(encoders=..., augmenters={"text": EDATokenAugmenter()})`. For
    strings, use `EDA` in the data pipeline. See `TokenAugmenter` for inputs and outputs.

    The paper replaces `max(1, alpha * length)` words. This layer replaces each token that has
    synonyms with probability `alpha`, as both delete tokens. Masking is not in the paper.

    Args:
        alpha: Float in (0, 1), the fraction of changed tokens. It is the rate of replacement,
            deletion and masking, and the fraction of swaps and insertions (at least one).
        table: `None`, or a dict from token ids to lists of token ids, their synonyms.
        mask_id: `None`, or the id of `[MASK]`.
        operations: Some of `"replacement"` and `"insertion"` (both need `table`), `"swap"`,
            `"deletion"` and `"masking"` (needs `mask_id`). All are equally likely. `None` selects
            all operations whose arguments are set.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never changed, such as those of `[CLS]` and `[SEP]`.
        seed: Integer or `None`. See `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If `table` is not such a dict or `mask_id` is not an integer.
        ValueError: If `alpha` is outside (0, 1), or if operations are unknown or lack an argument.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2. They recommend alpha = 0.1.

    Example:

    >>> layer = EDATokenAugmenter(alpha=0.3, kept_ids=(101, 102), seed=0)
    >>> ids = np.array([[101, 7, 8, 9, 102, 0]] * 2)
    >>> keras.ops.convert_to_numpy(layer(ids, training=True)).tolist()
    [[101, 7, 8, 102, 0, 0], [101, 9, 8, 7, 102, 0]]
    """

    def __init__(
        self,
        alpha: float = 0.1,
        table: Synonyms | None = None,
        mask_id: int | None = None,
        operations: Sequence[Operation] | None = None,
        padding_id: int = 0,
        kept_ids: Iterable[int] = (),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        self.alpha = as_alpha(alpha)
        self._table = None if table is None else SynonymTable(table)
        self.mask_id = None if mask_id is None else integer("mask_id", mask_id)
        missing = dict.fromkeys(("replacement", "insertion"), "table") if table is None else {}
        if mask_id is None:
            missing["masking"] = "mask_id"
        if operations is None:
            operations = [name for name in OPERATIONS if name not in missing]
        check_operations(operations, missing)
        self.operations = tuple(operations)
        self._parts = [self._make_part(name) for name in self.operations]

    def _make_part(self, name: str) -> TokenAugmenter:
        common: dict[str, Any] = {
            "padding_id": self.padding_id,
            "kept_ids": self.kept_ids,
            "seed": self.seed,
        }
        if name == "replacement" and self._table is not None:
            return RandomTokenReplacement(self._table.pairs, self.alpha, **common)
        if name == "insertion" and self._table is not None:
            return RandomTokenInsertion(self._table.pairs, self.alpha, **common)
        if name == "masking" and self.mask_id is not None:
            return RandomTokenMasking(self.mask_id, self.alpha, **common)
        if name == "swap":
            return RandomTokenSwap(self.alpha, **common)
        return RandomTokenDeletion(self.alpha, **common)

    def augment(self, ids: Tensor, keys: Tensor) -> Tensor:
        (operation_draw,) = draw_columns(part_keys(keys, "choice"), 1)
        choice = draw_below(operation_draw, len(self._parts))
        views = ids
        for number, part in enumerate(self._parts):
            view = part.augment(ids, part_keys(keys, number))
            views = ops.where(choice == number, view, views)
        return views

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "table": None if self._table is None else self._table.get_config(),
            "mask_id": self.mask_id,
            "operations": self.operations,
        }


def as_alpha(alpha: Any) -> float:
    """Returns the fraction of changed tokens, a float in (0, 1)."""
    return real("alpha", alpha, 0, 1, include_low=False, include_high=False)


def check_operations(operations: Any, missing: dict[str, str]) -> None:
    """Raises a `ValueError` if operations are unknown, repeated, empty, or lack an argument.

    Args:
        operations: Names of operations.
        missing: Maps operations that cannot be used to the argument that they need.
    """
    names: Collection[Any] = operations if isinstance(operations, (list, tuple)) else ()
    if not names or not set(names) <= set(OPERATIONS) or len(set(names)) < len(names):
        raise ValueError(
            f"`operations` must be a list of some of {', '.join(OPERATIONS)}, each once. "
            f"Received: operations={operations!r}."
        )
    for name in names:
        if name in missing:
            raise ValueError(
                f"`operations` must not contain {name!r} without `{missing[name]}`. "
                f"Received: operations={operations!r}, {missing[name]}=None. Pass "
                f"`{missing[name]}`."
            )
