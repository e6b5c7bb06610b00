"""A class for each picture with its text."""

import inspect

import keras
from keras import ops

from keras_contrastive.fusion.checks import check_optional_sizes, check_pooling, check_sizes
from keras_contrastive.fusion.tasks.task import FusionTask
from keras_contrastive.fusion.tokens import POOLINGS


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionClassifier(FusionTask):
    """Classifies a text together with an image, or with several.

    | task | `num_classes` | `num_images` |
    | --- | --- | --- |
    | question answering, of a closed set of answers | how many answers there are | 1 |
    | visual entailment | 3: contradiction, neutral, entailment | 1 |
    | reasoning over two images | 2: false, true | 2 |
    | text assignment, the pre-training for two images | 3: first, second, neither | 2 |

    `FusionClassifier.from_pretrained(model, num_classes, num_images=...)` begins with copies of the towers and of the
    fusion encoder of a `FusionTrainer`, or of a model of another task: pre-train on text assignment, then go on from
    there to statements on two images.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, which yield tokens; see `FusionTrainer`.
        fusion: A `FusionEncoder`, with `num_images=2` for two images.
        num_classes: Positive int.
        pooling: `"mean"` over the tokens of the text, or `"class_token"`, the first.
        hidden_dim: `None`, or the units of the layer before the logits; by default as many as the tokens' dimension.
        dropout: In [0, 1), before the logits.
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
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 5.2.

    Example:

    >>> fusion = keras_contrastive.fusion
    >>> towers = {"image": fusion.PatchTower(4, dim=8, num_heads=2), "text": fusion.TextTower(30, 6, 8, 1, 2)}
    >>> model = fusion.FusionClassifier(towers, fusion.FusionEncoder(1, 2), num_classes=3)
    >>> model.compile("adam", metrics=["accuracy"])
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": np.tile([[1, 7, 9, 2, 0, 0]], (4, 1))}
    >>> sorted(model.fit(x, np.array([0, 1, 2, 0]), verbose=0).history)
    ['accuracy', 'loss']
    >>> model.predict(x, verbose=0).shape
    (4, 3)
    """

    def __init__(
        self, encoders, fusion, num_classes, pooling="mean", hidden_dim=None, dropout=0.0, padding_id=0, **kwargs
    ):
        super().__init__(encoders, fusion, padding_id, **kwargs)
        check_sizes(num_classes=num_classes)
        check_optional_sizes(hidden_dim=hidden_dim)
        check_pooling(pooling)
        self.num_classes = int(num_classes)
        self.pooling = pooling
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self._head = _Head(self.num_classes, hidden_dim, dropout, name="head")

    @classmethod
    def settings_of(cls, model):
        pooling = getattr(model, "pooling", "mean")
        pooling = pooling.get("text", "mean") if isinstance(pooling, dict) else pooling
        return {**super().settings_of(model), "pooling": pooling}

    def call(self, inputs, training=None):
        tokens, mask = self.fuse(inputs, training)
        return self._head(POOLINGS[self.pooling](tokens, mask), training=training)

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """As `keras.Model.compile`; by default the loss is the cross-entropy of integer labels, in nats.

        Raises:
            ValueError: A loss that takes probabilities, where this model yields logits.
        """
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else keras.losses.get(loss)
        if _takes_probabilities(loss):
            raise ValueError(
                "This model yields logits, and the loss takes probabilities: leave it out, or pass such as "
                f"`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`. Received: loss={loss!r}."
            )
        super().compile(optimizer, loss, *args, **kwargs)

    def get_config(self):
        names = ("num_classes", "pooling", "hidden_dim", "dropout")
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
        self.built = True

    def call(self, x, training=None):
        return ops.cast(self.classes(self.drop(self.hidden(x), training=training)), "float32")
