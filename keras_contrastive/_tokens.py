"""What a tower says of the parts of its input: tokens of a text, patches or a grid of a picture."""

from keras import ops


def check_tokens(name, tokens, grid=False):
    """Refuse what is no sequence, nor, where it may be one, a grid."""
    ranks = (3, 4) if grid else (3,)
    shape = getattr(tokens, "shape", None)
    if shape is None or len(shape) not in ranks:
        expected = "`(batch, length, dim)`" + (" or `(batch, height, width, dim)`" if grid else "")
        found = type(tokens).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"The tower of {name} must yield tokens, {expected}: one vector for each part of its input. "
            f"Received: {found}. Does the tower pool, or have several outputs? Of a backbone of keras-hub, take "
            '`keras.Model(backbone.input, backbone.output["sequence_output"])`.'
        )


def as_sequence(tokens, mask=None):
    """A grid as the sequence of its cells; and its mask, `None` or `(batch, cells)`."""
    check_tokens("image", tokens, grid=True)
    if len(tokens.shape) == 4:
        _, height, width, dim = tokens.shape
        cells = -1 if height is None or width is None else height * width
        tokens = ops.reshape(tokens, (ops.shape(tokens)[0], cells, dim))
    if mask is not None and len(mask.shape) == 3:
        mask = ops.reshape(mask, (ops.shape(mask)[0], -1))
    return tokens, mask


def class_token(tokens, mask=None):
    """The first token, which stands for the whole."""
    return as_sequence(tokens)[0][:, 0]


def masked_mean(tokens, mask=None):
    """The mean over the tokens that are there, in float32, in which no sum overflows."""
    tokens, mask = as_sequence(tokens, mask)
    wide = ops.cast(tokens, "float32")
    if mask is None:
        pooled = ops.mean(wide, axis=1)
    else:
        there = ops.expand_dims(ops.cast(mask, "float32"), -1)
        pooled = ops.sum(wide * there, axis=1) / ops.maximum(ops.sum(there, axis=1), 1.0)
    return ops.cast(pooled, tokens.dtype)


POOLINGS = {"mean": masked_mean, "class_token": class_token}


def as_text(inputs, padding_id=0):
    """Token ids, int32 `(batch, length)`, and which of them are there.

    Args:
        inputs: Token ids, padded with `padding_id`; or a dict with `"token_ids"` and `"padding_mask"`, as keras-hub's
            preprocessors make it.
        padding_id: Integer.
    """
    if isinstance(inputs, dict):
        missing = [name for name in ("token_ids", "padding_mask") if name not in inputs]
        if missing:
            raise ValueError(
                "A text must be token ids, or a dict with `token_ids` and `padding_mask`. "
                f"Received: a dict with {', '.join(map(str, inputs))}, which lacks {', '.join(missing)}."
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


def with_ids(inputs, ids):
    """The same text with other token ids."""
    return {**inputs, "token_ids": ids} if isinstance(inputs, dict) else ids
