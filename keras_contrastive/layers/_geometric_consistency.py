"""Geometric consistency: the modalities, and their augmented views, lie alike."""

import itertools

import keras
from keras import ops

from keras_contrastive._engine import squared_differences
from keras_contrastive.layers._view_regularizer import ViewRegularizer, joint, masked_mean


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GeometricConsistency(ViewRegularizer):
    """Asks that similarities be the same, whichever modality or augmented view they are measured in.

    An image and a text of another item should be as similar as the text of the first and the image of the other
    (`cross_modal`), two images as similar as their texts (`in_modal`), and all this should survive augmentation. Unlike
    pulling each pair onto one point, it constrains how items lie, not where: a modality may keep what it alone knows.

    | term | sum over | of the squared |
    | --- | --- | --- |
    | `cross_modal` | pairs of items | <V_j, T_k> - <V_k, T_j> |
    | `in_modal` | pairs of items | <V_j, V_k> - <T_j, T_k> |
    | `augmented` | pairs of items, in each augmented modality | <V_j, V_k> - <V'_j, V'_k> |
    | `augmented_pairs` | items | <V_j, T_j> - <V'_j, T'_j> |

    The first two are (P2-15), L_GC of the paper, the others (P2-16), L_GC of the augmented views; `CyCLIP` is
    `GeometricConsistency(0.25, 0.25, 0, 0)`. Similarities carry no temperature. Each sum is divided by the number of
    items, as in the paper, so that the first three grow with the batch; `per_pair=True` divides them by the
    square of it instead. With more than two modalities, terms between two modalities are the mean over all pairs of
    modalities, and `augmented` is the sum over the augmented ones. In `augmented_pairs`, the plain view stands in where
    only one of two modalities is augmented.

    No `(batch, batch)` matrix is made: see `keras_contrastive._engine.squared_differences`, which the first three
    terms are two values of, of (V, T) and of (V, V').

    Args:
        cross_modal: Non-negative float, weight of the term.
        in_modal: The same.
        augmented: The same; the term is 0 where no view is augmented.
        augmented_pairs: The same.
        per_pair: Whether to divide by the number of pairs of items, so that the value does not grow with the batch.
        weight: Non-negative float, multiplies the whole penalty.
        normalize: Whether the views are projected onto the unit sphere first, as the paper does.
        **kwargs: See `keras.layers.Layer`.

    Call arguments: see `ViewRegularizer`. Items that lack one of two modalities take no part in what compares these.

    Reference:
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 4.3.
        - [Goel et al., 2022](https://arxiv.org/abs/2205.14459), CyCLIP.

    Example:

    >>> layer = GeometricConsistency()
    >>> image = keras.ops.array([[1.0, 0.0], [0.0, 1.0]])
    >>> float(layer.penalty({"image": image, "text": image}))
    0.0
    >>> float(layer.penalty({"image": image, "text": keras.ops.flip(image, axis=0)}))  # all similarities are as before
    0.0
    >>> text = keras.ops.array([[1.0, 0.0], [1.0, 0.0]])
    >>> float(layer.penalty({"image": image, "text": text}))  # two texts coincide, and two images do not
    2.0
    """

    def __init__(
        self,
        cross_modal=1.0,
        in_modal=1.0,
        augmented=1.0,
        augmented_pairs=1.0,
        per_pair=False,
        weight=1.0,
        normalize=True,
        **kwargs,
    ):
        self.cross_modal, self.in_modal = cross_modal, in_modal
        self.augmented, self.augmented_pairs = augmented, augmented_pairs
        weights = {
            "cross_modal": cross_modal,
            "in_modal": in_modal,
            "augmented": augmented,
            "augmented_pairs": augmented_pairs,
        }
        super().__init__(weights, weight, normalize, **kwargs)
        self.per_pair = per_pair

    def terms(self, modalities, ids=None, training=None):
        nothing = ops.zeros((), dtype="float32")
        cross_modal, in_modal, augmented_pairs = [], [], []
        for a, b in itertools.combinations(modalities, 2):
            present = joint(a.present, b.present)
            if {"cross_modal", "in_modal"} & set(self.term_weights):
                within, across = self._differences(a.plain, b.plain, present)
                in_modal.append(within)
                cross_modal.append(across)
            if "augmented_pairs" in self.term_weights and not (
                a.augmented is None and b.augmented is None
            ):
                new_a, new_b = (m.plain if m.augmented is None else m.augmented for m in (a, b))
                # <V, T> - <V', T'> without the difference of two products that may be almost equal
                changed = (a.plain - new_a) * b.plain + new_a * (b.plain - new_b)
                augmented_pairs.append(masked_mean(ops.square(ops.sum(changed, axis=1)), present))
        augmented = [nothing]
        if "augmented" in self.term_weights:
            augmented += [
                self._differences(m.plain, m.augmented, m.present)[0]
                for m in modalities
                if m.augmented is not None
            ]
        terms = {
            "cross_modal": _mean(cross_modal, nothing),
            "in_modal": _mean(in_modal, nothing),
            "augmented": sum(augmented),
            "augmented_pairs": _mean(augmented_pairs, nothing),
        }
        return {name: terms[name] for name in self.term_weights}

    def _differences(self, a, b, present):
        if present is None:
            num_items = ops.cast(ops.shape(a)[0], a.dtype)
        else:
            present = ops.cast(present, a.dtype)
            num_items = ops.maximum(ops.sum(present), 1)
            a, b = a * ops.expand_dims(present, 1), b * ops.expand_dims(present, 1)
        within, across = squared_differences(a, b)
        divisor = ops.square(num_items) if self.per_pair else num_items
        return within / divisor, across / divisor

    def get_config(self):
        return {
            **super().get_config(),
            "cross_modal": self.cross_modal,
            "in_modal": self.in_modal,
            "augmented": self.augmented,
            "augmented_pairs": self.augmented_pairs,
            "per_pair": self.per_pair,
        }


def _mean(values, nothing):
    return sum(values) / len(values) if values else nothing
