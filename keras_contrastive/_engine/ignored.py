"""Thresholds of the negatives that are too similar to count."""

from collections.abc import Mapping, Sequence
from typing import Literal

from keras import ops

from keras_contrastive._engine.numerics import LOWEST
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


def thresholds_of_guides(
    margin: Margin, guides: Mapping[str, Tensor], directions: Sequence[tuple[str, str]]
) -> Tensor:
    """Returns the similarity of guides above which an anchor ignores a candidate.

    An anchor whose guide is zero, such as one without that modality, ignores nothing.

    Args:
        margin: See `thresholds_of`.
        guides: Guides of unit length or zero, by view, `(batch, guide_dim)`.
        directions: Pairs of the view of anchors and that of candidates.
    """
    products = [ops.sum(guides[a] * guides[b], axis=1) for a, b in directions]
    has_guide = [ops.any(guides[a] != 0, axis=1) for a, _ in directions]
    thresholds = thresholds_of(margin, ops.stack(products, axis=1), 1.0)
    return ops.where(ops.stack(has_guide, axis=1), thresholds, -LOWEST)
