"""A small tower of pictures."""

import keras
from keras import ops

from keras_contrastive._checks import check_sizes
from keras_contrastive._keras import finish_build
from keras_contrastive._transformer import Transformer


@keras.saving.register_keras_serializable(package="keras_contrastive")
class PatchTower(Transformer):
    """Patches of a picture, embedded with their places, and a transformer over them.

    It is a vision transformer in small, with BERT's order of normalization. Any other tower that yields a sequence or
    a grid does as well: a ViT of keras-hub, or a convolutional network without its top.

    Args:
        patch_size: Positive int, which divides the height and the width.
        dim: Positive int, dimension of the tokens, which `num_heads` divides.
        num_layers: Positive int, how many blocks.
        num_heads: Positive int.
        hidden_dim: `None`, or the units inside the feed-forward parts; by default four times `dim`.
        dropout: In [0, 1).
        activation: Activation inside the feed-forward parts.
        epsilon: Of the layer normalization.
        use_class_token: Whether a token that stands for the whole picture goes first.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, height, width, channels)`, of a size that is known.

    Returns:
        `(batch, patches, dim)`, one more with a class token.

    Raises:
        ValueError: Sizes that are not positive, or do not divide.

    Example:

    >>> tower = PatchTower(patch_size=4, dim=8, num_layers=1, num_heads=2)
    >>> tuple(tower(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        patch_size=8,
        dim=128,
        num_layers=2,
        num_heads=4,
        hidden_dim=None,
        dropout=0.0,
        activation="gelu",
        epsilon=1e-6,
        use_class_token=True,
        **kwargs,
    ):
        super().__init__(num_layers, num_heads, hidden_dim, dropout, activation, epsilon, **kwargs)
        check_sizes(patch_size=patch_size, dim=dim)
        self.patch_size = patch_size
        self.dim = dim
        self.use_class_token = use_class_token

    def build(self, inputs_shape):
        """Create the weights for pictures of this size."""
        _, height, width, channels = inputs_shape
        if None in (height, width) or height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"`patch_size={self.patch_size}` must divide the height and the width of the pictures. "
                f"Received: shape {tuple(inputs_shape)}."
            )
        self.grid = height // self.patch_size, width // self.patch_size
        count = self.grid[0] * self.grid[1]
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        self.patches = keras.layers.Dense(self.dim, dtype=self.dtype_policy, name="patches")
        self.patches.build((None, count, self.patch_size**2 * channels))
        self.positions = self.add_weight(
            name="positions", shape=(count, self.dim), initializer=small
        )
        if self.use_class_token:
            self.class_token = self.add_weight(
                name="class_token", shape=(1, 1, self.dim), initializer=small
            )
        self.norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name="norm"
        )
        self.norm.build((None, None, self.dim))
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        self.blocks = self.make_blocks(self.dim)
        finish_build(self)

    def call(self, inputs, training=None):
        (height, width), size, channels = self.grid, self.patch_size, inputs.shape[-1]
        x = ops.reshape(inputs, (-1, height, size, width, size, channels))
        x = ops.reshape(
            ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height * width, size * size * channels)
        )
        x = self.patches(x) + self.positions
        if self.use_class_token:
            x = ops.concatenate([ops.zeros_like(x[:, :1]) + self.class_token, x], axis=1)
        x = self.drop(self.norm(x), training=training)
        for block in self.blocks:
            x = block(x, training=training)
        return x

    def compute_output_shape(self, inputs_shape):
        _, height, width, _ = inputs_shape
        count = (height // self.patch_size) * (width // self.patch_size) + self.use_class_token
        return (inputs_shape[0], count, self.dim)

    def get_config(self):
        names = ("patch_size", "dim", "use_class_token")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
