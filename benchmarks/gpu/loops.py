"""Training loops written by hand: the same towers, or towers of PyTorch, without Keras' trainer."""

import time

import measure

from gpu.rivals import RIVALS
from gpu.towers import towers


def timed(step, data, sizes):
    """Returns the seconds of the first step, and of one pass over the data after another one.

    Args:
        step: Function of the images and the texts of a batch. Returns the loss, not yet computed.
        data: NumPy arrays of all rows.
        sizes: `Sizes`.
    """
    batches = [
        [x[start : start + sizes.batch] for x in (data["image"], data["text"])]
        for start in range(0, len(data["text"]), sizes.batch)
    ]
    start = time.perf_counter()
    measure.finish(step(*batches[0]))
    first = time.perf_counter() - start
    for _ in range(2):
        start = time.perf_counter()
        for batch in batches:
            loss = step(*batch)
        float(measure.finish(loss))
    return first, time.perf_counter() - start


def _torch_loop(modules, data, sizes, rate):
    """Trains two PyTorch modules under autocast. Layers of Keras are modules as well."""
    import torch

    device = "cuda" if measure.accelerator() else "cpu"
    weights = [weight for module in modules for weight in module.parameters()]
    optimizer = torch.optim.AdamW(weights, rate, fused=device == "cuda")
    clip = RIVALS["PyTorch, autocast"]()

    def step(image, text):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            inputs = [torch.from_numpy(x).to(device) for x in (image, text)]
            loss = clip(*(module(x) for module, x in zip(modules, inputs, strict=True)))
        loss.backward()
        optimizer.step()
        return loss.detach()

    return timed(step, data, sizes)


def keras_towers_in_torch(data, sizes, rate):
    return _torch_loop([*towers(sizes).values()], data, sizes, rate)


def torch_towers(data, sizes, rate):
    import torch
    from torch import nn

    class Tower(nn.Module):
        def __init__(self, embed, positions):
            super().__init__()
            self.embed = embed
            self.first = nn.Parameter(torch.zeros(1, 1, sizes.dim))
            self.positions = nn.Parameter(torch.randn(positions + 1, sizes.dim) * 0.02)
            arguments = {"dropout": 0.0, "activation": "gelu", "batch_first": True}
            layer = nn.TransformerEncoderLayer(sizes.dim, sizes.heads, 4 * sizes.dim, **arguments)
            self.blocks = nn.TransformerEncoder(layer, sizes.layers, enable_nested_tensor=False)
            self.norm, self.head = nn.LayerNorm(sizes.dim), nn.Linear(sizes.dim, sizes.output)

        def forward(self, x):
            x = self.embed(x)
            x = torch.cat([self.first.expand(len(x), 1, -1), x], dim=1) + self.positions
            return self.head(self.blocks(self.norm(x))[:, 0])

    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.project = nn.Conv2d(sizes.image[2], sizes.dim, sizes.patch, sizes.patch)

        def forward(self, x):
            return self.project(x.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)

    device = "cuda" if measure.accelerator() else "cpu"
    patches = sizes.image[0] // sizes.patch * (sizes.image[1] // sizes.patch)
    modules = [
        Tower(Patches(), patches).to(device),
        Tower(nn.Embedding(sizes.vocabulary, sizes.dim), sizes.tokens).to(device),
    ]
    return _torch_loop(modules, data, sizes, rate)


def keras_towers_in_jax(data, sizes, rate):
    import jax
    import optax

    models = [*towers(sizes).values()]
    weights = [[x.value for x in model.trainable_variables] for model in models]
    fixed = [[x.value for x in model.non_trainable_variables] for model in models]
    optimizer, clip = optax.adamw(rate), RIVALS["optax, bfloat16"]()

    def loss(weights, inputs):
        outputs = [
            model.stateless_call(own, constant, x, training=True)[0].astype("float32")
            for model, own, constant, x in zip(models, weights, fixed, inputs, strict=True)
        ]
        return clip(*outputs)

    @jax.jit
    def update(weights, state, inputs):
        value, gradients = jax.value_and_grad(loss)(weights, inputs)
        changes, state = optimizer.update(gradients, state, weights)
        return optax.apply_updates(weights, changes), state, value

    current = [weights, optimizer.init(weights)]

    def step(*inputs):
        current[0], current[1], value = update(*current, inputs)
        return value

    return timed(step, data, sizes)


# Functions of the data, the sizes and the learning rate, by name.
LOOPS = {
    "torch": {
        "loop in PyTorch, the same towers": keras_towers_in_torch,
        "loop in PyTorch, towers of PyTorch": torch_towers,
    },
    "jax": {"loop in JAX with optax, the same towers": keras_towers_in_jax},
}[measure.BACKEND]
