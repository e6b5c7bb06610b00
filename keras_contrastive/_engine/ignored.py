"""Thresholds of the negatives that are too similar to count."""

from typing import Literal

from keras import ops

from keras_contrastive._typing import Tensor

Margin = tuple[Literal["absolute", "relative"], float]


def thresholds_of(margin: Margin, positive: Tensor, scale: Tensor) -> Tensor:
    """Returns the similarity above which an anchor ignores a candidate, without a gradient.

    Args:
        margin: How far below the similarity s of the positive: `("absolute", m)` for s - m, or
            `("relative", m)` for s - m |s|.
        positive: Similarity of the positive times `scale`, `(batch, directions)`.
        scale: Factor of the similarities: a scalar, `(directions,)`, or `(batch, directions)`.
    """
    kind, size = margin
    below = ops.abs(positive) if kind == "relative" else scale
    return ops.stop_gradient(positive - size * below)
