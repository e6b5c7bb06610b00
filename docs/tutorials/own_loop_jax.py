# %% [markdown]
# # Your own training loop in JAX
#
# A loss of this package works under `jax.jit` and `jax.grad`, with parameters that are plain arrays
# or come from any library. This tutorial trains two small networks to match the halves of digits,
# with optax, and trains the temperature too.

# %%
import os

os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported

import jax
import numpy as np
import optax
from sklearn.datasets import load_digits

import keras_contrastive as kc

images = load_digits().images.astype("float32") / 16
top, bottom = images[:, :4].reshape(-1, 32), images[:, 4:].reshape(-1, 32)

# %% [markdown]
# ## Networks


# %%
def new_tower(key):
    keys = jax.random.split(key)
    return {
        "hidden": jax.random.normal(keys[0], (32, 256)) / 32**0.5,
        "output": jax.random.normal(keys[1], (256, 64)) / 256**0.5,
    }


def embed(tower, x):
    return jax.nn.relu(x @ tower["hidden"]) @ tower["output"]


keys = jax.random.split(jax.random.key(0))
loss = kc.losses.InfoNCE(temperature=kc.layers.LearnableTemperature(0.1))
loss.build()
weights = {
    "top": new_tower(keys[0]),
    "bottom": new_tower(keys[1]),
    "loss": [weight.value for weight in loss.trainable_variables],
}
optimizer = optax.adam(1e-3)
state = optimizer.init(weights)

# %% [markdown]
# ## A step
#
# `stateless_call` takes the weights of the loss as arguments, so that `jax.grad` finds them. Its
# second result is the new state of the loss, such as a queue. `InfoNCE` has none. A loss without
# weights is simpler: `loss(None, views)`.
#
# A loss with state, such as `kc.GammaContrastive(num_items=1200)`, needs three more things:
#
# * Start from `memory = [variable.value for variable in loss.non_trainable_variables]`.
# * Pass `memory` instead of `[]`, and ids instead of `None`. Here, the ids are `rows`.
# * Let `objective` return both results, differentiate it with
#   `jax.value_and_grad(objective, has_aux=True)`, and pass the new `memory` to the next step.


# %%
def objective(weights, x):
    views = embed(weights["top"], x["top"]), embed(weights["bottom"], x["bottom"])
    value, _ = loss.stateless_call(weights["loss"], [], None, views, training=True)
    return value


@jax.jit
def step(weights, state, x):
    value, gradients = jax.value_and_grad(objective)(weights, x)
    updates, state = optimizer.update(gradients, state)
    return optax.apply_updates(weights, updates), state, value


# %% [markdown]
# ## Train

# %%
rng = np.random.default_rng(0)
new = slice(1200, None)
log = {"loss": [], "val_hit_rate_at_10": []}
for _ in range(10):
    losses = []
    for rows in rng.permutation(1200).reshape(-1, 120):
        x = {"top": top[rows], "bottom": bottom[rows]}
        weights, state, value = step(weights, state, x)
        losses.append(float(value))
    queries, corpus = embed(weights["top"], top[new]), embed(weights["bottom"], bottom[new])
    found = kc.evaluation.retrieval(queries, corpus)
    log["loss"].append(np.mean(losses))
    log["val_hit_rate_at_10"].append(found["hit_rate_at_10"])
print("matching half among the first 10 of 597:", round(log["val_hit_rate_at_10"][-1], 2))

# %% [markdown]
# Give the trained temperature back to the loss to read it:

# %%
for variable, value in zip(loss.trainable_variables, weights["loss"], strict=True):
    variable.assign(value)
print(f"temperature: {1 / float(loss.temperature.scale):.3f}")

# %% [markdown]
# ## Look at the curves

# %% alt="The loss falls and the hit rate rises."
kc.viz.training(log, batch_size=120, title="The loss falls, and more new halves are found")
