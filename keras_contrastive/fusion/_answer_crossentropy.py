"""The cross-entropy of generated answers."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._keras import repr_from_config
from keras_contrastive._typing import Config, Reduction, Tensor
from keras_contrastive.fusion._word_logits import WordLogits


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerCrossentropy(keras.losses.Loss):
    """Computes the cross-entropy of whole answers, summed over their words.

    Args:
        padding_id: Integer, the id after the end of an answer.
        reduction: See `keras.losses.Loss`.
        name: See `keras.losses.Loss`.
        **kwargs: See `keras.losses.Loss`. The dtype is always float32.

    Call arguments:
        y_true: Integer ids `(batch, length)`.
        y_pred: Logits `(batch, length, vocabulary_size)`.

    Returns:
        Loss in nats, `(batch,)` before the reduction.

    Example:

    >>> loss = AnswerCrossentropy()
    >>> logits = np.log([[[0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]]])
    >>> round(float(loss(np.array([[1, 2, 0]]), logits)), 4)  # -log(0.5 * 0.6)
    1.204
    """

    def __init__(
        self,
        padding_id: int = 0,
        reduction: Reduction = "sum_over_batch_size",
        name: str = "answer_crossentropy",
        **kwargs: Any,
    ) -> None:
        # Keras casts `y_true` to the dtype of the loss. float32 represents all ids below 2**24.
        super().__init__(name=name, reduction=reduction, **{**kwargs, "dtype": "float32"})
        self.padding_id = padding_id

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        ids = ops.cast(y_true, "int32")
        is_word = ids != self.padding_id
        # The logit of padding can be -inf. Any word with a finite logit may stand in its place,
        # since the position does not count.
        ids = ops.where(is_word, ids, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        return WordLogits.cross_entropy(y_pred, ids, is_word)[0]

    def get_config(self) -> Config:
        return {**super().get_config(), "padding_id": self.padding_id}

    def __repr__(self) -> str:
        return repr_from_config(self)
