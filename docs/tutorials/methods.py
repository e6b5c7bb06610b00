# %% [markdown]
# # The papers' methods side by side
#
# SimCLR, MoCo, BYOL, SimSiam, Barlow Twins, VICReg and SupCon are one trainer with other parts.
# This tutorial trains all of them on the same digits, with the same encoder, and compares the
# features.

# %%
import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits

import keras_contrastive as kc

digits = load_digits()
images, labels = digits.images[..., None].astype("float32") / 16, digits.target
train, test = slice(0, 1200), slice(1200, None)
layers = keras.layers

# %% [markdown]
# ## Parts
#
# Every method has an encoder, a projector and an augmenter.


# %%
def new_encoder():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
        ]
    )


def mlp(*sizes):
    parts = []
    for size in sizes[:-1]:
        parts += [layers.Dense(size), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*parts, layers.Dense(sizes[-1])])


crop = kc.augmentation.RandomResizedCrop(scale=(0.5, 1.0))
augmenter = keras.Sequential([crop, layers.GaussianNoise(0.1)])

# %% [markdown]
# The rest is a loss, and for some methods a slow copy of the encoder (`teacher`) or a predictor.


# %%
def methods():
    queue, teacher = kc.layers.EmbeddingQueue(600), kc.layers.MomentumTeacher
    return {
        "SimCLR": (kc.losses.NTXent(0.2), {}),
        "MoCo": (kc.losses.InfoNCE(0.2, memory=queue), {"teacher": teacher(0.98)}),
        "BYOL": (
            kc.losses.NegativeCosine(),
            {"teacher": teacher(0.98), "predictors": mlp(32, 64)},
        ),
        "SimSiam": (kc.losses.NegativeCosine(), {"predictors": mlp(32, 64)}),
        "Barlow Twins": (kc.losses.BarlowTwins(), {}),
        "VICReg": (kc.losses.VICReg(), {}),
        "SupCon (labels)": (kc.losses.SupCon(0.1), {}),
    }


# %% [markdown]
# ## Train and probe
#
# Twenty epochs each, and logistic regression on the frozen encoder with five labels per class. Only
# SupCon trains with labels.


# %%
def accuracy(features):
    found = kc.evaluation.linear_probe(
        features[train], labels[train], features[test], labels[test], shots=5, seed=0
    )
    return found["5_shot_top_1_accuracy"], found["5_shot_top_1_accuracy_error"]


results = {"pixels": accuracy(images.reshape(len(images), -1))}
keras.utils.set_random_seed(0)
results["untrained"] = accuracy(new_encoder().predict(images, verbose=0))
for name, (loss, parts) in methods().items():
    keras.utils.set_random_seed(0)
    model = kc.ContrastiveTrainer(
        new_encoder(), augmenters=augmenter, projectors=mlp(128, 64), **parts
    )
    model.compile(keras.optimizers.Adam(3e-3), loss=loss)
    y = labels[train] if "labels" in name else None
    model.fit(images[train], y, batch_size=120, epochs=20, verbose=0)
    results[name] = accuracy(model.embedder(projected=False).predict(images, verbose=0))
for name, (mean, error) in results.items():
    print(f"{name:<16} {mean:.3f} ± {error:.3f}")

# %% [markdown]
# After twenty epochs, only SupCon is better than pixels. One run of one setting is a first look,
# and no ranking: the order of the others changes from run to run. [Methods](../methods.md) has
# 1,000 steps, five seeds and chosen learning rates. There, all methods are better than pixels with
# five labels.
#
# ## Look at the result

# %% alt="Accuracy with five labels per class for pixels, an untrained encoder and each method."
figure = Figure(figsize=(7.2, 3.6), dpi=100, layout="constrained")
axes = figure.subplots()
means, errors = np.array(list(results.values())).T
colors = ["#8c8c8c" if name in ("pixels", "untrained") else "#0072b2" for name in results]
axes.barh(list(results), means, xerr=errors, color=colors)
axes.invert_yaxis()
axes.set(xlim=(0.5, 1), xlabel="accuracy with 5 labels per class")
title = "After 20 epochs, only SupCon is better than pixels"
axes.set_title(title, loc="left", fontweight="bold")
axes.spines[["top", "right"]].set_visible(False)
figure
