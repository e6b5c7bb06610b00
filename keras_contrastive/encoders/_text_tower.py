"""A small tower of texts."""

import keras

from keras_contrastive._keras import finish_build
from keras_contrastive._tokens import as_text
from keras_contrastive._transformer import TokenTransformer


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TextTower(TokenTransformer):
    """BERT's first layers: embeddings of tokens and places, normalized, and a transformer over them.

    Args:
        vocabulary_size: Positive int, one more than the largest token id.
        max_length: Positive int, the longest text.
        dim: Positive int, dimension of the tokens, which `num_heads` divides.
        num_layers: Positive int, how many blocks.
        num_heads: Positive int.
        hidden_dim: `None`, or the units inside the feed-forward parts; by default four times `dim`.
        dropout: In [0, 1).
        activation: Activation inside the feed-forward parts.
        epsilon: Of the layer normalization.
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

    def build(self, inputs_shape=None):
        """Create the weights, whatever the shape."""
        self.make_weights()
        finish_build(self)

    def call(self, inputs, training=None):
        ids, mask = as_text(inputs, self.padding_id)
        x = self.embed(ids, training)
        for block in self.blocks:
            x = block(x, tokens_mask=mask, training=training)
        return x

    def compute_output_spec(self, inputs, training=None):
        shape = (inputs["token_ids"] if isinstance(inputs, dict) else inputs).shape
        return keras.KerasTensor((*shape, self.dim), self.compute_dtype)
