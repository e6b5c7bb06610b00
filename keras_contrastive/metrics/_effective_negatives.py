"""The number of negatives that share the gradient of an anchor."""

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, Contrast
from keras_contrastive._typing import Config, Tensor
from keras_contrastive.metrics._pair_metric import PairMetric, directions_of, rows_that_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EffectiveNegatives(PairMetric):
    """Computes the effective number of negatives: exp of the entropy of their softmax.

    The gradient of a contrastive loss weighs the negatives of an anchor by the softmax of their
    logits. A value close to 1 means that one negative has almost all of the weight: the temperature
    is low, or the batch has duplicates. A value close to the number of negatives means that all
    count equally: the temperature is high, or the model is untrained or collapsed. Neither is
    better, so a callback that monitors this metric needs a `mode`.

    Views, ids and negatives are those of `HardestNegative`. Negatives of a queue do not count. The
    value grows with the batch. The metric costs two passes over the tiles of the logits, and no
    `(batch, batch)` tensor.

    Args:
        temperature: Positive float, or `None` for the current temperature of the loss, which
            `ContrastiveTrainer` passes. With one temperature per direction, it is that of the mean
            of 1 / temperature.
        name: See `keras.metrics.Metric`.
        dtype: Dtype of the result.

    Call arguments of `update_state`: `y_true` and `y_pred` as in `ContrastiveLoss`, `sample_weight`
    `(batch,)`. A row with weight zero is neither an anchor nor a negative.

    Returns:
        A number from 1 to the number of negatives. Anchors without a negative do not count. 0
        before the first negative. NaN if an embedding is NaN.

    Raises:
        TypeError: If `temperature` is neither `None` nor a number.
        ValueError: If `temperature` is not positive, or it is `None` outside of
            `ContrastiveTrainer`.

    Example:

    >>> metric = EffectiveNegatives(temperature=0.1)
    >>> views = [keras.ops.eye(4), keras.ops.eye(4)]
    >>> metric.update_state(None, views)
    >>> round(float(metric.result()), 4)  # three negatives with equal similarities
    3.0
    """

    uses_scale = True

    def __init__(
        self,
        temperature: float | None = None,
        name: str = "effective_negatives",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if temperature is not None:
            expected = "`None` or a positive, finite number"
            temperature = _checks.divisor("temperature", temperature, expected)
        self.temperature = temperature

    def per_anchor(self, batch: Batch, scale: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.temperature is not None:
            scale = ops.convert_to_tensor(1 / self.temperature, dtype="float32")
        if scale is None:
            raise ValueError(
                "`temperature` must be a number outside of `ContrastiveTrainer`, which passes that "
                "of its loss. Received: temperature=None. Use `EffectiveNegatives(0.07)`."
            )
        scale = ops.stop_gradient(ops.mean(ops.cast(scale, "float32")))
        directions = directions_of(batch) if len(batch.views) > 1 else []
        contrast = Contrast(batch, directions, scale)
        entropy = contrast.log_sum_negatives - contrast.expected_logit()
        counts = ops.expand_dims(rows_that_count(batch), 1)
        return ops.exp(entropy), ops.logical_and(contrast.num_negatives > 0, counts)

    def get_config(self) -> Config:
        return {**super().get_config(), "temperature": self.temperature}
