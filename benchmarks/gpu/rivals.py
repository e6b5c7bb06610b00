"""Formulas of the CLIP loss that a user would write for a GPU instead of calling this library.

Each is a function of two views `(batch, dim)`. The products are in bfloat16, the rest in float32.
"""

import measure
import peers


def _clip_torch():
    import torch
    from torch.nn import functional

    def clip(a, b):
        with torch.autocast(a.device.type, dtype=torch.bfloat16):
            a, b = functional.normalize(a, dim=1), functional.normalize(b, dim=1)
            logits = a @ b.T / peers.TEMPERATURE
            targets = torch.arange(len(a), device=a.device)
            both = [functional.cross_entropy(x, targets) for x in (logits, logits.T)]
        return (both[0] + both[1]) / 2

    return clip


def _clip_torch_compiled():
    import torch

    return torch.compile(_clip_torch(), dynamic=False)


def _clip_jax():
    import jax.numpy as jnp
    import optax

    def clip(a, b):
        a, b = (x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
        a, b = a.astype("bfloat16"), b.astype("bfloat16")
        logits = jnp.matmul(a, b.T, preferred_element_type="float32") / peers.TEMPERATURE
        targets = jnp.arange(len(a))
        cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
        return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)).mean() / 2

    return clip


# Factories by name. They raise an `ImportError` if their library is missing.
RIVALS = {
    "torch": {
        "PyTorch, autocast": _clip_torch,
        "PyTorch, autocast, torch.compile": _clip_torch_compiled,
    },
    "jax": {"optax, bfloat16": _clip_jax},
}[measure.BACKEND]
