"""A model that classifies a text together with images."""

import inspect
from typing import Any, Literal

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._keras import finish_build
from keras_contrastive._tokens import POOLINGS
from keras_contrastive._typing import Config, Layer, Shape, Structure, Tensor
from keras_contrastive.fusion._checks import check_pooling
from keras_contrastive.fusion._task import FusionTask


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionClassifier(FusionTask):
    """Classifies a text together with one or several images.

    | task | `num_classes` | `num_images` |
    | --- | --- | --- |
    | question answering with a closed set of answers | number of answers | 1 |
    | visual entailment | 3: contradiction, neutral, entailment | 1 |
    | reasoning over two images | 2: false, true | 2 |
    | text assignment, the pre-training for two images | 3: first, second, neither | 2 |

    `FusionClassifier.from_pretrained(model, num_classes, ...)` starts from copies of the towers and
    the fusion encoder of a `FusionTrainer` or of another task model. For statements on two images,
    first train text assignment, then start from that model.

    There are two ways to read several images. With `num_images=2`, each image is read with the text
    separately, as in pre-training, and the classifier receives both pooled vectors (UNITER's
    "pair"). With `fusion=model.fusion.for_images(2)`, blocks of their own read the images one after
    the other (ALBEF; see `FusionEncoder`). These blocks are additional weights to train.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, which return tokens. See
            `FusionTrainer`.
        fusion: A `FusionEncoder`. It can read several images.
        num_classes: Positive int.
        num_images: `None` for the number of images that the fusion encoder reads, or, if it reads
            one, a positive int.
        pooling: `"mean"` over the tokens of the text, or `"class_token"` for the first token.
        hidden_dim: `None` for the size of the pooled input, or the number of units of the layer
            before the logits.
        dropout: Float in [0, 1], before the logits.
        padding_id: Integer, the id after the last token of a text without a mask.
        **kwargs: See `keras.Model`.

    Call arguments:
        inputs: Dict with `"image"`, `(batch, height, width, channels)` or, for several images,
            `(batch, num_images, height, width, channels)`, and `"text"`, token ids
            `(batch, length)` or a dict with `"token_ids"` and `"padding_mask"`.

    Returns:
        Logits, float32 `(batch, num_classes)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an input is missing or has the wrong shape, or a tower returns no tokens.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 4.
        - [Chen et al., 2020](https://arxiv.org/abs/1909.11740), "UNITER", for pairs of images.
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 5.2.

    Example:

    >>> encoders, fusion = keras_contrastive.encoders, keras_contrastive.fusion
    >>> towers = {
    ...     "image": encoders.PatchTower(4, dim=8, num_heads=2),
    ...     "text": encoders.TextTower(30, 6, dim=8, num_layers=1, num_heads=2),
    ... }
    >>> model = fusion.FusionClassifier(towers, fusion.FusionEncoder(1, 2), num_classes=3)
    >>> model.compile("adam", metrics=["accuracy"])
    >>> texts = np.array([[1, 7, 9, 2, 0, 0]] * 4)
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": texts}
    >>> sorted(model.fit(x, np.array([0, 1, 2, 0]), verbose=0).history)
    ['accuracy', 'loss']
    >>> model.predict(x, verbose=0).shape
    (4, 3)
    """

    def __init__(
        self,
        encoders: dict[str, Layer],
        fusion: Layer,
        num_classes: int,
        num_images: int | None = None,
        pooling: Literal["mean", "class_token"] = "mean",
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        padding_id: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoders, fusion, num_images, padding_id, **kwargs)
        check_pooling(pooling)
        self.num_classes = _checks.positive_int("num_classes", num_classes)
        self.pooling = pooling
        self.hidden_dim = _checks.optional_positive_int("hidden_dim", hidden_dim)
        self.dropout = dropout
        self.head = _Head(
            self.num_classes, self.hidden_dim, dropout, dtype=self.dtype_policy, name="head"
        )
        if fusion.built:  # on torch, Keras cannot build a model that reads token ids by tracing it
            self.head.build((None, fusion.dim * self._num_pooled))

    @classmethod
    def inherited_arguments(cls, model: keras.Model) -> dict[str, Any]:
        """Returns the arguments that `from_pretrained` takes from the other model."""
        pooling = getattr(model, "pooling", "mean")
        pooling = pooling.get("text", "mean") if isinstance(pooling, dict) else pooling
        arguments = {**super().inherited_arguments(model), "pooling": pooling}
        if isinstance(model, FusionClassifier):
            arguments |= {"hidden_dim": model.hidden_dim, "dropout": model.dropout}
            if model.num_images > 1:
                arguments["num_images"] = model.num_images
        return arguments

    def call(self, inputs: Structure, training: bool | None = None) -> Tensor:
        tokens, mask = self.fuse(inputs, training)
        pooled = POOLINGS[self.pooling](tokens, mask)
        if self._num_pooled > 1:
            pooled = ops.reshape(pooled, (-1, self._num_pooled * pooled.shape[-1]))
        return self.head(pooled, training=training)

    @property
    def _num_pooled(self) -> int:
        """Number of images that are read separately. Their pooled vectors are concatenated."""
        return self.num_images if self.num_images > self.fusion.num_images else 1

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        """Compiles the model. See `keras.Model.compile`.

        The default loss is the cross-entropy of integer labels, in nats.

        Raises:
            ValueError: If the loss expects probabilities, since this model returns logits.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if _expects_probabilities(keras.losses.get(loss)):
            raise ValueError(
                "`loss` must accept logits, since this model returns logits. "
                f"Received: loss={loss!r}. Omit it, or pass a loss such as "
                "`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`."
            )
        super().compile(optimizer, loss, *args, **kwargs)

    def get_config(self) -> Config:
        names = ("num_classes", "num_images", "pooling", "hidden_dim", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _expects_probabilities(loss: Any) -> bool:
    if isinstance(loss, keras.losses.Loss):
        return loss.get_config().get("from_logits") is False
    parameter = inspect.signature(loss).parameters.get("from_logits")
    return parameter is not None and parameter.default is False


class _Head(keras.layers.Layer):
    """Computes logits from a vector, with one hidden layer."""

    def __init__(
        self, num_classes: int, hidden_dim: int | None, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")
        self.classes = keras.layers.Dense(num_classes, dtype=self.dtype_policy, name="classes")

    def build(self, shape: Shape) -> None:
        units = self.hidden_dim or shape[-1]
        self.hidden = keras.layers.Dense(units, "relu", dtype=self.dtype_policy, name="hidden")
        self.hidden.build(shape)
        self.classes.build((None, units))
        finish_build(self)

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        return ops.cast(self.classes(self.drop(self.hidden(x), training=training)), "float32")
