"""Embeddings by modality, as regularizers use them, and means over present rows."""

import dataclasses

from keras import ops

from keras_contrastive._engine import Batch, zero_where_missing
from keras_contrastive._typing import Tensor
from keras_contrastive._view_names import AUGMENTED, INDEPENDENT, modality_name


@dataclasses.dataclass(frozen=True)
class Modality:
    """Holds the embeddings of one modality.

    Args:
        name: Name of the modality.
        plain: Float tensor `(batch, dim)`, embeddings of the plain view. They have unit length if
            the regularizer normalizes.
        augmented: Embeddings of the augmented view, of the same shape, or `None`.
        independent: Independent features of the plain view, or `None`. See `DeepFeatureSeparation`.
        independent_augmented: Independent features of the augmented view, or `None`.
        present: Bool `(batch,)`, False where an item lacks the modality. `None` if no item lacks
            it. The embeddings of a row that lacks the modality are zero.
    """

    name: str
    plain: Tensor
    augmented: Tensor | None = None
    independent: Tensor | None = None
    independent_augmented: Tensor | None = None
    present: Tensor | None = None


def modalities_of(batch: Batch) -> list[Modality]:
    """Groups the views of a batch by modality."""
    views = batch.views
    return [
        Modality(
            name,
            views[name],
            views.get(name + AUGMENTED),
            views.get(name + INDEPENDENT),
            views.get(name + AUGMENTED + INDEPENDENT),
            batch.present.get(name),
        )
        for name in views
        if name == modality_name(name)
    ]


def without_missing_rows(views: dict[str, Tensor], present: dict[str, Tensor]) -> dict[str, Tensor]:
    """Replaces rows that lack their modality by zeros, so that not even NaN has an influence."""
    return {
        name: zero_where_missing(view, present.get(modality_name(name)))
        for name, view in views.items()
    }


def all_present(*masks: Tensor | None) -> Tensor | None:
    """Returns where all masks are True. `None` stands for a mask without False."""
    result = None
    for mask in masks:
        if mask is not None:
            result = mask if result is None else ops.logical_and(result, mask)
    return result


def mean_over_present(values: Tensor, *masks: Tensor | None) -> Tensor:
    """Returns the mean of `values` where all masks are True, or 0 without such rows."""
    present = all_present(*masks)
    if present is None:
        return ops.mean(values)
    count = ops.sum(ops.cast(present, values.dtype))
    return ops.sum(ops.where(present, values, ops.zeros_like(values))) / ops.maximum(count, 1)
