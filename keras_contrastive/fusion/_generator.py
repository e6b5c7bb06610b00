"""A model that answers questions in words."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Config, Layer, Structure, Tensor
from keras_contrastive.fusion._answer_crossentropy import AnswerCrossentropy
from keras_contrastive.fusion._checks import names_or_type
from keras_contrastive.fusion._decoder import AnswerDecoder
from keras_contrastive.fusion._task import FusionTask
from keras_contrastive.metrics import AnswerAccuracy


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerGenerator(FusionTask):
    """Answers a question about an image in words, one word at a time.

    `fit(x)` trains with teacher forcing: `x` also holds the answers, and each word is predicted
    from the words before it. The loss is the negative log-likelihood of the whole answer, in nats.
    It can therefore be compared with the loss of a classifier over a closed set of answers. The
    metric `answer_accuracy` is the share of answers whose words, including the end, are all right.
    These are the answers that `predict` returns.

    `predict` of images and texts writes answers greedily: the most likely word at each position,
    until `end_id`.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, which return tokens. See
            `FusionTrainer`.
        fusion: A `FusionEncoder`.
        decoder: An `AnswerDecoder`.
        padding_id: Integer, the id after the last token of a text without a mask.
        **kwargs: See `keras.Model`.

    Call arguments:
        inputs: Dict with `"image"` and `"text"`, as for `FusionClassifier`. In training and
            evaluation also `"answer"`: int32 `(batch, answer_length)` with `start_id`, the words,
            `end_id`, padding. There are no other targets. The first token is ignored. A later
            `start_id` has an infinite loss. An answer without `end_id` is trained as the beginning
            of longer answers.

    Returns:
        With `"answer"`: logits of the words after its first token, float32
        `(batch, answer_length - 1, vocabulary_size)`. Without: answers, int32
        `(batch, max_length)`, in the format of `"answer"`.

    Raises:
        TypeError: If `decoder` is not an `AnswerDecoder`.
        ValueError: If an input is missing or has the wrong shape, or a tower returns no tokens.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 4. There, the decoder ranks a
          given list of answers.

    Example:

    >>> encoders, fusion = keras_contrastive.encoders, keras_contrastive.fusion
    >>> towers = {
    ...     "image": encoders.PatchTower(4, dim=8, num_heads=2),
    ...     "text": encoders.TextTower(30, 6, dim=8, num_layers=1, num_heads=2),
    ... }
    >>> decoder = fusion.AnswerDecoder(
    ...     30, max_length=5, start_id=1, end_id=2, dim=8, num_layers=1, num_heads=2
    ... )
    >>> model = fusion.AnswerGenerator(towers, fusion.FusionEncoder(1, 2), decoder)
    >>> model.compile("adam")
    >>> texts, answers = np.array([[1, 7, 9, 2, 0, 0]] * 4), np.array([[1, 11, 2, 0, 0]] * 4)
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": texts}
    >>> sorted(model.fit({**x, "answer": answers}, verbose=0).history)
    ['answer_accuracy', 'loss']
    >>> model.predict(x, verbose=0).shape
    (4, 5)
    """

    layer_arguments = ("encoders", "fusion", "decoder")

    def __init__(
        self,
        encoders: dict[str, Layer],
        fusion: Layer,
        decoder: AnswerDecoder,
        padding_id: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoders, fusion, padding_id=padding_id, **kwargs)
        if not isinstance(decoder, AnswerDecoder):
            raise TypeError(
                "`decoder` must be a `keras_contrastive.fusion.AnswerDecoder`. "
                f"Received: decoder={decoder!r}."
            )
        self.decoder = decoder
        if fusion.built and not decoder.built:  # weights can be loaded into a built decoder only
            decoder.build((None, None), (None, None, fusion.dim))

    def call(self, inputs: Structure, training: bool | None = None) -> Tensor:
        tokens, mask = self.fuse(inputs, training)
        if not self.decoder.built:
            self.decoder.build((None, None), tokens.shape)
        answer = inputs.get("answer")
        if answer is None:
            return self._generate(tokens, mask)
        self._check_answer(answer)
        return self.decoder(answer[:, :-1], tokens, mask, training=training)

    def _check_answer(self, answer: Tensor) -> None:
        shape, max_length = tuple(answer.shape), self.decoder.max_length
        if len(shape) != 2 or (shape[1] is not None and not 2 <= shape[1] <= max_length):
            raise ValueError(
                '`"answer"` must be token ids `(batch, answer_length)` of 2 to '
                f"{max_length} tokens, the `max_length` of the decoder. Received: shape {shape}."
            )

    def _generate(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Writes the most likely word at each position, int32 `(batch, max_length)`."""
        decoder = self.decoder
        rows, length = ops.shape(tokens)[0], decoder.max_length
        positions = ops.arange(length)
        answer = ops.where(positions == 0, decoder.start_id, decoder.padding_id)
        answer = ops.zeros((rows, 1), "int32") + ops.cast(answer, "int32")

        def write(position: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            answer, has_ended = state
            hidden = decoder.hidden_states(answer, tokens, mask, training=False)
            hidden = ops.take(hidden, ops.reshape(position - 1, (1,)), axis=1)
            logits = decoder.next_word_logits(hidden)
            word = ops.cast(ops.argmax(logits[:, 0], axis=-1), "int32")
            word = ops.where(has_ended, decoder.padding_id, word)
            answer = ops.where(positions == position, ops.expand_dims(word, 1), answer)
            return answer, ops.logical_or(has_ended, word == decoder.end_id)

        return ops.fori_loop(1, length, write, (answer, ops.zeros((rows,), "bool")))[0]

    # Loss and metrics

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Compiles the model. See `keras.Model.compile`.

        The default loss is `AnswerCrossentropy`, the default metric
        `keras_contrastive.metrics.AnswerAccuracy`. The targets of losses and metrics are the words
        after the first token of `"answer"`, integers `(batch, answer_length - 1)`.
        """
        padding_id = self.decoder.padding_id
        loss = AnswerCrossentropy(padding_id) if loss is None else loss
        metrics = [AnswerAccuracy(padding_id)] if metrics is None else metrics
        super().compile(optimizer, loss, loss_weights, metrics, **kwargs)

    def compute_loss(
        self,
        x: Structure = None,
        y: Structure = None,
        y_pred: Structure = None,
        sample_weight: Tensor | None = None,
        training: bool = True,
    ) -> Tensor:
        return super().compute_loss(x, _target_words(x, y), y_pred, sample_weight, training)

    def compute_metrics(
        self, x: Structure, y: Structure, y_pred: Structure, sample_weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        return super().compute_metrics(x, _target_words(x, y), y_pred, sample_weight)

    def get_config(self) -> Config:
        decoder = keras.saving.serialize_keras_object(self.decoder)
        return {**super().get_config(), "decoder": decoder}


def _target_words(x: Structure, y: Structure) -> Tensor:
    """Returns the answers without their first token."""
    if not isinstance(x, dict) or x.get("answer") is None:
        raise ValueError(
            '`x` must be a dict with an "answer", int32 `(batch, answer_length)`. '
            f"Received: {names_or_type(x)}."
        )
    if y is not None:
        raise ValueError(
            "`y` must be `None`: an `AnswerGenerator` is trained on the answers in `x`. "
            f"Received: y of shape {tuple(y.shape)}."
        )
    return x["answer"][:, 1:]
