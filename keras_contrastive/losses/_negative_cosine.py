"""NegativeCosine, the loss of SimSiam and BYOL."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import Batch, Candidates, Contrast
from keras_contrastive._typing import Reduction, Tensor
from keras_contrastive.losses._arguments import check_no_hard_negatives
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class NegativeCosine(ContrastiveLoss):
    """Computes the negative cosine similarity of each anchor and its positive.

    Nothing keeps embeddings apart, so equal embeddings of all rows have the lowest loss. Use it
    in a trainer with `predictors`, which does not train the positives: with a `teacher` it is
    BYOL, and without one SimSiam. Monitor `kc.metrics.EffectiveRank`, which falls to 1 if
    embeddings become equal.

    BYOL and SimSiam need no negatives and so work in small batches, but depend on batch
    normalization in the projector and the predictor. Losses with negatives, such as `NTXent`, are
    easier to train.

    Args:
        symmetric: Whether both views of a pair are anchors in turn, or only the first view.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. There are no `hard_negatives`.

    Returns:
        Loss in [-1, 1], without a unit. The loss of BYOL is twice this value plus 2. It is 0 for an
        anchor without a positive.

    Raises:
        ValueError: See `ContrastiveLoss`.

    Reference:
        - [Chen & He, 2021](https://arxiv.org/abs/2011.10566), Eq. 1, SimSiam.
        - [Grill et al., 2020](https://arxiv.org/abs/2006.07733), Eq. 2, BYOL.

    Example:

    >>> a, b = keras.ops.array([[3.0, 0.0]]), keras.ops.array([[1.0, 1.0]])
    >>> round(float(NegativeCosine()(None, (a, b))), 4)
    -0.7071
    """

    fixed_arguments = ("temperature", "normalize", "memory")

    def __init__(
        self,
        *,
        symmetric: bool = True,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(1.0, symmetric=symmetric, reduction=reduction, name=name, dtype=dtype)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        if not contrast.has_single_positives:
            return -contrast.positive_logit  # 0 for a row without another row of its label
        views = contrast.batch.views
        # `positive_logit` would compute the logits of all pairs as well.
        products = [ops.sum(views[a] * views[b], axis=1) for a, b in contrast.directions]
        losses = -ops.stack(products, axis=1)
        complete = contrast.complete
        return losses if complete is None else ops.where(complete, losses, ops.zeros_like(losses))

    def _extra_candidates(self, hard_negatives: Any, batch: Batch) -> dict[str, list[Candidates]]:
        check_no_hard_negatives("NegativeCosine", hard_negatives)
        return {}
