"""A small text transformer."""

import keras

from keras_contrastive._keras import finish_build
from keras_contrastive._tokens import as_text
from keras_contrastive._transformer import TokenTransformer
from keras_contrastive._typing import Structure, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TextTower(TokenTransformer):
    """Encodes token ids with a transformer. Returns one vector for each token.

    It has the embeddings and layers of BERT: normalized token and position embeddings, then
    transformer blocks. Use it where a tower must return a sequence of vectors, such as
    `kc.fusion.FusionTrainer`.

    Args:
        vocabulary_size: Positive int, the largest token id plus one.
        max_length: Positive int, the length of the longest text.
        dim: Positive int, the dimension of the tokens. `num_heads` must divide it.
        num_layers: Positive int, the number of blocks.
        num_heads: Positive int.
        hidden_dim: `None`, or the number of units of the feed-forward parts. By default, `4 * dim`.
        dropout: Float in [0, 1).
        activation: Activation of the feed-forward parts.
        epsilon: Epsilon of the layer normalization.
        padding_id: Integer, the id after the last token.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: Token ids `(batch, length)`, or a dict with `"token_ids"` and `"padding_mask"`.

    Returns:
        `(batch, length, dim)`.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a size is not positive, or if a text is longer than `max_length`.

    Example:

    >>> tower = TextTower(vocabulary_size=30, max_length=6, dim=8, num_layers=1, num_heads=2)
    >>> tuple(tower(np.array([[1, 7, 9, 2, 0, 0]])).shape)
    (1, 6, 8)
    """

    def build(self, inputs_shape: object = None) -> None:
        """Creates the weights. They do not depend on the shape."""
        self.make_weights()
        finish_build(self)

    def call(self, inputs: Structure, training: bool | None = None) -> Tensor:
        ids, mask = as_text(inputs, self.padding_id)
        x = self.embed(ids, training)
        for block in self.blocks:
            x = block(x, tokens_mask=mask, training=training)
        return x

    def compute_output_spec(
        self, inputs: Structure, training: bool | None = None
    ) -> keras.KerasTensor:
        shape = (inputs["token_ids"] if isinstance(inputs, dict) else inputs).shape
        return keras.KerasTensor((*shape, self.dim), self.compute_dtype)
