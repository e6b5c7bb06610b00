"""Compares the memory of a batch of 8,192 with and without `micro_batch_size`.

Gradient accumulation adds no negatives, because each small batch is compared only with itself. With
`micro_batch_size`, the encoders process the rows in chunks, and again in the backward pass, while
the loss sees the whole batch. Both runs take the same steps from the same weights. Each runs in its
own process, which prints its memory before the first step and its peak.

    python examples/large_batch.py --backend torch

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os
import resource
import subprocess
import sys
import time


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train on one very large batch, with and without micro-batches.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument("--batch-size", type=int, default=8192, help="rows in the batch")
    parser.add_argument(
        "--micro-batch-size",
        type=int,
        nargs="+",
        default=[256, 0],
        help="rows per chunk; 0 means all",
    )
    parser.add_argument("--steps", type=int, default=1, help="steps of each run")
    parser.add_argument("--one-run", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported


def peak():
    """Returns the peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_run(micro_batch_size):
    import emoji_retrieval
    import keras
    import numpy as np

    import keras_contrastive as kc

    keras.utils.set_random_seed(0)
    data = kc.datasets.load_emoji(size=32)
    data = data[data.split != "test"]
    # The batch has more rows than there are emoji, so each emoji occurs several times, shifted.
    # Equal ids mark these rows, so the loss does not use them as negatives of each other.
    ids = np.arange(arguments.batch_size) % len(data)
    drawings = emoji_retrieval.jitter(data.images[ids, ids % 2], np.random.default_rng(0))
    x = {"drawing": drawings, "name": emoji_retrieval.encode_names(data.texts["en"])[ids]}
    towers = {
        "drawing": emoji_retrieval.image_encoder(32, width=24),
        "name": emoji_retrieval.text_encoder(),
    }
    # Batch statistics and dropout differ between a chunk and the whole batch. Both are switched
    # off, so that the two losses are equal.
    for layer in (*towers["drawing"].layers, *towers["name"].layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    model = kc.ContrastiveTrainer(towers, micro_batch_size=micro_batch_size or None)
    model.compile(keras.optimizers.Adam(1e-3), kc.losses.InfoNCE(temperature=0.07))
    model({name: rows[:2] for name, rows in x.items()})
    before, start = peak(), time.perf_counter()
    history = model.fit(
        x, ids.astype("int32"), batch_size=arguments.batch_size, epochs=arguments.steps, verbose=0
    )
    seconds = (time.perf_counter() - start) / arguments.steps
    loss = history.history["loss"][-1]
    print(
        f"{micro_batch_size or 'all':>12}{before:>12.0f}{peak():>12.0f}{seconds:>12.1f}"
        f"{loss:>12.5f}",
        flush=True,
    )


def main():
    if arguments.one_run:
        one_run(arguments.micro_batch_size[0])
        return
    print(f"a batch of {arguments.batch_size}")
    print(
        f"{'at a time':>12}{'MB before':>12}{'MB peak':>12}{'s a step':>12}{'loss':>12}", flush=True
    )
    for size in arguments.micro_batch_size:
        rest = [
            "--batch-size",
            arguments.batch_size,
            "--steps",
            arguments.steps,
            "--micro-batch-size",
            size,
        ]
        subprocess.run(
            [sys.executable, __file__, *map(str, rest), "--one-run"], check=True, env=os.environ
        )


if __name__ == "__main__":
    main()
