"""Masks of the pairs of anchors and candidates from outside of the batch."""

import dataclasses

from keras import ops

from keras_contrastive._engine.batch import Batch
from keras_contrastive._engine.candidates import FIRST_PRIVATE_ID, Candidates, exists
from keras_contrastive._engine.pair_masks import PairMasks


def masks_of_extra(batch: Batch, extra: Candidates, mask_same_ids: bool) -> PairMasks:
    """Returns which of the extra candidates count for which anchor, and how much.

    Args:
        batch: The batch of the anchors.
        extra: The candidates.
        mask_same_ids: See `DirectionSums.sum`.
    """
    masks = _id_masks(batch, extra, mask_same_ids)
    if extra.log_weights is None:
        return masks
    log_weights = ops.cast(extra.log_weights, extra.embeddings.dtype)
    return dataclasses.replace(masks, log_weights=(None, log_weights))


def _id_masks(batch: Batch, extra: Candidates, mask_same_ids: bool) -> PairMasks:
    if extra.ids is None:
        return PairMasks()
    # A pair with equal positions is left out. Here, all anchors have position 0, and so has a
    # candidate that does not exist.
    anchor_ids = batch.ids
    if anchor_ids is None:
        anchor_ids = ops.full_like(batch.rows, FIRST_PRIVATE_ID)
    if extra.only_negatives:
        return PairMasks(positions=(anchor_ids, extra.ids), present=(None, exists(extra)))
    positions = ops.zeros_like(batch.rows), ops.cast(exists(extra), "int32")
    if not mask_same_ids:
        return PairMasks(positions=positions)
    return PairMasks(ids=(anchor_ids, extra.ids), positions=positions)
