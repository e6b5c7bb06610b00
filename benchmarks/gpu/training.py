"""Rows per second of a two-tower model in bfloat16, and the time to the end of its first step.

The towers are a small vision transformer and a text transformer. The trainer runs with and without
micro-batches, beside a plain Keras model with the plain formula and beside loops written by hand.
All of them read the same NumPy arrays.
"""

import time

import keras
import numpy as np
import peers

import keras_contrastive as kc
from gpu import device
from gpu.loops import LOOPS
from gpu.towers import Sizes, towers

LEARNING_RATE = 1e-4


def run(part):
    sizes = Sizes.quick() if part.quick else Sizes()
    device.set_precision("TF32")
    keras.config.set_dtype_policy("mixed_bfloat16")
    data = random_data(sizes)
    micro = sizes.batch // 8
    fits = {
        "ContrastiveTrainer": lambda: compiled(kc.ContrastiveTrainer(towers(sizes)), ours()),
        "plain Keras": lambda: compiled(peers.PlainModel(towers(sizes))),
        f"ContrastiveTrainer, micro_batch_size={micro}": lambda: compiled(
            kc.ContrastiveTrainer(towers(sizes), micro_batch_size=micro), ours()
        ),
    }
    ways = {
        **{who: lambda make=make: fit_seconds(make(), data, sizes) for who, make in fits.items()},
        **{who: lambda loop=loop: loop(data, sizes, LEARNING_RATE) for who, loop in LOOPS.items()},
    }
    for who in ways:
        names = {"who": who, "batch": sizes.batch}
        if part.has_time(5, **names):
            with part.row(**names) as found:
                keras.utils.set_random_seed(0)
                device.release_memory()
                first, seconds, mebibytes = device.with_peak(ways[who])
                found["rows / s"] = sizes.batch * sizes.steps / seconds
                found["first step, s"] = first
                if mebibytes is not None:
                    found["MiB"] = mebibytes


def ours():
    return kc.losses.InfoNCE(peers.TEMPERATURE)


def compiled(model, *loss):
    model.compile(keras.optimizers.AdamW(LEARNING_RATE), *loss)
    return model


def random_data(sizes):
    """Returns images and token ids of all steps, as NumPy arrays."""
    rng = np.random.default_rng(0)
    rows = sizes.batch * sizes.steps
    images = rng.standard_normal((rows, *sizes.image), dtype="float32")
    texts = rng.integers(1, sizes.vocabulary, (rows, sizes.tokens), "int32")
    return {"image": images, "text": texts}


def fit_seconds(model, data, sizes):
    """Returns the seconds until the end of the first step, and of an epoch after a warm-up."""
    first_batch = {name: x[: sizes.batch] for name, x in data.items()}
    arguments = {"batch_size": sizes.batch, "shuffle": False, "verbose": 0}
    start = time.perf_counter()
    model.fit(first_batch, **arguments)
    first = time.perf_counter() - start
    epochs = EpochSeconds()
    model.fit(data, epochs=2, callbacks=[epochs], **arguments)
    return first, epochs.seconds[-1]


class EpochSeconds(keras.callbacks.Callback):
    """Stores the seconds of each epoch. Keras reads the losses as numbers before an epoch ends."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)
