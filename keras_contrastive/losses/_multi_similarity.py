"""MultiSimilarity, a loss with soft sums over positives and over negatives."""

from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, LossArguments, Tensor
from keras_contrastive.losses._arguments import without_temperature
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class MultiSimilarity(ContrastiveLoss):
    """Computes the multi-similarity loss, which weighs positives and negatives separately.

    Pass the labels as ids: `fit(x, labels)`. Positives are then the other rows with the anchor's
    label. With several views, the positive is the anchor's row in the other view. Similarities are
    compared with the threshold `base`: positives should be above it, negatives below.

    Use it for retrieval among many classes with few rows each, where its scale of similarities is
    wanted. `SupCon` has one temperature in place of three settings.

    Args:
        alpha: Positive float, the steepness for positives.
        beta: Positive float, the steepness for negatives.
        base: Float, the threshold of the similarities.
        **kwargs: See `ContrastiveLoss`. There is no `temperature`.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Loss in units of the similarity, at least 0. It is 0 for an anchor without positives or
        without negatives.

    Raises:
        TypeError: If an argument is not a number. See also `ContrastiveLoss`.
        ValueError: If `alpha` or `beta` is not positive, or `base` is not finite.

    Reference:
        - [Wang et al., 2019](https://arxiv.org/abs/1904.06627), Eq. 15, without the selection of
          pairs in Sec. 4.1.

    Example:

    >>> z = keras.ops.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> loss = MultiSimilarity(alpha=1.0, beta=1.0, base=0.0, reduction=None)
    >>> # log(1 + 1/e) for the positive, and log(2) for the negative.
    >>> [round(float(x), 4) for x in loss(np.array([7, 7, 8]), z)]
    [1.0064, 1.0064, 0.0]
    """

    fixed_arguments = ("temperature",)

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        base: float = 0.5,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(1.0, **without_temperature("MultiSimilarity", kwargs, "alpha` and `beta"))
        self.alpha = _checks.divisor("alpha", alpha)
        self.beta = _checks.divisor("beta", beta)
        self.base = _checks.real("base", base)

    def scale(self) -> Tensor:
        """Returns `beta`, the factor of the similarities of the negatives."""
        return ops.convert_to_tensor(self.beta, dtype=self.dtype)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        positives = contrast.log_sum_positives(-self.alpha) + self.alpha * self.base
        negatives = contrast.log_sum_negatives - self.beta * self.base
        losses = ops.softplus(positives) / self.alpha + ops.softplus(negatives) / self.beta
        return contrast.zero_where_invalid(losses)

    def get_config(self) -> Config:
        return {**super().get_config(), "alpha": self.alpha, "beta": self.beta, "base": self.base}
