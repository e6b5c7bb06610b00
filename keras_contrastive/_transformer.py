"""What the transformers here have in common: the sizes of their blocks."""

import keras

from keras_contrastive._checks import check_optional_sizes, check_sizes
from keras_contrastive._transformer_block import TransformerBlock


class Transformer(keras.layers.Layer):
    """Base of layers that are a stack of `TransformerBlock`s.

    Args:
        num_layers: Positive int, how many blocks.
        num_heads: Positive int, which divides the dimension of the tokens.
        hidden_dim: `None`, or the units inside the feed-forward parts; by default four times the dimension.
        dropout: In [0, 1).
        activation: Activation inside the feed-forward parts.
        epsilon: Of the layer normalization.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(self, num_layers, num_heads, hidden_dim, dropout, activation, epsilon, **kwargs):
        super().__init__(**kwargs)
        check_sizes(num_layers=num_layers, num_heads=num_heads)
        check_optional_sizes(hidden_dim=hidden_dim)
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon

    def make_blocks(self, dim, context_dim=None, per_layer=1):
        """The blocks for tokens of this dimension, built."""
        blocks = []
        for place in range(self.num_layers * per_layer):
            block = TransformerBlock(
                self.num_heads,
                self.hidden_dim or 4 * dim,
                context_dim,
                self.dropout,
                self.activation,
                self.epsilon,
                dtype=self.dtype_policy,
                name=f"block_{place}",
            )
            block.build((None, None, dim))
            blocks.append(block)
        return blocks

    def get_config(self):
        names = ("num_layers", "num_heads", "hidden_dim", "dropout", "epsilon")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "activation": keras.saving.serialize_keras_object(self.activation),
        }
