"""Circle, a loss that weighs each similarity by its distance from an optimum."""

from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, LossArguments, Tensor
from keras_contrastive.losses._arguments import without_temperature
from keras_contrastive.losses._base import ContrastiveLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Circle(ContrastiveLoss):
    """Computes the circle loss, which pulls a pair the harder the farther it is from its optimum.

    Pass the labels as ids: `fit(x, labels)`. Positives are then the other rows with the anchor's
    label. With several views, the positive is the anchor's row in the other view. Positives should
    have similarities above `1 - margin`, negatives below `margin`.

    Use it for retrieval among many classes, such as products or persons, where one margin for
    positives and negatives is wanted. `MultiSimilarity` has three settings, `SupCon` a temperature.

    The values equal those of `keras.losses.Circle` for labels and embeddings of unit length. That
    class stores all similarities, and has another gradient, since it differentiates the weights.

    Args:
        gamma: Positive float, the scale of the similarities. The paper uses 80 for images, and 256
            for faces.
        margin: Float in `(0, 1)`. The paper uses 0.4 for images, and 0.25 for faces.
        **kwargs: See `ContrastiveLoss`. There is no `temperature`.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Loss, at least 0. It is 0 for an anchor without positives or without negatives.

    Raises:
        TypeError: If an argument is not a number. See also `ContrastiveLoss`.
        ValueError: If `gamma` is not positive, or `margin` is not in `(0, 1)`.

    Reference:
        - [Sun et al., 2020](https://arxiv.org/abs/2002.10857), Eq. 6 with the optima of Sec. 3.3.
          As in Eq. 10, the weights are constants in the gradient.

    Example:

    >>> z = keras.ops.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> loss = Circle(gamma=1.0, margin=0.5, reduction=None)
    >>> # softplus(1.5 * 0.5 - 0.5 * 0.5) for the first row, softplus(1.5 * 0.5 + 1.5 * 0.5).
    >>> [round(float(x), 4) for x in loss(np.array([7, 7, 8]), z)]
    [0.9741, 1.7014, 0.0]
    """

    fixed_arguments = ("temperature",)

    def __init__(
        self, gamma: float = 80.0, margin: float = 0.4, **kwargs: Unpack[LossArguments]
    ) -> None:
        super().__init__(1.0, **without_temperature("Circle", kwargs, "gamma"))
        self.gamma = _checks.divisor("gamma", gamma)
        self.margin = _checks.real("margin", margin, 0, 1, include_low=False, include_high=False)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        positives, negatives = contrast.circle_sums(self.gamma, self.margin)
        return contrast.zero_where_invalid(ops.softplus(positives + negatives))

    def get_config(self) -> Config:
        return {**super().get_config(), "gamma": self.gamma, "margin": self.margin}
