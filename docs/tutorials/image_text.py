# %% [markdown]
# # Image and text from scratch, with tf.data
#
# Two towers learn which drawing belongs to which name. `tf.data` makes the batches, and a
# `TextVectorization` layer turns words into integers. Both need the package TensorFlow, on every
# backend.

# %%
import keras
import numpy as np
import tensorflow as tf

import keras_contrastive as kc

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Drawings and names
#
# Icons whose names consist of the sixty most frequent words, such as "calendar heart". A fifth of
# the names are held out, so the test set combines known words in new ways.

# %%
icons = kc.datasets.load_icons(size=16, verbose=False)
words, counts = np.unique(" ".join(icons.name).split(), return_counts=True)
frequent = set(words[np.argsort(-counts)[:60]])
icons = icons[np.array([set(name.split()) <= frequent for name in icons.name])]
is_test = icons.concept % 5 == 0
train, test = icons[~is_test], icons[is_test]
print(f"{len(train)} drawings to train, {len(test)} to test, {len(set(test.name))} new names")
print(*test.name[::100], sep=", ")

# %% [markdown]
# ## Batches
#
# An element is `(x, ids)`, and `x` is a dict with the names of the towers. Drawings of the same
# thing have the same id, and are never negatives of each other. Without ids, an element is the dict
# alone. Keras would read a tuple `(image, text)` as inputs and ids, so map it to a dict. Keras
# shuffles arrays, but not data sets: call `shuffle`.

# %%
vectorize = keras.layers.TextVectorization(output_sequence_length=4)
vectorize.adapt(train.name)


def batches(icons):
    pairs = tf.data.Dataset.from_tensor_slices((icons.images, icons.name, icons.concept))
    pairs = pairs.shuffle(len(icons), seed=0).batch(128)
    return pairs.map(
        lambda image, name, concept: (
            {"image": tf.cast(image[..., None], "float32") / 255, "text": vectorize(name)},
            concept,
        )
    )


for x, ids in batches(test).take(1):
    print({name: value.shape for name, value in x.items()}, ids.shape)
    print(x["text"][0].numpy())

# %% [markdown]
# ## Towers
#
# A small convolutional network for drawings of 16 × 16 pixels, and word embeddings for names.

# %%
layers = keras.layers
image = keras.Sequential([keras.Input((16, 16, 1))])
for filters in (32, 64, 128):
    image.add(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
for layer in (layers.Flatten(), layers.Dropout(0.3), layers.Dense(64)):
    image.add(layer)
text = keras.Sequential(
    [
        keras.Input((4,), dtype="int32"),
        layers.Embedding(vectorize.vocabulary_size(), 64),
        layers.Flatten(),
        layers.Dense(128, activation="relu"),
        layers.Dense(64),
    ]
)

# %% [markdown]
# ## Train
#
# `RetrievalEvaluation` searches the new drawings with the new names after each epoch, and the other
# way. Drawings of the same thing are all correct.

# %%
model = kc.ContrastiveTrainer({"image": image, "text": text})
temperature = kc.layers.LearnableTemperature(0.1)
model.compile(keras.optimizers.Adam(2e-3), loss=kc.losses.InfoNCE(temperature))
evaluation = kc.evaluation.RetrievalEvaluation(batches(test), metrics=("hit_rate_at_k",))
history = model.fit(batches(train), epochs=12, callbacks=[evaluation], verbose=0).history
print("text to image, R@10:", f"{history['val_text_to_image_hit_rate_at_10'][-1]:.2f}")

# %% alt="Loss, temperature and hit rates over the epochs."
columns = ["loss", "val_text_to_image_hit_rate_at_10", "val_image_to_text_hit_rate_at_10"]
title = "The loss falls, and names of new concepts find their drawings"
kc.viz.training(history, columns, batch_size=128, title=title)

# %% [markdown]
# ## Search
#
# `preprocessor` makes a text embedder that takes strings.

# %% alt="Six new names and the five drawings that each finds, with a mark at each correct one."
names, ids = np.unique(test.name), test.concept
vectors = model.embedder("text", preprocessor=vectorize).predict(names, verbose=0)
drawings = test.images[..., None].astype("float32") / 255
corpus = model.embedder("image").predict(drawings, verbose=0)
scores, rows = kc.evaluation.search(vectors, corpus, k=5)
chosen = np.arange(8, len(names), len(names) // 6)[:6]
ids_of_names = np.array([ids[test.name == name][0] for name in names])
kc.viz.neighbors(
    list(names[chosen]),
    255 - test.images,
    rows[chosen],
    scores[chosen],
    ids_of_names[chosen],
    ids,
)
