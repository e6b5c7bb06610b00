"""The half of a model that writes."""

import keras
from keras import ops

from keras_contrastive._keras import finish_build
from keras_contrastive._transformer import TokenTransformer
from keras_contrastive.fusion._checks import check_special_ids
from keras_contrastive.fusion._word_logits import WordLogits


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerDecoder(TokenTransformer):
    """A transformer that reads a context and, of an answer, what has been written, and says which word comes next.

    ALBEF's begins with the weights of its fusion encoder, and of the words: `load_blocks` copies the former.

    Args:
        vocabulary_size: Positive int; ids are in `[0, vocabulary_size)`.
        max_length: Positive int, the longest answer, with its first and its last token.
        start_id: Integer, the id before the first word.
        end_id: Integer, the id after the last word.
        dim: Positive int, dimension of the tokens, which `num_heads` divides.
        num_layers: Positive int, how many blocks.
        num_heads: Positive int.
        hidden_dim: `None`, or the units inside the feed-forward parts; by default four times `dim`.
        dropout: In [0, 1).
        activation: Activation inside the feed-forward parts.
        epsilon: Of the layer normalization.
        padding_id: Integer, the id after the end.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        ids: int32 `(batch, length)`, which begin with `start_id`.
        context: `(batch, context_length, context_dim)`, what is read.
        context_mask: `None`, or bool `(batch, context_length)`, False for padding.

    Returns:
        Logits of the word after each place, float32 `(batch, length, vocabulary_size)`; those of `start_id` and of
        `padding_id` are -inf, since neither is ever next. A place is told nothing of what comes after it.

    Raises:
        ValueError: Sizes that are not positive; ids that are no ids of the vocabulary, or not three different ones; an
            answer that is longer than `max_length`.

    Example:

    >>> decoder = AnswerDecoder(30, max_length=5, start_id=1, end_id=2, dim=8, num_layers=1, num_heads=2)
    >>> tuple(decoder(np.array([[1, 7, 9]]), keras.ops.ones((1, 4, 6))).shape)
    (1, 3, 30)
    """

    def __init__(self, vocabulary_size, max_length, start_id, end_id, *args, **kwargs):
        super().__init__(vocabulary_size, max_length, *args, **kwargs)
        check_special_ids(
            vocabulary_size, start_id=start_id, end_id=end_id, padding_id=self.padding_id
        )
        self.start_id = start_id
        self.end_id = end_id
        self.logits = WordLogits(vocabulary_size, dtype=self.dtype_policy, name="logits")

    def build(self, ids_shape, context_shape):
        """Create the weights for a context of this dimension."""
        self.make_weights(context_shape[-1])
        self.logits.build((None, None, self.dim))
        finish_build(self)

    def call(self, ids, context, context_mask=None, training=None):
        return self.words_after(self.read(ids, context, context_mask, training))

    def read(self, ids, context, context_mask=None, training=None):
        """What is known of each place, `(batch, length, dim)`."""
        x = self.embed(ops.cast(ids, "int32"), training)
        for block in self.blocks:
            x = block(x, context=context, context_mask=context_mask, causal=True, training=training)
        return x

    def words_after(self, x):
        """Logits of the word after each place, from what is known of it."""
        number = ops.arange(self.vocabulary_size)
        never = ops.logical_or(number == self.start_id, number == self.padding_id)
        return ops.where(never, float("-inf"), self.logits(x))

    def load_blocks(self, fusion):
        """Copy the last blocks of a fusion encoder; cross-attention as well, if the image is as wide as the context.

        Args:
            fusion: A built `FusionEncoder` of the same sizes, with at least as many blocks.

        Raises:
            ValueError: Sizes that differ, or parts that are not built.
        """
        layers = (
            fusion.blocks[:: fusion.num_images] if fusion.built else []
        )  # of several images, the first of each layer
        if not self.built or len(layers) < self.num_layers:
            raise ValueError(
                f"A decoder of {self.num_layers} blocks takes as many from a fusion encoder, when both are built. "
                f"Received: {len(layers) or 'no'} blocks, and a decoder that is "
                f"{'built' if self.built else 'not built'}."
            )
        for block, other in zip(self.blocks, layers[-self.num_layers :], strict=True):
            block.copy_from(other)

    def compute_output_spec(self, ids, context, context_mask=None, training=None):
        return keras.KerasTensor((*ids.shape, self.vocabulary_size), "float32")

    def get_config(self):
        return {**super().get_config(), "start_id": self.start_id, "end_id": self.end_id}
