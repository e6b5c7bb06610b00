"""Stores values and gradients of every loss, draws, and losses of a training on this device.

`compare.py` compares them with the values of `exact.py`, and with the training of a process on a
CPU. The losses are the cases of the contract tests.
"""

import concurrent.futures
import tempfile

import keras
import measure
import numpy as np

import keras_contrastive as kc
from gpu import device, exact
from keras_contrastive.config import set_tile_shape

TILES = {"many tiles": (16, 12), "one tile": (1024, 1024)}
# The dtype of the embeddings, and the precision of products of float32 numbers.
PRECISIONS = {
    "float32": ("float32", "float32"),
    "TF32": ("float32", "TF32"),
    "bfloat16": ("bfloat16", "TF32"),
}


def run(part, path, on_cpu=False):
    """Stores the arrays of this device at a path, or those that they are compared with."""
    rows = 24 if part.quick else 96
    names = exact.QUICK if part.quick else (*exact.CASES, "GlobalContrastive")
    arrays = training()
    if on_cpu:
        for key, numbers in exact.run(names, rows).items():
            arrays["|".join(key)] = numbers
    np.savez(path, **arrays)
    for tiles, shape in [] if on_cpu else TILES.items():
        for precision, (dtype, products) in PRECISIONS.items():
            if part.has_time(8, what="losses", numbers=precision, tiles=tiles):
                set_tile_shape(shape)
                device.set_precision(products)
                for name, numbers in evaluate(names, exact.views(rows, dtype), dtype).items():
                    arrays["|".join((name, dtype, precision, tiles))] = numbers
                np.savez(path, **arrays)


def evaluate(names, both, dtype):
    """Returns value and derivatives of each loss in an array, or the message of an error."""
    views = [keras.ops.convert_to_tensor(view, dtype=dtype) for view in both]
    results = {}

    def attempt(action, name):
        try:
            return action(name)
        except Exception as error:
            results[name] = np.array(measure.failure_message(error))

    def trace(name):
        step = measure.value_and_gradient(_loss(name, len(both[0])), measure.DEFAULT_MODES[0])
        return step.lower(*views) if measure.BACKEND == "jax" else step

    steps = {name: attempt(trace, name) for name in names}
    if measure.BACKEND == "jax":
        with concurrent.futures.ThreadPoolExecutor(8) as pool:  # XLA compiles outside of Python
            compiled = pool.map(
                lambda name: attempt(lambda name: steps[name].compile(), name), steps
            )
            steps = dict(zip(steps, compiled, strict=True))
    for name, step in steps.items():
        if name not in results:
            results[name] = attempt(lambda name, step=step: _numbers(*step(*views)), name)
    return results


def training():
    """Returns draws, augmented images, losses of `fit`, and the change of a model by saving."""
    rng = np.random.default_rng(1)
    device.set_precision("float32")
    images = rng.uniform(0, 255, (8, 32, 32, 3)).astype("float32")
    augmenter = kc.augmentation.SimCLRImageAugmenter(strength=1.0, blur=True, seed=0)
    keys = keras.ops.arange(256, dtype="int32")
    arrays = {
        "draws": kc.extend.uniform(keys, 16),
        "augmented images": augmenter(keras.ops.convert_to_tensor(images), training=True),
    }
    towers = {name: keras.Sequential([keras.Input((16,)), keras.layers.Dense(8)]) for name in "ab"}
    model = kc.ContrastiveTrainer(towers)
    model.compile(keras.optimizers.Adam(0.01), kc.losses.InfoNCE(kc.layers.LearnableTemperature()))
    x = {name: rng.normal(size=(256, 16)).astype("float32") for name in "ab"}
    x["b"] += x["a"]
    for tower in towers.values():
        tower.set_weights([rng.normal(size=(16, 8)) / 4, np.zeros(8)])
    history = model.fit(x, batch_size=64, epochs=3, shuffle=False, verbose=0).history
    arrays["losses of fit"] = history["loss"]
    before = model.predict(x, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/model.keras")
        after = keras.saving.load_model(f"{folder}/model.keras").predict(x, verbose=0)
    arrays["change by saving and loading"] = [
        np.abs(after[name] - before[name]).max() for name in x
    ]
    return {name: np.asarray(keras.ops.convert_to_numpy(x)) for name, x in arrays.items()}


def _loss(name, rows):
    """Returns a loss as a function of two views."""
    if name != "GlobalContrastive":
        loss = exact.CASES[name].make(temperature=exact.TEMPERATURE)
        return lambda a, b: loss(None, (a, b))
    loss = kc.losses.GlobalContrastive(rows, exact.TEMPERATURE)
    loss.build()

    def first_step(a, b):
        with keras.StatelessScope():
            return loss(np.arange(rows, dtype="int32"), (a, b), training=True)

    return first_step


def _numbers(value, gradients):
    arrays = [keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")) for x in gradients]
    return np.array([float(value), *exact.along(np.stack(arrays))])
