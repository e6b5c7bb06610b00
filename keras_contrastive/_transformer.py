"""Base classes of transformers: stacks of blocks, and stacks over token embeddings."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import optional_positive_ints, positive_ints, real
from keras_contrastive._transformer_block import Activation, TransformerBlock
from keras_contrastive._typing import Config, Tensor


class Transformer(keras.layers.Layer):
    """Base class of layers that are a stack of `TransformerBlock`s.

    Args:
        num_layers: Positive int, the number of blocks.
        num_heads: Positive int, a divisor of the dimension of the tokens.
        hidden_dim: `None`, or the number of units of the feed-forward parts. By default, four times
            the dimension of the tokens.
        dropout: Float in [0, 1).
        activation: Activation of the feed-forward parts.
        epsilon: Epsilon of the layer normalization.
        **kwargs: See `keras.layers.Layer`.
    """

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        hidden_dim: int | None,
        dropout: float,
        activation: Activation,
        epsilon: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        positive_ints(num_layers=num_layers, num_heads=num_heads)
        optional_positive_ints(hidden_dim=hidden_dim)
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.dropout = real("dropout", dropout, 0, 1, include_high=False)
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon

    def make_blocks(
        self, dim: int, context_dim: int | None = None, per_layer: int = 1
    ) -> list[TransformerBlock]:
        """Returns the blocks, built.

        Args:
            dim: Dimension of the tokens.
            context_dim: `None`, or the dimension of the context of the cross-attention.
            per_layer: Number of blocks of each layer.
        """
        blocks = []
        for number in range(self.num_layers * per_layer):
            block = TransformerBlock(
                self.num_heads,
                self.hidden_dim or 4 * dim,
                context_dim,
                self.dropout,
                self.activation,
                self.epsilon,
                dtype=self.dtype_policy,
                name=f"block_{number}",
            )
            block.build((None, None, dim))
            blocks.append(block)
        return blocks

    def get_config(self) -> Config:
        names = ("num_layers", "num_heads", "hidden_dim", "dropout", "epsilon")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "activation": keras.saving.serialize_keras_object(self.activation),
        }


class TokenTransformer(Transformer):
    """Base class of transformers over the embeddings of BERT: tokens plus positions, normalized.

    See `TextTower` for the arguments.
    """

    def __init__(
        self,
        vocabulary_size: int,
        max_length: int,
        dim: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        epsilon: float = 1e-12,
        padding_id: int = 0,
        **kwargs: Any,
    ) -> None:
        # Without `autocast`: token ids must stay integers under every policy.
        super().__init__(
            num_layers,
            num_heads,
            hidden_dim,
            dropout,
            activation,
            epsilon,
            autocast=False,
            **kwargs,
        )
        positive_ints(vocabulary_size=vocabulary_size, max_length=max_length, dim=dim)
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.dim = dim
        self.padding_id = padding_id

    def make_weights(self, context_dim: int | None = None) -> None:
        """Creates the embeddings and the blocks, and builds them."""
        initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        dtype = self.dtype_policy
        self.tokens = keras.layers.Embedding(
            self.vocabulary_size, self.dim, initializer, name="tokens", dtype=dtype
        )
        self.tokens.build((None, None))
        self.positions = self.add_weight(
            name="positions", shape=(self.max_length, self.dim), initializer=initializer
        )
        self.norm = keras.layers.LayerNormalization(epsilon=self.epsilon, name="norm", dtype=dtype)
        self.norm.build((None, None, self.dim))
        self.drop = keras.layers.Dropout(self.dropout, name="drop", dtype=dtype)
        self.blocks = self.make_blocks(self.dim, context_dim)

    def embed(self, ids: Tensor, training: bool | None) -> Tensor:
        """Computes the embeddings of token ids.

        Args:
            ids: int32 `(batch, length)`.
            training: Whether dropout is active.

        Returns:
            `(batch, length, dim)`.

        Raises:
            ValueError: If a text is longer than `max_length`.
        """
        length = ids.shape[1]
        if length is not None and length > self.max_length:
            raise ValueError(
                f"A text must have at most `max_length={self.max_length}` tokens. "
                f"Received: {length} tokens."
            )
        x = self.tokens(ids)
        x = x + ops.cast(self.positions[: ops.shape(ids)[1]], x.dtype)
        return self.drop(self.norm(x), training=training)

    def get_config(self) -> Config:
        names = ("vocabulary_size", "max_length", "dim", "padding_id")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
