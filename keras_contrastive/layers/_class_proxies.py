"""One trainable vector for each class."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import unit_rows
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ClassProxies(keras.layers.Layer):
    """Stores a trainable vector for each class, and compares embeddings with all of them.

    Pass it to a loss: `ArcFace(ClassProxies(num_classes=10, dim=128))`. `ContrastiveTrainer` trains
    and saves it with the encoder. After training, `trainer.loss.proxies(embeddings)` are the
    cosines with the classes, and the largest one is the predicted class.

    A plain `keras.Model` cannot train the weights of a loss. There, use the layer as the last one,
    with a crossentropy of Keras. This is a normalized softmax, without a margin.

    The vectors are float32 under every dtype policy. Only their directions count.

    Args:
        num_classes: Positive int. Labels are in `[0, num_classes)`.
        dim: Positive int, the size of the embeddings.
        initializer: A Keras initializer. By default, the vectors have random directions and lengths
            of about 1. With an optimizer such as Adam, shorter vectors turn faster.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        embeddings: Float tensor `(batch, dim)`, of any length.

    Returns:
        Cosines `(batch, num_classes)`, in float32.

    Raises:
        TypeError: If `num_classes` or `dim` is not an integer.
        ValueError: If `num_classes` or `dim` is not positive, or embeddings have another size.

    Reference:
        - [Movshovitz-Attias et al., 2017](https://arxiv.org/abs/1703.07464), Sec. 3.2.

    Example:

    >>> encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> logits = keras.layers.Rescaling(1 / 0.05)  # a temperature of 0.05
    >>> model = keras.Sequential([encoder, ClassProxies(num_classes=3, dim=2), logits])
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile(keras.optimizers.Adam(0.01), loss)
    >>> history = model.fit(np.eye(4)[:3], np.arange(3), epochs=3, verbose=0).history
    >>> history["loss"][-1] < history["loss"][0]
    True
    """

    def __init__(
        self,
        num_classes: int,
        dim: int,
        initializer: Any = None,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.num_classes = _checks.positive_int("num_classes", num_classes)
        self.dim = _checks.positive_int("dim", dim)
        if initializer is None:
            initializer = keras.initializers.RandomNormal(stddev=self.dim**-0.5)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape | None = None) -> None:
        """Creates the weight `vectors`, `(num_classes, dim)`."""
        if input_shape is not None and input_shape[-1] != self.dim:
            raise ValueError(
                f"`dim` must be the size of the embeddings. Received: dim={self.dim}, embeddings "
                f"{tuple(input_shape)}. Create the layer with `dim={input_shape[-1]}`."
            )
        self.vectors = self.add_weight(
            name="vectors",
            shape=(self.num_classes, self.dim),
            initializer=self.initializer,
            autocast=False,
        )
        self.built = True

    def unit_vectors(self, dtype: str = "float32") -> Tensor:
        """Returns the vectors with unit length, `(num_classes, dim)`."""
        return unit_rows(ops.cast(self.vectors, dtype))

    def call(self, embeddings: Tensor) -> Tensor:
        return ops.matmul(
            unit_rows(ops.cast(embeddings, "float32")), ops.transpose(self.unit_vectors())
        )

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "dim": self.dim,
            "initializer": keras.initializers.serialize(self.initializer),
        }

    def __repr__(self) -> str:
        return f"ClassProxies({self.num_classes}, dim={self.dim})"
