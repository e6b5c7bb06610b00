"""One block of a transformer, with optional cross-attention."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import optional_positive_ints, positive_ints, real
from keras_contrastive._keras import copy_weights, finish_build
from keras_contrastive._typing import Config, Layer, Shape, Tensor

Activation = str | Callable[[Any], Any] | None


@keras.saving.register_keras_serializable(package="keras_contrastive")
def gelu_tanh(x: Tensor) -> Tensor:
    """Computes the tanh approximation of GELU, the activation of BERT in keras-hub."""
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TransformerBlock(keras.layers.Layer):
    """Applies self-attention, cross-attention to a context, and a feed-forward part.

    Each part has a residual connection with layer normalization after it, as in BERT and in the
    fusion layers of ALBEF. Without a `context`, the cross-attention is skipped, including its
    residual and normalization. The block then equals a block of BERT.

    Args:
        num_heads: Positive int, a divisor of the dimension of the tokens.
        hidden_dim: Positive int, the number of units of the feed-forward part.
        context_dim: The dimension of the context, or `None` for a block without cross-attention.
        dropout: Float in [0, 1), of attention weights and before each residual connection.
        activation: Activation of the feed-forward part.
        epsilon: Epsilon of the layer normalization.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        tokens: `(batch, length, dim)`.
        context: `None`, or `(batch, context_length, context_dim)`.
        tokens_mask: `None`, or bool `(batch, length)`, False for padding. No token attends to
            padding.
        context_mask: `None`, or bool `(batch, context_length)`.
        causal: Whether a token attends only to itself and to tokens before it.

    Returns:
        `(batch, length, dim)`. Values at padding do not change the other values.

    Raises:
        ValueError: If `num_heads` does not divide the dimension, or if a `context` is passed to a
            block without cross-attention.

    Reference:
        - [Devlin et al., 2019](https://arxiv.org/abs/1810.04805), Sec. 3.
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 3.1.

    Example:

    >>> block = TransformerBlock(num_heads=2, hidden_dim=8, context_dim=3)
    >>> tuple(block(keras.ops.ones((5, 4, 6)), context=keras.ops.ones((5, 9, 3))).shape)
    (5, 4, 6)
    """

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        context_dim: int | None = None,
        dropout: float = 0.0,
        activation: Activation = "gelu",
        epsilon: float = 1e-12,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        positive_ints(num_heads=num_heads, hidden_dim=hidden_dim)
        optional_positive_ints(context_dim=context_dim)
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.context_dim = context_dim
        self.dropout = real("dropout", dropout, 0, 1, include_high=False)
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon

    def build(self, tokens_shape: Shape, context_shape: Shape | None = None) -> None:
        """Creates the weights. Reads the dimension from the last axis of the tokens."""
        dim = tokens_shape[-1]
        if dim is None or dim % self.num_heads:
            raise ValueError(
                "`num_heads` must divide the dimension of the tokens. "
                f"Received: num_heads={self.num_heads}, tokens of dimension {dim}."
            )
        sequence = (None, None, dim)
        self.self_attention = self._attention(dim, "self_attention")
        self.self_attention.build(sequence, sequence)
        self.self_attention_norm = self._norm("self_attention_norm", sequence)
        self.cross_attention = None
        if self.context_dim is not None:
            context = (None, None, self.context_dim)
            self.cross_attention = self._attention(dim, "cross_attention")
            self.cross_attention.build(sequence, context)
            self.cross_attention_norm = self._norm("cross_attention_norm", sequence)
        self.inner = keras.layers.Dense(
            self.hidden_dim, self.activation, dtype=self.dtype_policy, name="inner"
        )
        self.inner.build(sequence)
        self.outer = keras.layers.Dense(dim, dtype=self.dtype_policy, name="outer")
        self.outer.build((None, None, self.hidden_dim))
        self.feed_forward_norm = self._norm("feed_forward_norm", sequence)
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy, name="drop")
        self.drop.build(sequence)
        finish_build(self)

    def _attention(self, dim: int, name: str) -> Layer:
        return keras.layers.MultiHeadAttention(
            self.num_heads,
            dim // self.num_heads,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name: str, shape: Shape) -> Layer:
        # Keras normalizes in float32 under every policy. In float16, an epsilon of 1e-12 is zero.
        norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build(shape)
        return norm

    def call(
        self,
        tokens: Tensor,
        context: Tensor | None = None,
        tokens_mask: Tensor | None = None,
        context_mask: Tensor | None = None,
        causal: bool = False,
        training: bool | None = None,
    ) -> Tensor:
        tokens = _without_keras_mask(tokens)
        attended = self.self_attention(
            tokens,
            tokens,
            attention_mask=_attention_mask(tokens_mask),
            use_causal_mask=causal,
            training=training,
        )
        x = self.self_attention_norm(tokens + self.drop(attended, training=training))
        if context is not None:
            if self.cross_attention is None:
                raise ValueError(
                    "`context` must be `None` for a block that has no cross-attention. "
                    f"Received: context.shape={tuple(context.shape)}. Create the block with "
                    f"`TransformerBlock(context_dim={context.shape[-1]})`."
                )
            context = _without_keras_mask(context)
            attended = self.cross_attention(
                x, context, attention_mask=_attention_mask(context_mask), training=training
            )
            x = self.cross_attention_norm(x + self.drop(attended, training=training))
        return self.feed_forward_norm(x + self.drop(self.outer(self.inner(x)), training=training))

    def copy_from(self, other: "TransformerBlock") -> None:
        """Copies the weights of another block of the same sizes.

        Copies the cross-attention only if both blocks have the same `context_dim`.

        Raises:
            ValueError: If the shapes of the weights differ.
        """
        parts = ["self_attention", "self_attention_norm", "inner", "outer", "feed_forward_norm"]
        if self.context_dim is not None and self.context_dim == other.context_dim:
            parts += ["cross_attention", "cross_attention_norm"]
        for part in parts:
            target, source = getattr(self, part), getattr(other, part)
            shapes, received = (
                [tuple(weight.shape) for weight in layer.weights] for layer in (target, source)
            )
            if shapes != received:
                raise ValueError(
                    f"The weights of `{part}` must have the shapes {shapes}. Received: {received}. "
                    "Use the same dimension of tokens, `num_heads` and `hidden_dim`."
                )
            copy_weights(target, source)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> None:
        # Masks are arguments of `call`, so the block does not pass on Keras' own.
        return None

    def compute_output_shape(self, tokens_shape: Shape, *_: Any, **__: Any) -> Shape:
        return tuple(tokens_shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "context_dim": self.context_dim,
            "dropout": self.dropout,
            "activation": keras.saving.serialize_keras_object(self.activation),
            "epsilon": self.epsilon,
        }


def _without_keras_mask(x: Tensor) -> Tensor:
    """Returns the tensor without a mask attached by Keras. `MultiHeadAttention` would apply it."""
    return x if getattr(x, "_keras_mask", None) is None else ops.copy(x)


def _attention_mask(mask: Tensor | None) -> Tensor | None:
    """Converts a mask of keys `(batch, keys)` to an attention mask `(batch, 1, keys)`.

    In a row without valid keys, all keys are attended to, so that the output is finite.
    """
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    is_empty = ops.logical_not(ops.any(mask, axis=1, keepdims=True))
    return ops.expand_dims(ops.logical_or(mask, is_empty), 1)
