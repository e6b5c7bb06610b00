"""Measures the time from `fit` to the end of the first step, which compiles it on JAX.

One convolutional encoder, 64 images of 32 x 32. *One view* is a Keras classifier. *Two views* is a
Keras model that calls the encoder once for each view and computes NT-Xent as a plain formula.
*Trainer* is `ContrastiveTrainer` without augmentation and metrics, *trainer, complete* the same
with the SimCLR augmenter and a metric. Each has its own process. Time is CPU time, so that other
programs on the machine have little influence.

    KERAS_BACKEND=jax python benchmarks/first_step.py
"""

import argparse
import os
import subprocess
import sys
import time

import keras
import numpy as np
from keras import layers, ops

import keras_contrastive as kc

NAMES = ("one view", "two views", "trainer", "trainer, complete")
SHAPE = (32, 32, 3)


class TwoViews(keras.Model):
    """Contrasts two views of images by NT-Xent."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def call(self, x, training=None):
        return ops.concatenate([self.encoder(view, training=training) for view in x])

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        z = ops.normalize(y_pred)
        count = ops.shape(z)[0]
        rows = ops.arange(count)
        logits = ops.matmul(z, ops.transpose(z)) / 0.5 - 1e9 * ops.eye(count)
        labels = (rows + count // 2) % count
        losses = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        return ops.mean(losses)


def encoder(kind):
    if kind == "mobilenet":
        return keras.applications.MobileNetV3Small(
            input_shape=SHAPE, weights=None, include_top=False, pooling="avg"
        )
    parts = [keras.Input(SHAPE), layers.Rescaling(1 / 255)]
    for width in (32, 64, 128):
        parts.append(layers.Conv2D(width, 3, 2, "same", use_bias=False))
        parts += [layers.BatchNormalization(), layers.Activation("relu")]
    return keras.Sequential([*parts, layers.GlobalAveragePooling2D(), layers.Dense(64)])


def make(name, kind):
    """Returns a compiled model and the arguments of `fit`."""
    rng = np.random.default_rng(0)
    x = rng.integers(256, size=(64, *SHAPE)).astype("float32")
    if name == "one view":
        model = keras.Sequential([encoder(kind), layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss)
        return model, (x, rng.integers(10, size=64))
    if name == "two views":
        model = TwoViews(keras.Sequential([encoder(kind), layers.Dense(10)]))
        model.compile("adam")
        return model, ((x, x[:, :, ::-1]),)
    is_complete = name == "trainer, complete"
    augmenter = kc.augmentation.SimCLRImageAugmenter(seed=0) if is_complete else layers.Identity()
    model = kc.ContrastiveTrainer(encoder(kind), augmenter, projectors=layers.Dense(10))
    metrics = [kc.metrics.RecallAtK(1)] if is_complete else []
    model.compile("adam", kc.losses.NTXent(0.5), metrics=metrics)
    return model, (x,)


def measure_one(name, kind):
    model, arguments = make(name, kind)
    start = time.process_time()
    model.fit(*arguments, batch_size=64, verbose=0)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", choices=("small", "mobilenet"), default="small")
    parser.add_argument("--measure-one", choices=NAMES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_one:
        return print(measure_one(options.measure_one, options.encoder))
    found = {}
    for name in NAMES:
        command = [sys.executable, __file__, "--encoder", options.encoder, "--measure-one", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode:
            sys.exit(done.stderr)
        found[name] = float(done.stdout.splitlines()[-1])
    print(f"| {keras.backend.backend()}, {options.encoder} | CPU seconds | over two views |")
    print("| --- | --- | --- |")
    for name, seconds in found.items():
        print(f"| {name} | {seconds:.1f} | {seconds / found['two views']:.2f} |")


if __name__ == "__main__":
    main()
