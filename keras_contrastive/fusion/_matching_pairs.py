"""Pairs for image-text matching: negatives of a batch, and means over all replicas."""

from keras import ops

from keras_contrastive._engine import MISSING_ID, Batch
from keras_contrastive._typing import Tensor
from keras_contrastive.fusion._matching import ImageTextMatching


def complete_rows(batch: Batch) -> Tensor:
    """Returns which rows have an image and a text, bool `(batch,)`."""
    complete = batch.complete("image", "text")
    return ops.ones_like(batch.rows) > 0 if complete is None else complete


def draw_negatives(
    matching: ImageTextMatching,
    batch: Batch,
    anchors: str,
    candidates: str,
    scale: Tensor,
    direction: int,
    training: bool,
) -> tuple[Tensor, Tensor]:
    """Draws a negative for each anchor from the rows of all replicas.

    Args:
        matching: Draws in proportion to the softmax of the logits.
        batch: The batch as the loss compares it.
        anchors: Name of a modality.
        candidates: Name of the other modality.
        scale: Scalar, the scale of the logits.
        direction: Number of the direction. Directions draw independently.
        training: Whether this is a training step. An evaluation always draws the same.

    Returns:
        `(rows, has_negative)`: positions in the global batch, int32 `(batch,)`, and bool
        `(batch,)`.
    """
    # Rows that lack a modality are never drawn.
    ids = ops.where(complete_rows(batch), batch.row_ids, MISSING_ID)
    return matching.draw(
        batch.views[anchors] * scale,
        batch.gather(batch.views[candidates]),
        batch.row_ids,
        batch.gather(ids),
        batch.rows,
        direction,
        training,
    )


def take_rows(batch: Batch, x: Tensor, rows: Tensor) -> Tensor:
    """Returns rows of the global batch for a tensor of local rows."""
    return ops.take(batch.gather(x), rows, axis=0)


def matching_terms(
    matching: ImageTextMatching,
    batch: Batch,
    logits: Tensor,
    has_text: Tensor,
    has_image: Tensor,
) -> dict[str, Tensor]:
    """Computes the matching loss and accuracy of the global batch.

    Args:
        matching: The matching layer.
        batch: The batch.
        logits: `(3 * batch, 2)`: of the rows, of their images with drawn texts, and of their texts
            with drawn images.
        has_text: Bool `(batch,)`, whether a negative text exists.
        has_image: Bool `(batch,)`, whether a negative image exists.
    """
    complete = complete_rows(batch)
    exists = [ops.logical_and(complete, has_text), ops.logical_and(complete, has_image)]
    exists = ops.stack([complete, *exists], axis=1)  # (batch, 3)
    no_match = ops.zeros_like(complete)
    is_match = ops.concatenate([complete, no_match, no_match])
    losses = matching.cross_entropy(logits, is_match)
    correct = ops.cast(ops.equal(logits[:, 1] > logits[:, 0], is_match), losses.dtype)
    losses, correct = (ops.transpose(ops.reshape(x, (3, -1))) for x in (losses, correct))
    return {
        "matching_accuracy": mean_where(batch, correct, exists),
        "matching": mean_where(batch, losses, exists, weighted=True),
    }


def mean_where(batch: Batch, values: Tensor, mask: Tensor, weighted: bool = False) -> Tensor:
    """Computes a mean over the rows of all replicas. It is 0 if the mask is False everywhere.

    Args:
        batch: The batch.
        values: `(batch, pairs)`.
        mask: Bool `(batch, pairs)`.
        weighted: Whether rows have their sample weights.
    """
    mask = ops.cast(mask, values.dtype)
    totals, counts = ops.sum(values * mask, axis=1), ops.sum(mask, axis=1)
    return ratio_of_sums(batch, totals, counts, weighted)


def ratio_of_sums(batch: Batch, totals: Tensor, counts: Tensor, weighted: bool = True) -> Tensor:
    """Computes the sum of the totals over the sum of the counts, of all replicas.

    Args:
        batch: The batch.
        totals: `(batch,)`.
        counts: `(batch,)`. If their sum is 0, the result is 0.
        weighted: Whether totals have the sample weights of their rows.
    """
    if weighted and batch.sample_weight is not None:
        totals = totals * ops.cast(batch.sample_weight, totals.dtype)
    return ops.sum(batch.gather(totals)) / ops.maximum(ops.sum(batch.gather(counts)), 1)
