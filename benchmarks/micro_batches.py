"""Measures what micro-batches of convolutions cost: time and peak memory of a training step.

Two towers of three convolutions each and InfoNCE, with all rows at once and 64 rows at a time. Time
is CPU time of the process, so that other programs on the machine have little influence. Forward is
the time of the towers alone, which micro-batches compute once more. The ratio is that of parts to
the sum of all at once and forward. Each step has its own process.

    KERAS_BACKEND=jax python benchmarks/micro_batches.py
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import keras
import measure
import numpy as np
from step_memory import SHAPES, tower

import keras_contrastive as kc


def cpu_seconds(function, repeats=5):
    """Returns the median of the CPU times of a call, after a first one."""
    measure.finish(function())
    times = []
    for _ in range(repeats):
        start = time.process_time()
        measure.finish(function())
        times.append(time.process_time() - start)
    return statistics.median(times)


def measure_one(batch, size):
    """Returns the CPU seconds of a step and of the towers alone, and the peak in MiB."""
    keras.utils.set_random_seed(0)
    model = kc.ContrastiveTrainer(
        {"a": tower("large"), "b": tower("large")}, micro_batch_size=size or None
    )
    model.compile("adam", kc.losses.InfoNCE(0.07))
    rng = np.random.default_rng(0)
    shape = (batch, *SHAPES["large"])
    x = {name: rng.standard_normal(shape, dtype="float32") for name in ("a", "b")}
    peak = measure.memory_of_step(model.train_on_batch, [x]) / 2**20
    step = cpu_seconds(lambda: model.train_on_batch(x))
    return step, cpu_seconds(lambda: model.predict_on_batch(x)), peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--micro-batch", type=int, default=64)
    parser.add_argument("--measure-one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_one:
        return print(json.dumps(measure_one(*options.measure_one)))
    found = []
    for size in (0, options.micro_batch):
        command = [sys.executable, __file__, "--measure-one", json.dumps([options.batch, size])]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
        if done.returncode:
            sys.exit(done.stderr)
        found.append(json.loads(done.stdout.splitlines()[-1]))
    (whole, forward, peak), (parts, _, parts_peak) = found
    print("| | all at once | in parts | forward | ratio | MiB | MiB in parts |")
    print("| --- |" + " --- |" * 6)
    print(
        f"| {measure.BACKEND} | {whole:.2f} s | {parts:.2f} s | {forward:.2f} s "
        f"| {parts / (whole + forward):.2f} | {peak:.0f} | {parts_peak:.0f} |"
    )


if __name__ == "__main__":
    main()
