"""One block of the transformers here."""

import keras
from keras import ops

from keras_contrastive._checks import check_optional_sizes, check_sizes
from keras_contrastive._keras import copy_weights, finish_build


@keras.saving.register_keras_serializable(package="keras_contrastive")
def gelu_tanh(x):
    """GELU by its approximation with a tanh, with which the BERT of keras-hub computes."""
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class TransformerBlock(keras.layers.Layer):
    """Self-attention, cross-attention to another sequence, feed-forward: each with a residual, and normalized after it.

    The order is BERT's, and that of the layers of ALBEF that read an image. Without a `context` the cross-attention is
    skipped, residual and normalization included, and the block is one of BERT's.

    Args:
        num_heads: Positive int, which divides the dimension of the tokens.
        hidden_dim: Positive int, units inside the feed-forward part.
        context_dim: `None`, or the dimension of the sequence that is attended to; `None` for a block without
            cross-attention.
        dropout: In [0, 1), of attention weights and of what joins a residual.
        activation: Activation inside the feed-forward part.
        epsilon: Of the layer normalization.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        tokens: `(batch, length, dim)`.
        context: `None`, or `(batch, context_length, context_dim)`.
        tokens_mask: `None`, or bool `(batch, length)`, False for padding, which nothing attends to.
        context_mask: `None`, or bool `(batch, context_length)`.
        causal: Whether a token attends to none after it.

    Returns:
        `(batch, length, dim)`. What stands at padding is of no consequence to the rest.

    Raises:
        ValueError: A dimension that the heads do not divide; a `context` where there is no cross-attention.

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
        num_heads,
        hidden_dim,
        context_dim=None,
        dropout=0.0,
        activation="gelu",
        epsilon=1e-12,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_sizes(num_heads=num_heads, hidden_dim=hidden_dim)
        check_optional_sizes(context_dim=context_dim)
        self.num_heads = num_heads
        self.hidden_dim = hidden_dim
        self.context_dim = context_dim
        self.dropout = dropout
        self.activation = keras.activations.get(activation)
        self.epsilon = epsilon

    def build(self, tokens_shape, context_shape=None):
        """Create the weights; the dimension is the last number of the shape of the tokens."""
        dim = tokens_shape[-1]
        if dim % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the dimension of the tokens. Received: num_heads={self.num_heads}, tokens of "
                f"dimension {dim}."
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

    def _attention(self, dim, name):
        return keras.layers.MultiHeadAttention(
            self.num_heads,
            dim // self.num_heads,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )

    def _norm(self, name, shape):
        # In float16 the paper's 1e-12 would be zero, so Keras normalizes in float32.
        norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name=name
        )
        norm.build(shape)
        return norm

    def call(
        self, tokens, context=None, tokens_mask=None, context_mask=None, causal=False, training=None
    ):
        tokens = _unmasked(tokens)
        attended = self.self_attention(
            tokens,
            tokens,
            attention_mask=_of_keys(tokens_mask),
            use_causal_mask=causal,
            training=training,
        )
        x = self.self_attention_norm(tokens + self.drop(attended, training=training))
        if context is not None:
            if self.cross_attention is None:
                raise ValueError(
                    "This block has no cross-attention. Give it the dimension of what it is to read: "
                    f"`TransformerBlock(context_dim={context.shape[-1]})`. Received: context.shape={tuple(context.shape)}."
                )
            context = _unmasked(context)
            attended = self.cross_attention(
                x, context, attention_mask=_of_keys(context_mask), training=training
            )
            x = self.cross_attention_norm(x + self.drop(attended, training=training))
        return self.feed_forward_norm(x + self.drop(self.outer(self.inner(x)), training=training))

    def copy_from(self, other):
        """Begin with the weights of another block of these sizes; its cross-attention is taken if it reads as wide."""
        parts = ["self_attention", "self_attention_norm", "inner", "outer", "feed_forward_norm"]
        if self.context_dim is not None and self.context_dim == other.context_dim:
            parts += ["cross_attention", "cross_attention_norm"]
        for part in parts:
            own, theirs = getattr(self, part), getattr(other, part)
            shapes, found = (
                [tuple(weight.shape) for weight in layer.weights] for layer in (own, theirs)
            )
            if shapes != found:
                raise ValueError(
                    f"The weights of `{part}` have the shapes {shapes}. Received: {found}. Do the dimension of the "
                    "tokens, `num_heads` and `hidden_dim` agree?"
                )
            copy_weights(own, theirs)

    def compute_mask(self, inputs, previous_mask):
        return None  # who needs the mask is told it

    def compute_output_shape(self, tokens_shape, *_, **__):
        return tuple(tokens_shape)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "context_dim": self.context_dim,
            "dropout": self.dropout,
            "activation": keras.saving.serialize_keras_object(self.activation),
            "epsilon": self.epsilon,
        }


def _unmasked(x):
    """A tensor without the mask that Keras may have hung on it, by which padding would attend to nothing."""
    return x if getattr(x, "_keras_mask", None) is None else ops.copy(x)


def _of_keys(mask):
    """Which keys each query attends to, `(batch, 1, keys)`; a row that has none attends to all, and stays finite."""
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    nothing = ops.logical_not(ops.any(mask, axis=1, keepdims=True))
    return ops.expand_dims(ops.logical_or(mask, nothing), 1)
