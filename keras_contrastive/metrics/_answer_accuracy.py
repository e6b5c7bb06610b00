"""The share of generated answers that are right."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import as_weights
from keras_contrastive._typing import Config, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerAccuracy(keras.metrics.Mean):
    """Computes the share of answers whose words are all the most likely ones.

    Each word is predicted from the true words before it. Rows without an answer do not count.

    Args:
        padding_id: Integer, the id after the end of an answer.
        name: See `keras.metrics.Metric`.
        **kwargs: See `keras.metrics.Metric`.

    Call arguments:
        y_true: Integer ids `(batch, length)`.
        y_pred: Logits `(batch, length, vocabulary_size)`. The result is NaN if a logit of a word
            that counts is NaN.

    Example:

    >>> metric = AnswerAccuracy()
    >>> logits = np.log([[[0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]]])
    >>> metric.update_state(np.array([[1, 2, 0], [2, 2, 0]]), np.concatenate([logits, logits]))
    >>> float(metric.result())
    0.5
    """

    _direction = "up"

    def __init__(self, padding_id: int = 0, name: str = "answer_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.padding_id = padding_id

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        ids = ops.cast(y_true, "int32")
        is_padding = ids == self.padding_id
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        is_right = ops.all(ops.logical_or(is_padding, ids == predicted), axis=1)
        weights = ops.cast(ops.any(ops.logical_not(is_padding), axis=1), self.dtype)
        if sample_weight is not None:
            weights *= ops.cast(as_weights(sample_weight, ids.shape[0]), self.dtype)
        hits = ops.cast(is_right, self.dtype)
        # NaN of words that do not count, and of rows without a weight, has no effect.
        is_nan = ops.logical_and(ops.any(ops.isnan(y_pred), axis=-1), ops.logical_not(is_padding))
        is_nan = ops.logical_and(ops.any(is_nan, axis=1), weights != 0)
        super().update_state(ops.where(is_nan, float("nan"), hits), weights)

    def get_config(self) -> Config:
        return {**super().get_config(), "padding_id": self.padding_id}
