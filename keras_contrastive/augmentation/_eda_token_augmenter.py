"""Easy data augmentation of token ids, in one layer."""

import keras
from keras import ops

from keras_contrastive.augmentation._base import keys_of_part
from keras_contrastive.augmentation._random_token_deletion import RandomTokenDeletion
from keras_contrastive.augmentation._random_token_insertion import RandomTokenInsertion
from keras_contrastive.augmentation._random_token_masking import RandomTokenMasking
from keras_contrastive.augmentation._random_token_replacement import RandomTokenReplacement
from keras_contrastive.augmentation._random_token_swap import RandomTokenSwap
from keras_contrastive.augmentation._synonym_table import SynonymTable
from keras_contrastive.augmentation._token_augmenter import (
    TokenAugmenter,
    as_id,
    draw_below,
    draw_columns,
)

_OPERATIONS = ("replacement", "insertion", "swap", "deletion", "masking")


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EDATokenAugmenter(TokenAugmenter):
    """Changes each row of token ids by one operation, drawn at random: easy data augmentation on the device.

    Give it to `ContrastiveTrainer(encoders=..., augmenters={"text": EDATokenAugmenter()})`. On strings, outside the
    model, there is `EDA`. See `TokenAugmenter` for what the layer takes and returns.

    Where the paper replaces `max(1, alpha * length)` words, here each token that has synonyms is replaced with
    probability `alpha`, as each is deleted in both. Masking is not in the paper.

    Args:
        alpha: In `(0, 1)`, the share of a row's tokens that is changed: the rate of replacement, deletion and masking,
            and the share that is swapped or inserted (at least one).
        table: `None`, or a dict from a token id to the list of ids that may stand for it.
        mask_id: `None`, or the id of `[MASK]`.
        operations: Some of `"replacement"`, `"insertion"` (which need `table`), `"swap"`, `"deletion"` and `"masking"`
            (which needs `mask_id`), each with equal chance. `None` takes all for which there is what they need.
        padding_id: Integer, the id after the last token of a row.
        kept_ids: Integers, ids that are never touched, such as those of `[CLS]` and `[SEP]`.
        seed: Integer or `None`; see `Augmenter`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: A `table` that is no such dict, a `mask_id` that is not an integer.
        ValueError: `alpha` outside `(0, 1)`, operations that are unknown or lack what they need.

    Reference:
        - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196), Sec. 2; alpha = 0.1 is their advice.

    Example:

    >>> layer = EDATokenAugmenter(alpha=0.3, kept_ids=(101, 102), seed=0)
    >>> ids = np.array([[101, 7, 8, 9, 102, 0]] * 2)
    >>> keras.ops.convert_to_numpy(layer(ids, training=True)).tolist()
    [[101, 7, 8, 102, 0, 0], [101, 9, 8, 7, 102, 0]]
    """

    def __init__(
        self,
        alpha=0.1,
        table=None,
        mask_id=None,
        operations=None,
        padding_id=0,
        kept_ids=(),
        seed=None,
        **kwargs,
    ):
        super().__init__(padding_id=padding_id, kept_ids=kept_ids, seed=seed, **kwargs)
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 1:
            raise ValueError(
                f"`alpha` must be in (0, 1), the share of the tokens. Received: alpha={alpha!r}."
            )
        self.alpha = float(alpha)
        self._table = None if table is None else SynonymTable(table)
        self.mask_id = None if mask_id is None else as_id("mask_id", mask_id)
        lacking = {
            "replacement": table is None,
            "insertion": table is None,
            "masking": mask_id is None,
        }
        if operations is None:
            operations = [name for name in _OPERATIONS if not lacking.get(name)]
        check_operations(operations, _OPERATIONS, lacking, "`table`, or `mask_id` for masking")
        self.operations = tuple(operations)
        self._parts = [self._part(name) for name in self.operations]

    def _part(self, name):
        table = self._table and self._table.pairs
        common = {"padding_id": self.padding_id, "kept_ids": self.kept_ids, "seed": self.seed}
        if name == "replacement":
            return RandomTokenReplacement(table, self.alpha, **common)
        if name == "insertion":
            return RandomTokenInsertion(table, self.alpha, **common)
        if name == "masking":
            return RandomTokenMasking(self.mask_id, self.alpha, **common)
        return {"swap": RandomTokenSwap, "deletion": RandomTokenDeletion}[name](
            self.alpha, **common
        )

    def augment(self, ids, keys):
        (draw,) = draw_columns(keys_of_part(keys, "choice"), 1)
        choice = draw_below(draw, len(self._parts))
        views = ids
        for place, part in enumerate(self._parts):
            views = ops.where(choice == place, part.augment(ids, keys_of_part(keys, place)), views)
        return views

    def get_config(self):
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "table": self._table and self._table.get_config(),
            "mask_id": self.mask_id,
            "operations": self.operations,
        }


def check_operations(operations, known, lacking, needs):
    """Refuse operations that are unknown, repeated or none, or lack what they need."""
    listed = isinstance(operations, (list, tuple))
    if (
        not listed
        or not operations
        or not set(operations) <= set(known)
        or len(set(operations)) < len(operations)
    ):
        raise ValueError(
            f"`operations` must be a list of some of {', '.join(known)}, each once. "
            f"Received: operations={operations!r}."
        )
    missing = [name for name in operations if lacking.get(name)]
    if missing:
        raise ValueError(
            f"`operations` has {', '.join(missing)}, which needs {needs}. Received none."
        )
