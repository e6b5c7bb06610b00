# %% [markdown]
# # Augmentation gallery
#
# An encoder ignores what differs between the views of an image. Look at the views, and leave out
# each change that matters to you. All augmenters are in `kc.augmentation`.

# %%
import keras
import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_sample_image

import keras_contrastive as kc

photo = load_sample_image("flower.jpg")[:, 120:547]  # 427 x 427 pixels, a part of scikit-learn
image = keras.ops.convert_to_numpy(keras.ops.image.resize(photo.astype("float32"), (96, 96)))


def views(augmenter):
    """Six views of the photo, values in [0, 255]."""
    batch = np.repeat(image[None], 6, axis=0)
    return keras.ops.convert_to_numpy(augmenter(batch, training=True)).clip(0, 255).astype("uint8")


def show(augmenters):
    """Draws a row of views for each augmenter."""
    figure = Figure(figsize=(7.2, 1.5 * len(augmenters)), dpi=50)
    grid = figure.subplots(len(augmenters), 6, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.95, bottom=0.01, wspace=0.05, hspace=0.25)
    for row, (name, augmenter) in zip(grid, augmenters.items(), strict=True):
        row[0].set_title(name, loc="left", fontsize=9.5, fontweight="bold")
        for axes, view in zip(row, views(augmenter), strict=True):
            axes.imshow(view)
            axes.axis("off")
    return figure


# %% [markdown]
# ## Parts
#
# Each augmenter changes one thing. `rate` is the share of the images that it changes; here, all.

# %% alt="Six views of a flower each: crop, flip, color jitter, grayscale, blur."
aug = kc.augmentation
show(
    {
        "RandomResizedCrop()": aug.RandomResizedCrop(seed=0),
        "RandomFlip()": aug.RandomFlip(seed=4),
        "RandomColorJitter(rate=1)": aug.RandomColorJitter(rate=1, seed=0),
        "RandomGrayscale(0.5)": aug.RandomGrayscale(0.5, seed=1),
        "RandomGaussianBlur(rate=1)": aug.RandomGaussianBlur(rate=1, seed=0),
    }
)

# %% [markdown]
# ## SimCLR
#
# `SimCLRImageAugmenter` applies all of them. The defaults are those for small images. For large
# photos, use `size=224`, `strength=1.0` and `blur=True`. Each part is `True`, `False` or a layer.

# %% alt="Six views each: the defaults, strong colors and blur, no color change, mild crops."
mild = aug.RandomResizedCrop(scale=(0.5, 1.0))
show(
    {
        "SimCLRImageAugmenter()": aug.SimCLRImageAugmenter(seed=0),
        "strength=1.0, blur=True": aug.SimCLRImageAugmenter(strength=1.0, blur=True, seed=0),
        "color_jitter=False, grayscale=False": aug.SimCLRImageAugmenter(
            color_jitter=False, grayscale=False, seed=0
        ),
        "crop=RandomResizedCrop(scale=(0.5, 1.0))": aug.SimCLRImageAugmenter(crop=mild, seed=0),
    }
)

# %% [markdown]
# | images | leave out or change |
# | --- | --- |
# | digits, text, signs | `flip=False` |
# | color decides (flowers, products) | `color_jitter=False`, `grayscale=False` |
# | one small object in the image | crops of at least 30 %, such as `scale=(0.3, 1.0)` |
# | two or one channels | `color_jitter=False`, `grayscale=False` |
#
# ## Text
#
# `EDA` changes strings, before the tokenizer. It draws one of its operations for each text.

# %%
synonyms = {"quick": ["fast", "rapid"], "jumps": ["leaps"], "dog": ["hound"]}
text = "the quick brown fox jumps over the lazy dog"
print(text)
for operation in ("replacement", "insertion", "swap", "deletion"):
    changed = aug.EDA(synonyms, alpha=0.2, operations=[operation], seed=1)([text])
    print(f"{operation:<12} {changed[0]}")

# %% [markdown]
# The token augmenters change integers, as layers inside `fit`. `kept_ids` protects special tokens,
# here 1 and 2. Padding is 0.

# %%
tokens = np.array([[1, 11, 12, 13, 14, 15, 16, 2, 0, 0]])
table = {12: [92], 15: [95]}
for augmenter in (
    aug.RandomTokenDeletion(0.3, kept_ids=(1, 2), seed=1),
    aug.RandomTokenMasking(mask_id=3, rate=0.3, kept_ids=(1, 2), seed=1),
    aug.RandomTokenSwap(kept_ids=(1, 2), seed=1),
    aug.RandomTokenReplacement(table, rate=0.5, kept_ids=(1, 2), seed=1),
    aug.RandomTokenInsertion(table, kept_ids=(1, 2), seed=1),
):
    changed = keras.ops.convert_to_numpy(augmenter(tokens, training=True))[0]
    print(f"{type(augmenter).__name__:<24} {changed}")
