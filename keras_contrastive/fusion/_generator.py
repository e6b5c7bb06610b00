"""Answers in words."""

import keras
from keras import ops

from keras_contrastive.fusion._decoder import AnswerDecoder
from keras_contrastive.fusion._task import FusionTask
from keras_contrastive.fusion._word_logits import WordLogits


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerGenerator(FusionTask):
    """Answers a question about an image in words, one after the other.

    It learns from `fit(x)`, where `x` holds the answers as well: of each word it is told those before. The loss is the
    cross-entropy of a whole answer, in nats: what it takes to tell the answer, so that closed sets of answers can be
    compared with it. `answer_accuracy` is the share of answers whose every word, and the end, is right; these are
    the ones that `predict` finds.

    `predict` of pictures and texts alone writes answers: the likeliest word each time, until `end_id`.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, which yield tokens; see `FusionTrainer`.
        fusion: A `FusionEncoder`.
        decoder: An `AnswerDecoder`.
        padding_id: Integer, the id after the last token of a text that comes without a mask.
        **kwargs: See `keras.Model`.

    Call arguments:
        inputs: Dict with `"image"` and `"text"`, as for `FusionClassifier`, and in training and evaluation `"answer"`:
            int32 `(batch, answer_length)`, `start_id`, the words, `end_id`, padding. There are no other targets. The
            first token is not looked at; a later `start_id` has an infinite loss; an answer without its end is learned
            as the beginning of others.

    Returns:
        With `"answer"`, the logits of the words after its first token, float32
        `(batch, answer_length - 1, vocabulary_size)`. Without, the answers that are found, int32 `(batch, max_length)`,
        as `"answer"` has them.

    Raises:
        TypeError: A decoder of another kind.
        ValueError: Inputs that are missing or have another shape; towers that yield no tokens.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 4: its decoder is told which answers there are.

    Example:

    >>> encoders, fusion = keras_contrastive.encoders, keras_contrastive.fusion
    >>> towers = {"image": encoders.PatchTower(4, dim=8, num_heads=2), "text": encoders.TextTower(30, 6, 8, 1, 2)}
    >>> decoder = fusion.AnswerDecoder(30, max_length=5, start_id=1, end_id=2, dim=8, num_layers=1, num_heads=2)
    >>> model = fusion.AnswerGenerator(towers, fusion.FusionEncoder(1, 2), decoder)
    >>> model.compile("adam")
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": np.tile([[1, 7, 9, 2, 0, 0]], (4, 1))}
    >>> sorted(model.fit({**x, "answer": np.tile([[1, 11, 2, 0, 0]], (4, 1))}, verbose=0).history)
    ['answer_accuracy', 'loss']
    >>> model.predict(x, verbose=0).shape
    (4, 5)
    """

    parts = ("encoders", "fusion", "decoder")

    def __init__(self, encoders, fusion, decoder, padding_id=0, **kwargs):
        super().__init__(encoders, fusion, padding_id=padding_id, **kwargs)
        if not isinstance(decoder, AnswerDecoder):
            raise TypeError(f"`decoder` must be an `AnswerDecoder`. Received: decoder={decoder!r}.")
        self.decoder = decoder
        if fusion.built and not decoder.built:  # so that it can be given weights
            decoder.build((None, None), (None, None, fusion.dim))

    def call(self, inputs, training=None):
        tokens, mask = self.fuse(inputs, training)
        if not self.decoder.built:
            self.decoder.build((None, None), tokens.shape)
        if inputs.get("answer") is not None:
            self._check_answer(inputs["answer"])
            return self.decoder(inputs["answer"][:, :-1], tokens, mask, training=training)
        return self._written(tokens, mask)

    def _check_answer(self, answer):
        shape, longest = tuple(answer.shape), self.decoder.max_length
        if len(shape) != 2 or (shape[1] is not None and not 2 <= shape[1] <= longest):
            raise ValueError(
                f'"answer" must be token ids `(batch, answer_length)`, of 2 to {longest} tokens, the `max_length` of '
                f"the decoder. Received: shape {shape}."
            )

    def _written(self, tokens, mask):
        decoder = self.decoder
        rows, length = ops.shape(tokens)[0], decoder.max_length
        places = ops.arange(length)
        answer = ops.where(places == 0, decoder.start_id, decoder.padding_id)
        answer = ops.zeros((rows, 1), "int32") + ops.cast(answer, "int32")

        def write(place, state):
            answer, ended = state
            known = decoder.read(answer, tokens, mask, training=False)
            logits = decoder.words_after(ops.take(known, ops.reshape(place - 1, (1,)), axis=1))
            word = ops.cast(ops.argmax(logits[:, 0], axis=-1), "int32")
            word = ops.where(ended, decoder.padding_id, word)
            answer = ops.where(places == place, ops.expand_dims(word, 1), answer)
            return answer, ops.logical_or(ended, word == decoder.end_id)

        return ops.fori_loop(1, length, write, (answer, ops.zeros((rows,), "bool")))[0]

    # Loss and metrics

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, **kwargs):
        """As `keras.Model.compile`; loss and metrics are as told above, unless others are given.

        They see, as targets, the words after the first token of `"answer"`, int `(batch, answer_length - 1)`.
        """
        padding_id = self.decoder.padding_id
        loss = AnswerCrossentropy(padding_id) if loss is None else loss
        metrics = [AnswerAccuracy(padding_id)] if metrics is None else metrics
        super().compile(optimizer, loss, loss_weights, metrics, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, _words_of(x, y), y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, _words_of(x, y), y_pred, sample_weight)

    def get_config(self):
        return {
            **super().get_config(),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
        }


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerCrossentropy(keras.losses.Loss):
    """The cross-entropy of whole answers: summed over the words that are there.

    Args:
        padding_id: Integer, the id after the end.
        reduction, name: See `keras.losses.Loss`.
        **kwargs: See `keras.losses.Loss`.

    Call arguments:
        y_true: Ids `(batch, length)`.
        y_pred: Logits `(batch, length, vocabulary_size)`.

    Returns:
        Nats, of each answer `(batch,)` before the reduction.

    Example:

    >>> loss = AnswerCrossentropy()
    >>> logits = np.log([[[0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]]])
    >>> round(float(loss(np.array([[1, 2, 0]]), logits)), 4)  # -log(0.5 * 0.6)
    1.204
    """

    def __init__(
        self, padding_id=0, reduction="sum_over_batch_size", name="answer_crossentropy", **kwargs
    ):
        super().__init__(
            name=name, reduction=reduction, **{**kwargs, "dtype": "float32"}
        )  # ids stay whole
        self.padding_id = padding_id

    def call(self, y_true, y_pred):
        ids = ops.cast(y_true, "int32")
        there = ids != self.padding_id
        # Padding is never predicted: at its place any word that may be.
        ids = ops.where(there, ids, ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        return WordLogits.cross_entropy(y_pred, ids, there)[0]

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerAccuracy(keras.metrics.Mean):
    """The share of answers whose every word is the likeliest after those before it; rows without one do not count.

    Args:
        padding_id: Integer, the id after the end.
        name: See `keras.metrics.Metric`.
        **kwargs: See `keras.metrics.Metric`.

    Call arguments:
        y_true: Ids `(batch, length)`.
        y_pred: Logits `(batch, length, vocabulary_size)`.

    Example:

    >>> metric = AnswerAccuracy()
    >>> logits = np.log([[[0.1, 0.5, 0.4], [0.2, 0.2, 0.6], [0.1, 0.1, 0.8]]])
    >>> metric.update_state(np.array([[1, 2, 0], [2, 2, 0]]), np.concatenate([logits, logits]))
    >>> float(metric.result())
    0.5
    """

    def __init__(self, padding_id=0, name="answer_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.padding_id = padding_id

    def update_state(self, y_true, y_pred, sample_weight=None):
        ids = ops.cast(y_true, "int32")
        right = ops.logical_or(
            ids == self.padding_id, ids == ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        )
        weights = ops.cast(
            ops.any(ids != self.padding_id, axis=1), self.dtype
        )  # no answer is not a right one
        if sample_weight is not None:
            weights *= ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
        super().update_state(ops.cast(ops.all(right, axis=1), self.dtype), weights)

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}


def _words_of(x, y):
    """The targets: what comes after the first token of the answers."""
    if not isinstance(x, dict) or x.get("answer") is None or y is not None:
        found = ", ".join(map(str, x)) if isinstance(x, dict) else type(x).__name__
        raise ValueError(
            '`AnswerGenerator` learns from answers: `x` must have an "answer", int32 `(batch, answer_length)`, and '
            f"there is no `y`. Received: x with {found}, and {'no y' if y is None else f'y of shape {tuple(y.shape)}'}."
        )
    return x["answer"][:, 1:]
