# %% [markdown]
# # SupCon, then a classifier
#
# With labels, `SupCon` makes all images of a class positives of each other. A classifier is then
# trained on the frozen encoder. Here, the encoder sees the digits 0 to 6. The classes 7, 8 and 9
# come later, with five images each.

# %%
import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_contrastive as kc

keras.utils.set_random_seed(0)
digits = load_digits()
images, labels = digits.images[..., None].astype("float32") / 16, digits.target
is_train = np.arange(len(images)) < 1200
train, test = is_train & (labels < 7), ~is_train & (labels < 7)

# %% [markdown]
# ## Train the encoder
#
# The augmenter makes two views of each image: cropped, resized and noisy. Labels are integers, and
# are passed as `y`. `ClassBalanced` makes batches with 17 rows of each of the seven classes. If all
# labels differ, as row numbers do, the other view is the only positive: that is SimCLR.

# %%
layers = keras.layers


def new_encoder():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(64, activation="relu"),
        ]
    )


encoder = new_encoder()
crop = kc.augmentation.RandomResizedCrop(scale=(0.7, 1.0))
augmenter = keras.Sequential([crop, layers.GaussianNoise(0.1)])
model = kc.ContrastiveTrainer(encoder, augmenters=augmenter, projectors=layers.Dense(32))
model.compile("adam", loss=kc.losses.SupCon(temperature=0.1))
batches = kc.samplers.ClassBalanced(
    images[train], labels[train], classes_per_batch=7, rows_per_class=17, seed=0
)
history = model.fit(batches, epochs=12, verbose=0).history
print("loss:", *[f"{loss:.2f}" for loss in history["loss"][::3]])

# %% [markdown]
# The loss does not approach zero: each anchor shares its probability among 33 positives.
# log(33) = 3.5 is the lowest value that is possible.
#
# ## Classify
#
# A classifier is a layer on the encoder, which shares its weights with the trainer.
# `trainable = False` freezes them.

# %%
encoder.trainable = False
classifier = keras.Sequential([encoder, layers.Dense(7)])
cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
classifier.compile(keras.optimizers.Adam(0.01), cross_entropy, metrics=["accuracy"])
classifier.fit(images[train], labels[train], epochs=10, verbose=0)
print(f"SupCon, classifier:  {classifier.evaluate(images[test], labels[test], verbose=0)[1]:.3f}")

plain = keras.Sequential([new_encoder(), layers.Dense(7)])
plain.compile("adam", cross_entropy, metrics=["accuracy"])
plain.fit(images[train], labels[train], epochs=20, verbose=0)
print(f"plain cross-entropy: {plain.evaluate(images[test], labels[test], verbose=0)[1]:.3f}")

# %% [markdown]
# ## New classes from five images each
#
# A linear probe is logistic regression on frozen features. `shots=5` draws five labeled images of
# each class ten times. Compare the features with those of the plain classifier, and with pixels.
# Always make this comparison: seven classes teach too little about other digits, so that pixels are
# better here. An encoder for new classes needs many known ones.

# %%
spaces = {
    "pixels": images.reshape(len(images), -1),
    "cross-entropy": plain.layers[0].predict(images, verbose=0),
    "SupCon": model.embedder(projected=False).predict(images, verbose=0),
}
known, new = is_train & (labels >= 7), ~is_train & (labels >= 7)
for name, x in spaces.items():
    found = kc.evaluation.linear_probe(x[known], labels[known], x[new], labels[new], shots=5)
    accuracy, error = found["5_shot_top_1_accuracy"], found["5_shot_top_1_accuracy_error"]
    print(f"{name:<14} {accuracy:.3f} ± {error:.3f}")

# %% [markdown]
# ## Look at the space
#
# Known classes form tight groups, and the new classes 7, 8 and 9 loose ones.

# %% alt="A map of the embeddings of the test digits, colored by class."
embeddings = model.embedder().predict(images[~is_train], verbose=0)
kc.viz.embeddings(
    embeddings,
    labels[~is_train],
    images[~is_train, ..., 0],
    title="Known classes form tight groups, new ones loose groups",
)
