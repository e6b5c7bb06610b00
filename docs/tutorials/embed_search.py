# %% [markdown]
# # Embed, search, plot, export
#
# You have a trained model, and want to use it: compute vectors, find similar items, look at the
# space, and serve the model without this package.

# %%
import pathlib

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_contrastive as kc

keras.utils.set_random_seed(0)
digits = load_digits()
images, labels = digits.images.astype("float32") / 16, digits.target
known, new = slice(0, 1500), slice(1500, None)

# %% [markdown]
# ## A model
#
# Two networks learn to match the upper and the lower half of handwritten digits.

# %%
layers = keras.layers
halves = {"top": images[:, :4], "bottom": images[:, 4:]}


def tower():
    hidden = layers.Dense(256, activation="relu")
    return keras.Sequential([keras.Input((4, 8)), layers.Flatten(), hidden, layers.Dense(64)])


model = kc.ContrastiveTrainer({"top": tower(), "bottom": tower()})
model.compile("adam", loss=kc.losses.InfoNCE(temperature=0.1))
log = model.fit(
    {name: half[known] for name, half in halves.items()}, batch_size=125, epochs=10, verbose=0
)

# %% [markdown]
# ## Embed
#
# `embedder` returns a model for one modality. Its vectors have unit length, so their inner product
# is the cosine. Save the vectors of your corpus, with the model that made them.

# %%
top, bottom = model.embedder("top"), model.embedder("bottom")
corpus = bottom.predict(halves["bottom"][new], verbose=0)
np.save("corpus.npy", corpus)
bottom.save("bottom.keras")
print(corpus.shape, corpus.dtype, np.linalg.norm(corpus, axis=1)[:3])

# %% [markdown]
# In another process, load both. `load_model` needs `import keras_contrastive` before it.

# %%
loaded, vectors = keras.saving.load_model("bottom.keras"), np.load("corpus.npy")
print(np.abs(loaded.predict(halves["bottom"][new], verbose=0) - vectors).max() < 1e-5)

# %% [markdown]
# ## Search
#
# `search` compares tiles of the corpus, so memory does not grow with it. For millions of rows, use
# an approximate index ([search](../search.md)).

# %% alt="Six upper halves of digits and the five most similar lower halves."
queries = top.predict(halves["top"][new], verbose=0)
scores, rows = kc.evaluation.search(queries, corpus, k=5)
kc.viz.neighbors(
    halves["top"][new][:6],
    halves["bottom"][new],
    rows[:6],
    scores[:6],
    np.arange(6),
    np.arange(297),
    title="Upper halves, and the lower halves that fit best",
)

# %% [markdown]
# How good is the search on all 297 new digits?

# %%
found = kc.evaluation.retrieval(queries, corpus)
for name in ("hit_rate_at_1", "hit_rate_at_5", "hit_rate_at_10", "median_rank"):
    print(f"{name:<15} {found[name]:.2f}")

# %% [markdown]
# ## Plot
#
# A map shows groups and outliers. `kc.viz.projector` writes the files of an interactive map for
# TensorBoard, with the images. A notebook shows the figure of a cell. In a script, save it with
# `figure.savefig("map.png")` ([figures](../figures.md)).

# %% alt="A map of lower halves of digits. Digits with similar lower halves are near each other."
kc.viz.projector("logs", corpus, {"digit": labels[new]}, halves["bottom"][new])
print(*sorted(path.name for path in pathlib.Path("logs").iterdir()))
kc.viz.embeddings(
    corpus,
    labels[new],
    halves["bottom"][new],
    title="Lower halves of the same digit are near each other",
)

# %% [markdown]
# ## Export
#
# The exported program needs PyTorch only, neither Keras nor this package. It takes batches of any
# size. TensorFlow and JAX write `format="tf_saved_model"` instead, and `format="onnx"` works with
# the extra `onnx` ([all formats](../embed_search_serve.md#serve-without-this-package)).

# %%
import torch

top.export("top.pt2", format="torch", verbose=False)
program = torch.export.load("top.pt2").module()
served = program(torch.from_numpy(halves["top"][new][:7])).detach().numpy()
print(np.abs(served - queries[:7]).max() < 1e-5)
