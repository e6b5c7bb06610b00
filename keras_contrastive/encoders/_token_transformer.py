"""Transformers that read token ids."""

import keras
from keras import ops

from keras_contrastive._checks import check_sizes
from keras_contrastive._transformer import Transformer


class TokenTransformer(Transformer):
    """Base of transformers over BERT's embeddings: those of tokens and of places, added up and normalized.

    Its arguments are told by `TextTower`.
    """

    def __init__(
        self,
        vocabulary_size,
        max_length,
        dim=128,
        num_layers=2,
        num_heads=4,
        hidden_dim=None,
        dropout=0.0,
        activation="gelu",
        epsilon=1e-12,
        padding_id=0,
        **kwargs,
    ):
        # Ids stay whole under every policy.
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
        check_sizes(vocabulary_size=vocabulary_size, max_length=max_length, dim=dim)
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.dim = dim
        self.padding_id = padding_id

    def make_weights(self, context_dim=None):
        """The embeddings and the blocks, built."""
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        of_layers = {"dtype": self.dtype_policy}
        self.tokens = keras.layers.Embedding(
            self.vocabulary_size, self.dim, small, name="tokens", **of_layers
        )
        self.tokens.build((None, None))
        self.positions = self.add_weight(
            name="positions", shape=(self.max_length, self.dim), initializer=small
        )
        self.norm = keras.layers.LayerNormalization(epsilon=self.epsilon, name="norm", **of_layers)
        self.norm.build((None, None, self.dim))
        self.drop = keras.layers.Dropout(self.dropout, name="drop", **of_layers)
        self.blocks = self.make_blocks(self.dim, context_dim)

    def embed(self, ids, training):
        """Token ids `(batch, length)` as `(batch, length, dim)`."""
        length = ids.shape[1]
        if length is not None and length > self.max_length:
            raise ValueError(
                f"Texts may have {self.max_length} tokens, `max_length`. Received: {length} tokens."
            )
        x = self.tokens(ids)
        x = x + ops.cast(self.positions[: ops.shape(ids)[1]], x.dtype)
        return self.drop(self.norm(x), training=training)

    def get_config(self):
        names = ("vocabulary_size", "max_length", "dim", "padding_id")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
