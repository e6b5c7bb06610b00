"""MoCo with a linear encoder in float64 NumPy, from Algorithm 1 of He et al. (2020)."""

import numpy as np


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def loss(kernel, queries, keys, queue, temperature):
    """Mean cross-entropy of picking each query's key among all keys of the batch and the queue."""
    candidates = np.concatenate([keys, queue])
    losses = []
    for row, query in enumerate(unit(queries @ kernel)):
        logits = np.array([query @ candidate for candidate in candidates]) / temperature
        losses.append(np.log(np.exp(logits).sum()) - logits[row])
    return float(np.mean(losses))


def train(kernel, steps, momentum, temperature, learning_rate, queue_size):
    """Trains with SGD on (view of the queries, view of the keys) of each step.

    Returns the losses, the kernel, and the kernel of the momentum encoder in the last step.
    """
    kernel = kernel.astype("float64")
    slow, losses = kernel, []
    queue = np.zeros((0, kernel.shape[1]))
    for number, (queries, keys) in enumerate(steps):
        slow = momentum * slow + (1 - momentum) * kernel if number else kernel
        keys = unit(keys @ slow)
        losses.append(loss(kernel, queries, keys, queue, temperature))
        gradient = np.zeros_like(kernel)
        for place in np.ndindex(*kernel.shape):
            change = np.zeros_like(kernel)
            change[place] = 1e-5
            plus = loss(kernel + change, queries, keys, queue, temperature)
            minus = loss(kernel - change, queries, keys, queue, temperature)
            gradient[place] = (plus - minus) / 2e-5
        kernel = kernel - learning_rate * gradient
        queue = np.concatenate([queue, keys])[-queue_size:]
    return losses, kernel, slow
