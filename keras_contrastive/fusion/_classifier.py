"""A class for each picture with its text."""

import inspect

import keras
from keras import ops

from keras_contrastive._checks import check_optional_sizes, check_sizes
from keras_contrastive._keras import finish_build
from keras_contrastive._tokens import POOLINGS
from keras_contrastive.fusion._checks import check_pooling
from keras_contrastive.fusion._task import FusionTask


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionClassifier(FusionTask):
    """Classifies a text together with an image, or with several.

    | task | `num_classes` | `num_images` |
    | --- | --- | --- |
    | question answering, of a closed set of answers | how many answers there are | 1 |
    | visual entailment | 3: contradiction, neutral, entailment | 1 |
    | reasoning over two images | 2: false, true | 2 |
    | text assignment, the pre-training for two images | 3: first, second, neither | 2 |

    `FusionClassifier.from_pretrained(model, num_classes, ...)` begins with copies of the towers and of the fusion
    encoder of a `FusionTrainer`, or of a model of another task: pre-train on text assignment, then go on from there to
    statements on two images.

    Several images are read in one of two ways. With `num_images=2`, each is read with the text by itself, as in
    pre-training, and the classifier sees both pooled vectors side by side (UNITER's "pair"). With
    `fusion=model.fusion.for_images(2)`, the text reads one after the other, by blocks of their own (ALBEF, but see
    `FusionEncoder`): more weights, which have to learn it.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, which yield tokens; see `FusionTrainer`.
        fusion: A `FusionEncoder`, which may read several images.
        num_classes: Positive int.
        num_images: `None` for as many as the fusion encoder reads, or a positive int where it reads one.
        pooling: `"mean"` over the tokens of the text, or `"class_token"`, the first.
        hidden_dim: `None`, or the units of the layer before the logits; by default as many as it sees numbers.
        dropout: In [0, 1], before the logits.
        padding_id: Integer, the id after the last token of a text that comes without a mask.
        **kwargs: See `keras.Model`.

    Call arguments:
        inputs: Dict with `"image"`, `(batch, height, width, channels)` or, of several images,
            `(batch, num_images, height, width, channels)`, and `"text"`, token ids `(batch, length)` or a dict with
            `"token_ids"` and `"padding_mask"`.

    Returns:
        Logits, float32 `(batch, num_classes)`.

    Raises:
        ValueError: Inputs that are missing or have another shape; towers that yield no tokens.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 4.
        - [Chen et al., 2020](https://arxiv.org/abs/1909.11740), "UNITER", for pairs of images.
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 5.2.

    Example:

    >>> encoders, fusion = keras_contrastive.encoders, keras_contrastive.fusion
    >>> towers = {"image": encoders.PatchTower(4, dim=8, num_heads=2), "text": encoders.TextTower(30, 6, 8, 1, 2)}
    >>> model = fusion.FusionClassifier(towers, fusion.FusionEncoder(1, 2), num_classes=3)
    >>> model.compile("adam", metrics=["accuracy"])
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": np.tile([[1, 7, 9, 2, 0, 0]], (4, 1))}
    >>> sorted(model.fit(x, np.array([0, 1, 2, 0]), verbose=0).history)
    ['accuracy', 'loss']
    >>> model.predict(x, verbose=0).shape
    (4, 3)
    """

    def __init__(
        self,
        encoders,
        fusion,
        num_classes,
        num_images=None,
        pooling="mean",
        hidden_dim=None,
        dropout=0.0,
        padding_id=0,
        **kwargs,
    ):
        super().__init__(encoders, fusion, num_images, padding_id, **kwargs)
        check_sizes(num_classes=num_classes)
        check_optional_sizes(hidden_dim=hidden_dim)
        check_pooling(pooling)
        self.num_classes = int(num_classes)
        self.pooling = pooling
        self.hidden_dim = hidden_dim and int(hidden_dim)
        self.dropout = dropout
        self._head = _Head(
            self.num_classes, self.hidden_dim, dropout, dtype=self.dtype_policy, name="head"
        )

    @classmethod
    def settings_of(cls, model):
        pooling = getattr(model, "pooling", "mean")
        pooling = pooling.get("text", "mean") if isinstance(pooling, dict) else pooling
        settings = {**super().settings_of(model), "pooling": pooling}
        if isinstance(model, FusionClassifier):
            settings |= {"hidden_dim": model.hidden_dim, "dropout": model.dropout}
            settings |= {"num_images": model.num_images} if model.num_images > 1 else {}
        return settings

    def call(self, inputs, training=None):
        tokens, mask = self.fuse(inputs, training)
        pooled = POOLINGS[self.pooling](tokens, mask)
        if self.num_images > self.fusion.num_images:
            pooled = ops.reshape(pooled, (-1, self.num_images * pooled.shape[-1]))
        return self._head(pooled, training=training)

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """As `keras.Model.compile`; by default the loss is the cross-entropy of integer labels, in nats.

        Raises:
            ValueError: A loss that takes probabilities, where this model yields logits.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if _takes_probabilities(keras.losses.get(loss)):
            raise ValueError(
                "This model yields logits, and the loss takes probabilities: leave it out, or pass such as "
                f"`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`. Received: loss={loss!r}."
            )
        super().compile(optimizer, loss, *args, **kwargs)

    def get_config(self):
        names = ("num_classes", "num_images", "pooling", "hidden_dim", "dropout")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _takes_probabilities(loss):
    if isinstance(loss, keras.losses.Loss):
        return loss.get_config().get("from_logits") is False
    asked = inspect.signature(loss).parameters.get("from_logits")
    return asked is not None and asked.default is False


class _Head(keras.layers.Layer):
    """From a vector to logits: one hidden layer."""

    def __init__(self, num_classes, hidden_dim, dropout, **kwargs):
        super().__init__(**kwargs)
        self.hidden_dim = hidden_dim
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="drop")
        self.classes = keras.layers.Dense(num_classes, dtype=self.dtype_policy, name="classes")

    def build(self, shape):
        units = self.hidden_dim or shape[-1]
        self.hidden = keras.layers.Dense(units, "relu", dtype=self.dtype_policy, name="hidden")
        self.hidden.build(shape)
        self.classes.build((None, units))
        finish_build(self)

    def call(self, x, training=None):
        return ops.cast(self.classes(self.drop(self.hidden(x), training=training)), "float32")
