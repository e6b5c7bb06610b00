"""BERT's layer with ALBEF's cross-attention, in float64 NumPy, one row and one head at a time."""

import math

import numpy as np

_erf = np.vectorize(math.erf)


def decoder(weights, blocks, ids, context, context_mask, excluded):
    """Logits `(length, vocabulary)` of an answer decoder for one answer.

    Args:
        weights: Dict by names such as `tokens/embeddings`.
        blocks: One dict of weights per block. See `block`.
        ids: `(length,)`.
        context: `(context_length, context_dim)`.
        context_mask: Bool `(context_length,)`.
        excluded: Ids whose logits are -inf.
    """
    tokens = weights["tokens/embeddings"][ids] + weights["positions"][: len(ids)]
    tokens = norm(weights, "norm", tokens, 1e-12)
    causal = np.tril(np.ones((len(ids), len(ids)), bool))
    for block_weights in blocks:
        tokens = block(block_weights, tokens, causal, context, context_mask)
    hidden = gelu(tokens @ weights["logits/hidden/kernel"] + weights["logits/hidden/bias"])
    hidden = norm(weights, "logits/norm", hidden, 1e-12)
    logits = hidden @ weights["logits/words/kernel"] + weights["logits/words/bias"]
    logits[:, list(excluded)] = -np.inf
    return logits


def block(weights, tokens, mask, context=None, context_mask=None, epsilon=1e-12):
    """One row `(length, dim)` through a block.

    Args:
        weights: Dict by names such as `self_attention/query/kernel`.
        tokens: `(length, dim)`.
        mask: Bool `(length,)`, False for padding, or `(length, length)` for each query.
        context: `None`, or `(context_length, context_dim)`.
        context_mask: Bool `(context_length,)`.
        epsilon: Epsilon of the layer normalization.
    """
    attended = attention(weights, "self_attention", tokens, tokens, mask)
    x = norm(weights, "self_attention_norm", tokens + attended, epsilon)
    if context is not None:
        attended = attention(weights, "cross_attention", x, context, context_mask)
        x = norm(weights, "cross_attention_norm", x + attended, epsilon)
    inner = x @ weights["inner/kernel"] + weights["inner/bias"]
    outer = gelu(inner) @ weights["outer/kernel"] + weights["outer/bias"]
    return norm(weights, "feed_forward_norm", x + outer, epsilon)


def gelu(x):
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


def attention(weights, name, queries, keys, mask):
    parts = ("query", "key", "value", "attention_output")
    kernels = {part: weights[f"{name}/{part}/kernel"] for part in parts}
    biases = {part: weights[f"{name}/{part}/bias"] for part in parts}
    dim = kernels["attention_output"].shape[-1]
    total = np.zeros((len(queries), dim)) + biases["attention_output"]
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
