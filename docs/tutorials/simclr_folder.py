# %% [markdown]
# # SimCLR on a folder of images
#
# You have a folder of images, and labels for few of them. SimCLR trains an encoder without labels:
# two random views of one image get similar embeddings, and other images get different ones. A
# classifier on top then needs few labels.

# %%
import pathlib

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_contrastive as kc

keras.utils.set_random_seed(0)

# %% [markdown]
# ## A folder
#
# This cell writes one, with handwritten digits and a subfolder for each class. Use yours instead.

# %%
digits = load_digits()
folder = pathlib.Path("digits")
for row, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
    path = folder / ("train" if row < 1200 else "test") / str(label) / f"{row:04}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.save_img(path, image[..., None] * 15, scale=False)
print(*sorted(str(path) for path in folder.glob("train/3/*.png"))[:3], sep="\n")

# %% [markdown]
# ## Read it
#
# If the images fit in memory, an array is the simplest form. It works on every backend. Augmenters
# expect values in [0, 255], and color jitter needs three channels.


# %%
def read(folder):
    paths = sorted(folder.glob("*/*.png"))
    images = [np.asarray(keras.utils.load_img(path, target_size=(8, 8))) for path in paths]
    return np.stack(images), np.array([int(path.parent.name) for path in paths])


images, labels = read(folder / "train")
new_images, new_labels = read(folder / "test")
print(images.shape, images.dtype, new_images.shape)

# %% [markdown]
# A larger folder is read batch by batch. On every backend, this needs the package TensorFlow, or
# `grain` and `format="grain"`:
#
# ```text
# images = keras.utils.image_dataset_from_directory(
#     "digits/train", labels=None, image_size=(8, 8), batch_size=240
# )
# ```
#
# Pass `labels=None`. Otherwise the subfolders become ids, and images of one class are never
# negatives of each other. That is no longer training without labels, and no warning is shown. To
# measure the model, read the folder again with labels and `shuffle=False`. `embedder.predict` takes
# that data set, too. Its labels are `np.concatenate([np.asarray(y) for _, y in dataset])`.
#
# ## Choose views
#
# Look at the views before you train. What differs between them is ignored by the encoder, so it
# must not matter to you. A mirrored digit is no digit: `flip=False`. Crops of at least 30 % still
# show which digit it is.

# %% alt="Six digits and two random views of each, with other crops and other brightness."
from matplotlib.figure import Figure

crop = kc.augmentation.RandomResizedCrop(scale=(0.3, 1.0))
augmenter = kc.augmentation.SimCLRImageAugmenter(crop=crop, flip=False)
chosen = images[60:1200:200]
rows = [chosen] + [keras.ops.convert_to_numpy(augmenter(chosen, training=True)) for _ in range(2)]
figure = Figure(figsize=(7.2, 3.9), dpi=100, layout="constrained")
figure.suptitle("Images (above), and two random views of each", x=0.02, ha="left", weight="bold")
for axes, image in zip(figure.subplots(3, 6).flat, np.concatenate(rows), strict=True):
    axes.imshow(image.astype("uint8"))
    axes.axis("off")
figure

# %% [markdown]
# ## Train
#
# The projector is used in training only. The loss is log(479) = 6.2 if all embeddings are equal:
# each anchor has 479 candidates, two views of 240 images without itself.

# %%
layers = keras.layers
encoder = keras.Sequential(
    [
        keras.Input((8, 8, 3)),
        layers.Rescaling(1 / 255),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
        layers.Flatten(),
        layers.Dense(64),
    ]
)
projector = keras.Sequential([layers.Dense(64, activation="relu"), layers.Dense(32)])
model = kc.ContrastiveTrainer(encoder, augmenters=augmenter, projectors=projector)
model.compile("adam", loss=kc.losses.NTXent(temperature=0.2))

embedder = model.embedder(projected=False)  # shares the weights of the model
untrained = [embedder.predict(x, verbose=0) for x in (images, new_images)]
history = model.fit(images, batch_size=240, epochs=20, verbose=0).history
trained = [embedder.predict(x, verbose=0) for x in (images, new_images)]
print("loss:", *[f"{loss:.2f}" for loss in history["loss"][::4]])

# %% [markdown]
# ## Measure
#
# `linear_probe` is logistic regression on the features, here with ten labels of each class.
# `knn_probe` takes the same arguments, and lets the nearest neighbors vote. Always compare with the
# encoder before training, and with pixels. On these small images, twenty epochs are level with
# pixels. [Methods](../methods.md) has longer runs, which are better.

# %%
pixels = [x[..., 0].reshape(len(x), -1) / 255 for x in (images, new_images)]
for name, (x, new_x) in (("pixels", pixels), ("untrained", untrained), ("trained", trained)):
    found = kc.evaluation.linear_probe(x, labels, new_x, new_labels, shots=10)
    accuracy, error = found["10_shot_top_1_accuracy"], found["10_shot_top_1_accuracy_error"]
    print(f"{name:<10} {accuracy:.3f} ± {error:.3f}")

# %% [markdown]
# ## Look at neighbors

# %% alt="Five digits and their six nearest neighbors, with a mark at each correct one."
features = trained[1]
scores, found = kc.evaluation.search(features, features, k=6, exclude_self=True)
queries = np.arange(30, 597, 120)
kc.viz.neighbors(
    new_images[queries],
    new_images,
    found[queries],
    scores[queries],
    new_labels[queries],
    new_labels,
)
