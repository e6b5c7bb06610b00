"""Geometric consistency of modalities and of their augmented views."""

import itertools
from typing import Unpack

import keras
from keras import ops

from keras_contrastive._engine import squared_differences
from keras_contrastive._typing import Config, LayerArguments, Tensor
from keras_contrastive.layers._modality import Modality, all_present, mean_over_present
from keras_contrastive.layers._view_regularizer import ViewRegularizer


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GeometricConsistency(ViewRegularizer):
    """Penalizes differences between the similarities in different modalities and augmented views.

    It constrains how items lie to each other, not where they lie. So a modality may keep
    information that the other modalities lack. With V and T the embeddings of two modalities, and
    V' and T' those of their augmented views, the terms are:

    | term | sum over | squared difference |
    | --- | --- | --- |
    | `cross_modal` | pairs of items | <V_j, T_k> - <V_k, T_j> |
    | `in_modal` | pairs of items | <V_j, V_k> - <T_j, T_k> |
    | `augmented` | pairs of items, for each augmented modality | <V_j, V_k> - <V'_j, V'_k> |
    | `augmented_pairs` | items | <V_j, T_j> - <V'_j, T'_j> |

    The first two terms are the paper's L_GC, the other two its L_GC of augmented views. CyCLIP's
    penalty is `GeometricConsistency(0.25, 0.25, 0, 0)`. Similarities are not divided by a
    temperature.

    Each sum is divided by the number of items, as in the paper. So the first three terms grow with
    the batch. With `per_pair=True` they are divided by its square instead.

    With more than two modalities, terms between two modalities are means over all pairs of
    modalities. `augmented` is the sum over the augmented modalities. If only one of two modalities
    is augmented, `augmented_pairs` takes the plain view of the other one.

    Memory does not grow with batch².

    Args:
        cross_modal: Non-negative float, weight of the term.
        in_modal: Non-negative float, weight of the term.
        augmented: Non-negative float, weight of the term. The term is 0 without augmented views.
        augmented_pairs: Non-negative float, weight of the term. The term is 0 without augmented
            views.
        per_pair: Whether to divide by the number of pairs of items.
        weight: Non-negative float, multiplies the whole penalty.
        normalize: Whether to scale views to unit length first, as in the paper.
        **kwargs: See `keras.layers.Layer`.

    Call arguments: See `ViewRegularizer`. An item that lacks one of two modalities is left out of
    the terms between them.

    Raises:
        TypeError: See `ViewRegularizer`.
        ValueError: See `ViewRegularizer`.

    Reference:
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 4.3.
        - [Goel et al., 2022](https://arxiv.org/abs/2205.14459), CyCLIP.

    Example:

    >>> layer = GeometricConsistency()
    >>> image = keras.ops.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(layer.penalty({"image": image, "text": image}))
    0.0
    >>> same_similarities = keras.ops.flip(image, axis=0)
    >>> float(layer.penalty({"image": image, "text": same_similarities}))
    0.0
    >>> equal_texts = keras.ops.array([[1.0, 0.0], [1.0, 0.0]])
    >>> float(layer.penalty({"image": image, "text": equal_texts}))
    2.0
    """

    def __init__(
        self,
        cross_modal: float = 1.0,
        in_modal: float = 1.0,
        augmented: float = 1.0,
        augmented_pairs: float = 1.0,
        per_pair: bool = False,
        weight: float = 1.0,
        normalize: bool = True,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        weights = {
            "cross_modal": cross_modal,
            "in_modal": in_modal,
            "augmented": augmented,
            "augmented_pairs": augmented_pairs,
        }
        super().__init__(weights, weight, normalize, **kwargs)
        self.cross_modal, self.in_modal, self.augmented, self.augmented_pairs = map(
            float, weights.values()
        )
        self.per_pair = per_pair

    def terms(
        self, modalities: list[Modality], ids: Tensor | None = None, training: bool | None = None
    ) -> dict[str, Tensor]:
        pairs = list(itertools.combinations(modalities, 2))
        zero = ops.zeros((), dtype=modalities[0].plain.dtype)
        terms = {}
        if "cross_modal" in self.term_weights or "in_modal" in self.term_weights:
            differences = [
                self._differences(a.plain, b.plain, all_present(a.present, b.present))
                for a, b in pairs
            ]
            terms["in_modal"] = _mean([within for within, _ in differences], zero)
            terms["cross_modal"] = _mean([across for _, across in differences], zero)
        if "augmented" in self.term_weights:
            within_modalities = [
                self._differences(m.plain, m.augmented, m.present)[0]
                for m in modalities
                if m.augmented is not None
            ]
            terms["augmented"] = sum(within_modalities, start=zero)
        if "augmented_pairs" in self.term_weights:
            terms["augmented_pairs"] = _mean(
                [
                    _changes_of_pairs(a, b)
                    for a, b in pairs
                    if a.augmented is not None or b.augmented is not None
                ],
                zero,
            )
        return {name: terms[name] for name in self.term_weights}

    def _differences(self, a: Tensor, b: Tensor, present: Tensor | None) -> tuple[Tensor, Tensor]:
        """Returns the terms within and across two sets of rows."""
        if present is None:
            num_items = ops.cast(ops.shape(a)[0], a.dtype)
        else:
            mask = ops.cast(present, a.dtype)
            num_items = ops.maximum(ops.sum(mask), 1)
            a, b = a * ops.expand_dims(mask, 1), b * ops.expand_dims(mask, 1)
        within, across = squared_differences(a, b)
        divisor = ops.square(num_items) if self.per_pair else num_items
        return within / divisor, across / divisor

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "cross_modal": self.cross_modal,
            "in_modal": self.in_modal,
            "augmented": self.augmented,
            "augmented_pairs": self.augmented_pairs,
            "per_pair": self.per_pair,
        }


def _changes_of_pairs(a: Modality, b: Modality) -> Tensor:
    """Returns the mean of (<V_j, T_j> - <V'_j, T'_j>)²."""
    new_a = a.plain if a.augmented is None else a.augmented
    new_b = b.plain if b.augmented is None else b.augmented
    # The difference of two products that are almost equal would lose digits.
    changes = (a.plain - new_a) * b.plain + new_a * (b.plain - new_b)
    return mean_over_present(ops.square(ops.sum(changes, axis=1)), a.present, b.present)


def _mean(values: list[Tensor], zero: Tensor) -> Tensor:
    return sum(values) / len(values) if values else zero
