"""A small tower of texts."""

import keras
from keras import ops

from keras_contrastive.fusion.checks import check_sizes
from keras_contrastive.fusion.tokens import as_text
from keras_contrastive.fusion.transformer import Transformer


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TextTower(Transformer):
    """BERT's first layers: embeddings of tokens and places, normalised, and a transformer over them.

    Args:
        vocabulary_size: Positive int, one more than the largest token id.
        max_length: Positive int, the longest text.
        dim: Positive int, dimension of the tokens, which `num_heads` divides.
        num_layers: Positive int, how many blocks.
        num_heads: Positive int.
        hidden_dim: `None`, or the units inside the feed-forward parts; by default four times `dim`.
        dropout: In [0, 1).
        activation: Activation inside the feed-forward parts.
        epsilon: Of the layer normalisation.
        padding_id: Integer, the id after the last token.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Token ids `(batch, length)`, or a dict with `"token_ids"` and `"padding_mask"`.

    Returns:
        `(batch, length, dim)`.

    Raises:
        ValueError: Sizes that are not positive; a text that is longer than `max_length`.

    Example:

    >>> tower = TextTower(vocabulary_size=30, max_length=6, dim=8, num_layers=1, num_heads=2)
    >>> tuple(tower(np.array([[1, 7, 9, 2, 0, 0]])).shape)
    (1, 6, 8)
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
        super().__init__(num_layers, num_heads, hidden_dim, dropout, activation, epsilon, autocast=False, **kwargs)
        check_sizes(vocabulary_size=vocabulary_size, max_length=max_length, dim=dim)
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.dim = dim
        self.padding_id = padding_id

    def build(self, inputs_shape=None):
        """Create the weights, whatever the shape."""
        small = keras.initializers.TruncatedNormal(stddev=0.02)
        of_layers = {"dtype": self.dtype_policy}
        self.tokens = keras.layers.Embedding(self.vocabulary_size, self.dim, small, name="tokens", **of_layers)
        self.tokens.build((None, None))
        self.positions = self.add_weight(name="positions", shape=(self.max_length, self.dim), initializer=small)
        self.norm = keras.layers.LayerNormalization(epsilon=self.epsilon, name="norm", **of_layers)
        self.norm.build((None, None, self.dim))
        self.drop = keras.layers.Dropout(self.dropout, name="drop", **of_layers)
        self.blocks = self.make_blocks(self.dim)
        self.built = True

    def call(self, inputs, training=None):
        ids, mask = as_text(inputs, self.padding_id)
        length = ids.shape[1]
        if length is not None and length > self.max_length:
            raise ValueError(f"Texts may have {self.max_length} tokens, `max_length`. Received: {length} tokens.")
        x = self.tokens(ids)
        x = x + ops.cast(self.positions[: ops.shape(ids)[1]], x.dtype)
        x = self.drop(self.norm(x), training=training)
        for block in self.blocks:
            x = block(x, tokens_mask=mask, training=training)
        return x

    def compute_output_spec(self, inputs, training=None):
        shape = (inputs["token_ids"] if isinstance(inputs, dict) else inputs).shape
        return keras.KerasTensor((*shape, self.dim), self.compute_dtype)

    def get_config(self):
        names = ("vocabulary_size", "max_length", "dim", "padding_id")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
