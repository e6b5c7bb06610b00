"""Compares the time of losses of small batches, and of a training step, with plain formulas.

    KERAS_BACKEND=torch OMP_NUM_THREADS=1 python benchmarks/small_batches.py

Each call is one value with its gradient, compiled as `fit` compiles it: PyTorch runs operations one
by one, JAX compiles, and TensorFlow compiles a function of batches of any size, with and without
XLA. *Formula* is the loss as a user would write it in `keras.ops` (`peers.py`). *Native* is the
same formula in the operations of PyTorch. JAX and TensorFlow compile both to the same program.

A *step* is one of `fit`, for two towers of one hidden layer: in `ContrastiveTrainer` with a loss of
this library, in the same trainer with the formula, and in a plain `keras.Model` with the formula.

Times are medians of interleaved calls, in milliseconds of the processor, summed over threads. Other
programs on the machine slow down all of them.
"""

import argparse
import time
import unittest.mock

import keras
import measure
import numpy as np
import peers

import keras_contrastive as kc

SIZE = 256  # numbers per row of the inputs of a tower


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--losses", nargs="*", choices=list(peers.PLAIN), default=list(peers.PLAIN))
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--step", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args()
    print("| what, mode | batch | ours, ms | formula | native | ratio | above, ms | target |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for mode in measure.DEFAULT_MODES:
        for name in options.losses:
            for batch in options.batches:
                found = time_losses(name, mode, batch, options.dim, options.repeats)
                print_row(f"{name}, {mode}", batch, found, limit=1.10, floor=0.15)
    for batch in options.batches if options.step else []:
        found = time_steps(batch, options.dim, options.repeats)
        print_row("step, trainer", batch, found, limit=1.03, floor=0.0)
        print_row("step, model", batch, {**found, "formula": found["model"]}, 1.03, 0.0)


def print_row(what, batch, found, limit, floor):
    ours, formula = found["ours"], found["formula"]
    cells = [f"{found[who]:.2f}" if who in found else "" for who in ("ours", "formula", "native")]
    verdict = "met" if ours <= max(limit * formula, formula + floor) else "**missed**"
    cells += [f"{ours / formula:.2f}", f"{ours - formula:.2f}", verdict]
    print("| " + " | ".join([what, str(batch), *cells]) + " |", flush=True)


def time_losses(name, mode, batch, dim, repeats):
    """Returns milliseconds of a value with its gradient by the name of the implementation."""
    inputs = measure.embeddings(batch, dim, "float32", peers.OURS[name].single)
    candidates = peers.candidates([name], False, dim)
    functions = {candidate.who: candidate.make(batch) for candidate in candidates}
    functions["formula"] = functions.pop("plain")
    if measure.BACKEND == "torch":
        functions["native"] = in_torch(peers.PLAIN[name])
    steps = {who: value_and_gradient(function, mode, inputs) for who, function in functions.items()}
    seconds = {who: [] for who in steps}
    for repeat in range(repeats + 5):
        for who, step in steps.items():
            start = time.process_time()
            measure.finish(step(*inputs))
            if repeat >= 5:
                seconds[who].append(time.process_time() - start)
    return {who: np.median(times) * 1e3 for who, times in seconds.items()}


def value_and_gradient(function, mode, inputs):
    if measure.BACKEND != "tensorflow":
        return measure.value_and_gradient(function, mode)
    import tensorflow as tf

    step = measure.value_and_gradient(function, "eager")

    # `fit` compiles for batches of any size.
    signature = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in inputs]
    return tf.function(step, input_signature=signature, jit_compile=mode == "jit")


def in_torch(formula):
    """Returns a formula in the operations of PyTorch."""
    import torch
    from torch.nn import functional

    class TorchOps:
        """The functions of `keras.ops` that the formulas use."""

        normalize = staticmethod(lambda x, axis: functional.normalize(x, dim=axis))
        cast = staticmethod(
            lambda x, dtype: x.to(getattr(torch, str(dtype).removeprefix("torch.")))
        )
        shape = staticmethod(lambda x: x.shape)
        arange = staticmethod(lambda n, dtype: torch.arange(n, dtype=getattr(torch, dtype)))
        log = staticmethod(lambda x: torch.log(torch.as_tensor(x)))
        logsumexp = staticmethod(
            lambda x, axis, keepdims=False: torch.logsumexp(x, axis, keepdim=keepdims)
        )
        transpose = staticmethod(lambda x: x.T)
        concatenate, expand_dims = torch.cat, torch.unsqueeze
        stop_gradient = staticmethod(lambda x: x.detach())
        log_sigmoid = functional.logsigmoid
        where, matmul, diagonal, exp = torch.where, torch.matmul, torch.diagonal, torch.exp
        log1p, sum, mean, squeeze = torch.log1p, torch.sum, torch.mean, torch.squeeze
        ones_like = torch.ones_like

    def function(*inputs):
        with unittest.mock.patch.object(peers, "ops", TorchOps):
            return formula(*inputs)

    return function


class StepTimes(keras.callbacks.Callback):
    """Times each step of `fit`."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        self.start = time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.process_time() - self.start)


def time_steps(batch, dim, repeats, steps=20):
    """Returns milliseconds of a step of `fit` by the name of the implementation."""
    models = {
        "ours": (kc.ContrastiveTrainer(towers(dim)), kc.losses.InfoNCE(peers.TEMPERATURE)),
        "formula": (
            kc.ContrastiveTrainer(towers(dim)),
            peers.FunctionLoss(peers.PLAIN["InfoNCE"]),
        ),
        "model": (peers.PlainModel(towers(dim)), None),
    }
    rng = np.random.default_rng(0)
    x = {name: rng.standard_normal((steps * batch, SIZE), dtype="float32") for name in ("a", "b")}
    times = {who: StepTimes() for who in models}
    for model, loss in models.values():
        model.compile(keras.optimizers.Adam(1e-3), loss)
        model.fit(x, batch_size=batch, verbose=0)
    for _ in range(repeats // steps):
        for who, (model, _) in models.items():
            model.fit(x, batch_size=batch, verbose=0, callbacks=[times[who]])
    return {who: np.median(watch.seconds) * 1e3 for who, watch in times.items()}


def towers(dim):
    layers = keras.layers
    return {
        name: keras.Sequential(
            [keras.Input((SIZE,)), layers.Dense(512, activation="relu"), layers.Dense(dim)]
        )
        for name in ("a", "b")
    }


if __name__ == "__main__":
    main()
