# %% [markdown]
# # Five captions per image
#
# COCO and Flickr30k have five captions for each image. Two of them must never be negatives of each
# other, and a search must count each image once. Integer ids take care of both.
#
# Here, an image shows a number of three handwritten digits, and five captions describe it.

# %%
import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_contrastive as kc

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

# %% [markdown]
# ## Images and captions
#
# Replace this cell by your data: images, and five captions of each.

# %%
digits = load_digits()
rows_of_digit = [np.flatnonzero(digits.target == digit) for digit in range(10)]
words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def draw(number):
    rows = [rng.choice(rows_of_digit[int(digit)]) for digit in f"{number:03}"]
    return np.concatenate(digits.images[rows], axis=1) / 16


def describe(number):
    first, second, third = (words[int(digit)] for digit in f"{number:03}")
    return [
        f"{first} {second} {third}",
        f"the number {first} {second} {third}",
        f"from right to left {third} {second} {first}",
        f"{second} between {first} and {third}",
        f"{first} and {third} around {second}",
    ]


numbers = rng.permutation(1000)
images = np.stack([draw(number) for number in numbers]).astype("float32")
captions = np.array([describe(number) for number in numbers])
known, new = np.arange(800), np.arange(800, 1000)  # 200 numbers are not part of the training
print(images.shape, captions.shape)
print(*captions[0], sep="\n")

# %% [markdown]
# Words become integers. This table replaces a tokenizer:

# %%
vocabulary = sorted({word for caption in captions.flat for word in caption.split()})
number_of = {word: number for number, word in enumerate(vocabulary, start=1)}


def tokens(texts, length=8):
    rows = [[number_of[word] for word in text.split()] for text in texts]
    return np.array([row + [0] * (length - len(row)) for row in rows])


# %% [markdown]
# ## Train
#
# Both modalities need the same number of rows. Repeat each image for its captions, and pass the
# number of the image as id. Ids are integers. If images have file names, number all files once with
# `files = np.unique(image_files)`. `np.searchsorted(files, image_files)` and
# `np.searchsorted(files, caption_files)` are then the ids of both sides.

# %%
image_of_caption = np.repeat(known, 5)
x = {"image": images[image_of_caption], "text": tokens(captions[known].ravel())}
layers = keras.layers


def towers():
    image = [layers.Flatten(), layers.Dense(512, "relu"), layers.Dense(64)]
    embed = layers.Embedding(len(vocabulary) + 1, 32)
    text = [embed, layers.Flatten(), layers.Dense(512, "relu"), layers.Dense(64)]
    return {
        "image": keras.Sequential([keras.Input((8, 24)), *image]),
        "text": keras.Sequential([keras.Input((8,), dtype="int32"), *text]),
    }


# %% [markdown]
# `RetrievalEvaluation` measures the search on new images after each epoch, as papers on COCO do. It
# takes each image once, all captions, and the ids of both.

# %%
evaluation = kc.evaluation.RetrievalEvaluation(
    {"image": images[new], "text": tokens(captions[new].ravel())},
    ids={"image": new, "text": np.repeat(new, 5)},
    metrics=("hit_rate_at_k",),
)
model = kc.ContrastiveTrainer(towers())
model.compile("adam", loss=kc.losses.InfoNCE(temperature=0.1))
history = model.fit(
    x, image_of_caption, batch_size=250, epochs=6, callbacks=[evaluation], verbose=0
).history
for direction in ("image_to_text", "text_to_image"):
    r_at_1 = history[f"val_{direction}_hit_rate_at_1"]
    print(f"{direction}: R@1 after each epoch", *[f"{r:.2f}" for r in r_at_1])

# %% [markdown]
# An image is found if any of its captions is first. [COCO and Flickr30k](../coco_flickr30k.md) has
# the rules of both benchmarks.
#
# ## Without ids
#
# Without `y`, each row is an item. An image is then a negative of its own other captions, if they
# are in the same batch. That is rare in shuffled batches, and the rule if files are sorted by image
# and not shuffled:

# %%
for name, ids in (("with ids", image_of_caption), ("without ids", None)):
    keras.utils.set_random_seed(0)
    unshuffled = kc.ContrastiveTrainer(towers())
    unshuffled.compile("adam", loss=kc.losses.InfoNCE(temperature=0.1))
    log = unshuffled.fit(
        x, ids, batch_size=250, epochs=5, shuffle=False, callbacks=[evaluation], verbose=0
    ).history
    r_at_1 = [log[f"val_{way}_hit_rate_at_1"][-1] for way in ("image_to_text", "text_to_image")]
    print(f"{name:<12} image to text {r_at_1[0]:.2f}, text to image {r_at_1[1]:.2f}")

# %% [markdown]
# Here the difference is small: only four of the 249 other captions of a batch belong to the image.
# The share grows with smaller batches and with more captions of each image.
#
# ## Search
#
# Each caption finds five images. The score of a match is the cosine of both embeddings.

# %% alt="Five captions, and the five nearest images of each, with a mark at the right one."
embeddings = {
    "image": model.embedder("image").predict(images[new], verbose=0),
    "text": model.embedder("text").predict(tokens(captions[new, 1]), verbose=0),
}
scores, found = kc.evaluation.search(embeddings["text"], embeddings["image"], k=5)
queries, ids = list(captions[new[:5], 1]), new[:5]
title = "Five captions, and the images that fit best"
kc.viz.neighbors(queries, images[new], found[:5], scores[:5], ids, new, title=title)
