# %% [markdown]
# # Your own training loop in PyTorch
#
# A loss of this package is a function of embeddings. It takes tensors of PyTorch, from modules of
# PyTorch, in a loop of yours. This tutorial trains two modules to match the halves of digits, and
# the temperature too.

# %%
import numpy as np
import torch
from sklearn.datasets import load_digits

import keras_contrastive as kc  # with the environment variable KERAS_BACKEND=torch

torch.manual_seed(0)
images = torch.tensor(load_digits().images / 16, dtype=torch.float32)
top, bottom = images[:, :4].flatten(1), images[:, 4:].flatten(1)

# %% [markdown]
# ## Modules and loss
#
# `build` makes the weights of the loss. Here it has one, the temperature. Optimize it together with
# those of the encoders.


# %%
def tower():
    return torch.nn.Sequential(torch.nn.Linear(32, 256), torch.nn.ReLU(), torch.nn.Linear(256, 64))


embed_top, embed_bottom = tower(), tower()
loss = kc.losses.InfoNCE(temperature=kc.layers.LearnableTemperature(0.1))
loss.build()
temperature = [weight.value for weight in loss.trainable_variables]
weights = [*embed_top.parameters(), *embed_bottom.parameters(), *temperature]
optimizer = torch.optim.Adam(weights, lr=1e-3)

# %% [markdown]
# ## Train
#
# `loss(None, (a, b), training=True)` returns a scalar tensor with gradients. The first argument
# takes ids: rows with the same id are never negatives of each other.

# %%
known, new = torch.arange(1200), torch.arange(1200, 1797)
log = {"loss": [], "temperature": [], "val_hit_rate_at_10": []}
for _ in range(10):
    losses = []
    for rows in known[torch.randperm(1200)].split(120):
        views = embed_top(top[rows]), embed_bottom(bottom[rows])
        value = loss(None, views, training=True)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.item())
    with torch.no_grad():
        queries, corpus = embed_top(top[new]), embed_bottom(bottom[new])
    found = kc.evaluation.retrieval(queries, corpus)
    log["loss"].append(np.mean(losses))
    log["temperature"].append(1 / loss.temperature.scale.item())
    log["val_hit_rate_at_10"].append(found["hit_rate_at_10"])
print("matching half among the first 10 of 597:", round(log["val_hit_rate_at_10"][-1], 2))

# %% [markdown]
# A queue, running partitions and other state of a loss need nothing more in PyTorch: a call with
# `training=True` updates them.
#
# ## Look at the curves

# %% alt="The loss falls, so does the temperature, and the hit rate rises."
kc.viz.training(log, batch_size=120, title="The loss falls, and more new halves are found")
