"""Candidates from outside of the batch, and the ids that are not ids of items."""

import dataclasses

from keras import ops

from keras_contrastive._typing import Tensor

# Items have ids from 0 on.
NO_ITEM_ID = -1  # a candidate that is a positive of no anchor
MISSING_ID = -2  # a candidate that does not exist
FIRST_PRIVATE_ID = -3  # ids <= -3 mark anchors without an id; no candidate has them


@dataclasses.dataclass(frozen=True, eq=False)
class Candidates:
    """Candidates that are not rows of the batch, such as hard negatives or a queue.

    Args:
        embeddings: Float `(candidates, dim)`.
        ids: int32 `(candidates,)`, or `None` if none of them is a positive. Inside of this package,
            `NO_ITEM_ID` marks a candidate that is always a negative, `MISSING_ID` one that does not
            exist.
        only_negatives: Whether an anchor leaves out candidates with its id. If False, they are its
            positives in a loss that has several.
        log_weights: `None`, or float `(candidates,)`, added to the logits with these candidates.
        guide: `None`, or float `(candidates, guide_dim)`, embeddings that decide which of them an
            anchor ignores. See `kc.extend.ContrastiveLoss`.
    """

    embeddings: Tensor
    ids: Tensor | None = None
    only_negatives: bool = False
    log_weights: Tensor | None = None
    guide: Tensor | None = None


def exists(candidates: Candidates) -> Tensor:
    """Returns which of these candidates exist, bool `(candidates,)`."""
    if candidates.ids is None:
        return ops.ones_like(candidates.embeddings[:, 0]) > 0
    return candidates.ids != MISSING_ID
