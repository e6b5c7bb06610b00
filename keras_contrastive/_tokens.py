"""Token sequences: checks, masks, and pooling to one vector."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_contrastive._typing import Structure, Tensor


def check_tokens(name: str, tokens: Any, grid: bool = False) -> None:
    """Raises a `ValueError` unless the output of a tower is a sequence of tokens.

    Args:
        name: Name of the modality, for the message.
        tokens: Output of the tower.
        grid: Whether a grid `(batch, height, width, dim)` is valid, too.
    """
    shape = getattr(tokens, "shape", None)
    if shape is None or len(shape) not in ((3, 4) if grid else (3,)):
        expected = "`(batch, length, dim)`" + (" or `(batch, height, width, dim)`" if grid else "")
        received = type(tokens).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"The tower of {name} must yield tokens, {expected}. Received: {received}. Use a tower "
            "with one output and without pooling. For a backbone of keras-hub, use "
            '`keras.Model(backbone.input, backbone.output["sequence_output"])`.'
        )


def as_sequence(tokens: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """Flattens a grid of tokens to a sequence, and its mask with it.

    Args:
        tokens: `(batch, length, dim)` or `(batch, height, width, dim)`.
        mask: `None`, or bool of the shape of `tokens` without the last axis.

    Returns:
        Tokens `(batch, length, dim)`, and the mask `(batch, length)` or `None`.
    """
    check_tokens("image", tokens, grid=True)
    if len(tokens.shape) == 4:
        _, height, width, dim = tokens.shape
        length = -1 if height is None or width is None else height * width
        tokens = ops.reshape(tokens, (ops.shape(tokens)[0], length, dim))
    if mask is not None and len(mask.shape) == 3:
        mask = ops.reshape(mask, (ops.shape(mask)[0], -1))
    return tokens, mask


def masked_mean(
    tokens: Tensor, mask: Tensor | None = None, token_ids: Tensor | None = None
) -> Tensor:
    """Computes the mean over the tokens that the mask selects, in float32."""
    tokens, mask = as_sequence(tokens, mask)
    # A sum over a long sequence overflows in float16.
    x = ops.cast(tokens, "float32")
    if mask is None:
        pooled = ops.mean(x, axis=1)
    else:
        weights = ops.expand_dims(ops.cast(mask, "float32"), -1)
        pooled = ops.sum(x * weights, axis=1) / ops.maximum(ops.sum(weights, axis=1), 1.0)
    return ops.cast(pooled, tokens.dtype)


def class_token(
    tokens: Tensor, mask: Tensor | None = None, token_ids: Tensor | None = None
) -> Tensor:
    """Returns the first token."""
    return as_sequence(tokens)[0][:, 0]


def last_token(
    tokens: Tensor, mask: Tensor | None = None, token_ids: Tensor | None = None
) -> Tensor:
    """Returns the last token that the mask selects. In a causal model it depends on all tokens."""
    tokens, mask = as_sequence(tokens, mask)
    if mask is None:
        return tokens[:, -1]
    positions = ops.arange(ops.shape(tokens)[1], dtype="int32")
    return _token_at(tokens, ops.max(ops.cast(mask, "int32") * positions, axis=1))


def end_of_text(
    tokens: Tensor, mask: Tensor | None = None, token_ids: Tensor | None = None
) -> Tensor:
    """Returns the token with the highest id, which is the end-of-text token of CLIP."""
    if token_ids is None:
        raise ValueError("The pooling 'end_of_text' needs token ids. Use another `pooling`.")
    return _token_at(tokens, ops.argmax(token_ids, axis=-1))


# Each takes tokens `(batch, length, dim)` or `(batch, height, width, dim)`, a mask (True for tokens
# that count) or `None`, and token ids `(batch, length)` or `None`. Each returns `(batch, dim)`.
POOLINGS: dict[str, Callable[..., Tensor]] = {
    "mean": masked_mean,
    "class_token": class_token,
    "last_token": last_token,
    "end_of_text": end_of_text,
}


def _token_at(tokens: Tensor, positions: Tensor) -> Tensor:
    positions = ops.cast(ops.reshape(positions, (-1, 1, 1)), "int32")
    return ops.squeeze(ops.take_along_axis(tokens, positions, axis=1), axis=1)


def as_text(inputs: Structure, padding_id: int = 0) -> tuple[Tensor, Tensor]:
    """Returns the token ids and the mask of a text.

    Args:
        inputs: Token ids, padded with `padding_id`. Or a dict with `"token_ids"` and
            `"padding_mask"`, the output of a preprocessor of keras-hub.
        padding_id: Integer.

    Returns:
        Token ids, int32 `(batch, length)`, and a bool mask of the same shape, False for padding.
    """
    if isinstance(inputs, dict):
        missing = [name for name in ("token_ids", "padding_mask") if name not in inputs]
        if missing:
            raise ValueError(
                "A text must be token ids, or a dict with `token_ids` and `padding_mask`. "
                f"Received: a dict with {', '.join(map(str, inputs))}. "
                f"It lacks {', '.join(missing)}."
            )
        ids, mask = inputs["token_ids"], ops.cast(inputs["padding_mask"], "bool")
    else:
        ids, mask = inputs, None
    if len(ids.shape) != 2:
        raise ValueError(
            f"Token ids must have the shape `(batch, length)`. Received: shape {tuple(ids.shape)}."
        )
    ids = ops.cast(ids, "int32")
    return ids, ids != padding_id if mask is None else mask


def with_ids(inputs: Structure, ids: Tensor) -> Structure:
    """Returns a text with other token ids."""
    return {**inputs, "token_ids": ids} if isinstance(inputs, dict) else ids
