# %% [markdown]
# # Several devices, and resume
#
# A long run gets interrupted, and one device is too slow. This tutorial stops a run, and continues
# it with the same result, bit for bit. Then it shows the lines that use several devices.

# %%
import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_contrastive as kc

images = load_digits().images.astype("float32") / 16
x = {"top": images[:1200, :4], "bottom": images[:1200, 4:]}


def new_model():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    towers = {
        name: keras.Sequential(
            [
                keras.Input((4, 8)),
                layers.Flatten(),
                layers.Dense(128, activation="relu"),
                layers.Dropout(0.2),
                layers.Dense(32),
            ]
        )
        for name in x
    }
    model = kc.ContrastiveTrainer(towers)
    temperature = kc.layers.LearnableTemperature(0.1)
    model.compile("adam", loss=kc.losses.InfoNCE(temperature))
    return model


# %% [markdown]
# ## A run without interruption

# %%
whole = new_model()
curve = whole.fit(x, batch_size=120, epochs=6, verbose=0).history["loss"]

# %% [markdown]
# ## A run that stops
#
# `BackupAndRestore` writes a backup every four steps. This callback stands in for a power failure
# in the fourth epoch.


# %%
class Failure(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 35:
            raise KeyboardInterrupt


def backup():
    return keras.callbacks.BackupAndRestore("backup", save_freq=4, double_checkpoint=True)


try:
    new_model().fit(x, batch_size=120, epochs=6, callbacks=[backup(), Failure()], verbose=0)
except KeyboardInterrupt:
    print("interrupted after 35 of 60 steps")

# %% [markdown]
# Start the same script again. `fit` finds the backup, and continues in the middle of the epoch.

# %%
resumed = new_model()
history = resumed.fit(x, batch_size=120, epochs=6, callbacks=[backup()], verbose=0)
print("epochs of the second run:", [epoch + 1 for epoch in history.epoch])
equal = [
    np.array_equal(a, b) for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True)
]
print(f"{sum(equal)} of {len(equal)} weights are equal to those of the whole run, bit for bit")

# %% [markdown]
# The backup has the optimizer, the temperature, the order of the rows and the seeds of dropout.
# [Interruptions](../distributed.md#interruptions) has the limits: other data sets resume at epochs.
# A run that ends deletes its backup. To train a finished model longer, [load it from a
# file](../embed_search_serve.md#train-longer).
#
# ## Several devices
#
# `batch_size` is that of all devices together, and each row has all others as negatives. The loss
# equals that of one device up to rounding ([how far](../distributed.md)). These lines are all that
# changes:
#
# | backend | lines |
# | --- | --- |
# | JAX | `keras.distribution.set_distribution(...)` with `DataParallel(auto_shard_dataset=False)` |
# | TensorFlow | `with tf.distribute.MirroredStrategy().scope():` around the model and `compile` |
# | PyTorch | [a process group](../distributed.md#pytorch), and start with `torchrun` |
#
# `examples/distributed_jax.py`, `distributed_tensorflow.py` and `distributed_torch.py` run on four
# virtual devices of a CPU ([details](../distributed.md)). If a batch does not fit into memory,
# `micro_batch_size=256` of the trainer embeds 256 rows at a time, and the loss still compares the
# whole batch.
#
# ## Look at both curves
#
# The loss of epoch 4 is the mean over the steps after the interruption.

# %% alt="The loss of the resumed run continues that of the whole run."
last = history.history["loss"]
both = {
    "loss": curve,
    "resumed_loss": [np.nan] * (len(curve) - len(last)) + last,
}
kc.viz.training(both, title="The resumed run ends where the whole run ends")
