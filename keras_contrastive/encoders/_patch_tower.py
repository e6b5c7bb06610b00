"""A small vision transformer."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import positive_ints
from keras_contrastive._keras import finish_build
from keras_contrastive._transformer import Transformer
from keras_contrastive._transformer_block import Activation
from keras_contrastive._typing import Config, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class PatchTower(Transformer):
    """Encodes the patches of an image with a transformer. Returns one vector for each patch.

    It is a small vision transformer with the order of normalization of BERT. Use it where a tower
    must return a sequence or a grid of vectors, such as `kc.fusion.FusionTrainer`. A ViT of
    keras-hub or a convolutional network without its top is a valid alternative.

    Args:
        patch_size: Positive int, a divisor of the height and the width of the images.
        dim: Positive int, the dimension of the tokens. `num_heads` must divide it.
        num_layers: Positive int, the number of blocks.
        num_heads: Positive int.
        hidden_dim: `None`, or the number of units of the feed-forward parts. By default, `4 * dim`.
        dropout: Float in [0, 1).
        activation: Activation of the feed-forward parts.
        epsilon: Epsilon of the layer normalization.
        use_class_token: Whether the first token represents the whole image.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Images `(batch, height, width, channels)` of static size.

    Returns:
        `(batch, patches, dim)`, or `(batch, 1 + patches, dim)` with a class token.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a size is not positive, or if `patch_size` does not divide the image.

    Example:

    >>> tower = PatchTower(patch_size=4, dim=8, num_layers=1, num_heads=2)
    >>> tuple(tower(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        patch_size: int = 8,
        dim: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        epsilon: float = 1e-6,
        use_class_token: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_layers, num_heads, hidden_dim, dropout, activation, epsilon, **kwargs)
        positive_ints(patch_size=patch_size, dim=dim)
        self.patch_size = patch_size
        self.dim = dim
        self.use_class_token = use_class_token

    def build(self, inputs_shape: Shape) -> None:
        """Creates the weights for images of this size."""
        self.grid = self._grid(inputs_shape)
        count = self.grid[0] * self.grid[1]
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.patches = keras.layers.Dense(self.dim, dtype=self.dtype_policy, name="patches")
        self.patches.build((None, count, self.patch_size**2 * (inputs_shape[3] or 0)))
        self.positions = self.add_weight(
            name="positions", shape=(count, self.dim), initializer=initializer
        )
        if self.use_class_token:
            self.class_token = self.add_weight(
                name="class_token", shape=(1, 1, self.dim), initializer=initializer
            )
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, None, self.dim))
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        self.blocks = self.make_blocks(self.dim)
        finish_build(self)

    def _grid(self, shape: Shape) -> tuple[int, int]:
        """Returns the number of patches along the height and the width."""
        if len(shape) != 4 or None in shape[1:]:
            raise ValueError(
                "`inputs` must be images `(batch, height, width, channels)` of static size. "
                f"Received: inputs.shape={tuple(shape)}."
            )
        height, width = shape[1] or 0, shape[2] or 0
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                "`patch_size` must divide the height and the width of the images. "
                f"Received: patch_size={self.patch_size}, inputs.shape={tuple(shape)}."
            )
        return height // self.patch_size, width // self.patch_size

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        (height, width), size, channels = self.grid, self.patch_size, inputs.shape[-1]
        x = ops.reshape(inputs, (-1, height, size, width, size, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        x = ops.reshape(x, (-1, height * width, size * size * channels))
        x = self.patches(x) + self.positions
        if self.use_class_token:
            x = ops.concatenate([ops.zeros_like(x[:, :1]) + self.class_token, x], axis=1)
        x = self.drop(self.norm(x), training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return x

    def compute_output_shape(self, inputs_shape: Shape) -> Shape:
        height, width = self._grid(inputs_shape)
        return (inputs_shape[0], height * width + self.use_class_token, self.dim)

    def get_config(self) -> Config:
        names = ("patch_size", "dim", "use_class_token")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
