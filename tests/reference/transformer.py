"""BERT's layer with ALBEF's cross-attention, in float64 NumPy, one row and one head at a time."""

import math

import numpy as np

_erf = np.vectorize(math.erf)


def block(weights, tokens, mask, context=None, context_mask=None, epsilon=1e-12):
    """One row `(length, dim)` through a block whose weights have names like `self_attention/query/kernel`.

    `mask` tells which tokens are there, `(length,)`, or which of them each one sees, `(length, length)`.
    """
    x = norm(
        weights,
        "self_attention_norm",
        tokens + attention(weights, "self_attention", tokens, tokens, mask),
        epsilon,
    )
    if context is not None:
        read = attention(weights, "cross_attention", x, context, context_mask)
        x = norm(weights, "cross_attention_norm", x + read, epsilon)
    inner = x @ weights["inner/kernel"] + weights["inner/bias"]
    outer = gelu(inner) @ weights["outer/kernel"] + weights["outer/bias"]
    return norm(weights, "feed_forward_norm", x + outer, epsilon)


def gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def attention(weights, name, queries, keys, mask):
    kernels = {
        part: weights[f"{name}/{part}/kernel"]
        for part in ("query", "key", "value", "attention_output")
    }
    biases = {part: weights[f"{name}/{part}/bias"] for part in kernels}
    total = (
        np.zeros((len(queries), kernels["attention_output"].shape[-1])) + biases["attention_output"]
    )
    for head in range(kernels["query"].shape[1]):
        q = queries @ kernels["query"][:, head] + biases["query"][head]
        k = keys @ kernels["key"][:, head] + biases["key"][head]
        v = keys @ kernels["value"][:, head] + biases["value"][head]
        logits = q @ k.T / math.sqrt(q.shape[-1])
        logits = np.where(np.atleast_2d(mask), logits, -np.inf)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        total += shares @ v @ kernels["attention_output"][head]
    return total


def norm(weights, name, x, epsilon):
    centered = x - x.mean(axis=-1, keepdims=True)
    scaled = centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon)
    return scaled * weights[f"{name}/gamma"] + weights[f"{name}/beta"]
