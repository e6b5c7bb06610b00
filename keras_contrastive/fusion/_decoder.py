"""The decoder of answers."""

from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._keras import finish_build
from keras_contrastive._transformer import TokenTransformer
from keras_contrastive._typing import Config, Layer, LayerArguments, Shape, Tensor
from keras_contrastive.fusion._word_logits import WordLogits


@keras.saving.register_keras_serializable(package="keras_contrastive")
class AnswerDecoder(TokenTransformer):
    """Predicts the next word of an answer from a context and the words before it.

    The layer is a causal transformer with cross-attention to the context. ALBEF initializes it with
    the weights of the fusion encoder: see `load_blocks`.

    Args:
        vocabulary_size: Positive int. Token ids are in `[0, vocabulary_size)`.
        max_length: Positive int, length of the longest answer, including `start_id` and `end_id`.
        start_id: Integer, the id before the first word.
        end_id: Integer, the id after the last word.
        dim: Positive int that `num_heads` divides, dimension of the tokens.
        num_layers: Positive int, number of blocks.
        num_heads: Positive int.
        hidden_dim: `None` for `4 * dim`, or the number of units in the feed-forward parts.
        dropout: Float in [0, 1).
        activation: Activation in the feed-forward parts.
        epsilon: Epsilon of the layer normalization.
        padding_id: Integer, the id after the end.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        ids: int32 `(batch, length)`. Each row begins with `start_id`.
        context: `(batch, context_length, context_dim)`.
        context_mask: `None`, or bool `(batch, context_length)`, False for padding.

    Returns:
        Logits of the word after each position, float32 `(batch, length, vocabulary_size)`. Logits
        of `start_id` and `padding_id` are -inf. A position does not depend on later positions.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a size is not positive, the special ids are not three different ids of the
            vocabulary, or an answer is longer than `max_length`.

    Example:

    >>> decoder = AnswerDecoder(
    ...     30, max_length=5, start_id=1, end_id=2, dim=8, num_layers=1, num_heads=2
    ... )
    >>> tuple(decoder(np.array([[1, 7, 9]]), keras.ops.ones((1, 4, 6))).shape)
    (1, 3, 30)
    """

    def __init__(
        self,
        vocabulary_size: int,
        max_length: int,
        start_id: int,
        end_id: int,
        dim: int = 128,
        num_layers: int = 2,
        num_heads: int = 4,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        activation: Any = "gelu",
        epsilon: float = 1e-12,
        padding_id: int = 0,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(
            vocabulary_size,
            max_length,
            dim,
            num_layers,
            num_heads,
            hidden_dim,
            dropout,
            activation,
            epsilon,
            padding_id,
            **kwargs,
        )
        _checks.different_token_ids(
            vocabulary_size, start_id=start_id, end_id=end_id, padding_id=padding_id
        )
        self.start_id = start_id
        self.end_id = end_id
        self.logits = WordLogits(vocabulary_size, dtype=self.dtype_policy, name="logits")

    def build(self, ids_shape: Shape, context_shape: Shape) -> None:
        """Creates the weights for a context of this dimension."""
        self.make_weights(context_shape[-1])
        self.logits.build((None, None, self.dim))
        finish_build(self)

    def call(
        self,
        ids: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        return self.next_word_logits(self.hidden_states(ids, context, context_mask, training))

    def hidden_states(
        self,
        ids: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Computes the hidden state of each position, `(batch, length, dim)`. See `call`."""
        x = self.embed(ops.cast(ids, "int32"), training)
        for block in self.blocks:
            x = block(x, context=context, context_mask=context_mask, causal=True, training=training)
        return x

    def next_word_logits(self, hidden_states: Tensor) -> Tensor:
        """Computes the logits of the word after each position from its hidden state.

        Args:
            hidden_states: `(batch, length, dim)`.

        Returns:
            float32 `(batch, length, vocabulary_size)`.
        """
        ids = ops.arange(self.vocabulary_size)
        excluded = ops.logical_or(ids == self.start_id, ids == self.padding_id)
        return ops.where(excluded, float("-inf"), self.logits(hidden_states))

    def load_blocks(self, fusion: Layer) -> None:
        """Copies weights from the last blocks of a fusion encoder.

        The cross-attention is copied if the image tokens have the dimension of the context. For an
        encoder of several images, the first block of each layer is copied.

        Args:
            fusion: A built `FusionEncoder` of the same sizes, with at least as many blocks.

        Raises:
            ValueError: If the sizes differ, or a part is not built.
        """
        blocks = fusion.blocks[:: fusion.num_images] if fusion.built else []
        if not self.built or len(blocks) < self.num_layers:
            decoder = "built" if self.built else "not built"
            raise ValueError(
                f"`fusion` must be built and have at least {self.num_layers} blocks, and the "
                f"decoder must be built. Received: {len(blocks) or 'no'} blocks, and a decoder "
                f"that is {decoder}."
            )
        for block, source in zip(self.blocks, blocks[-self.num_layers :], strict=True):
            block.copy_from(source)

    def compute_output_spec(
        self,
        ids: Tensor,
        context: Tensor,
        context_mask: Tensor | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        return keras.KerasTensor((*ids.shape, self.vocabulary_size), "float32")

    def get_config(self) -> Config:
        return {**super().get_config(), "start_id": self.start_id, "end_id": self.end_id}
