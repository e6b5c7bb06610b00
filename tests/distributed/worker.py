"""Trains cases on a number of replicas and writes the results.

python -m tests.distributed.worker OUT COUNT CASE [CASE ...]
"""

import pathlib
import sys

import keras
import numpy as np
from keras import ops

from keras_contrastive.config import set_tile_shape
from tests.distributed.cases import CASES
from tests.helpers.backend import optimize_no_graphs
from tests.helpers.replicas import UNEVEN_ROWS, join_replicas, num_replicas
from tests.helpers.towers import pairs

RATE, BATCH, EPOCHS = 0.1, 16, 4
ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
# On TensorFlow, XLA compiles for minutes.
JIT_COMPILE = False if ON_TENSORFLOW else "auto"


def measure(make, evaluated=True):
    """Returns arrays by name: logs and gradients of the first step, weights after all epochs."""
    results = {}
    model, compile_arguments, x, y, weights = make()
    # One device needs no compiled step. Strategies of TensorFlow do.
    compile_arguments["run_eagerly"] = ON_TENSORFLOW and num_replicas() == 1
    model.compile(keras.optimizers.SGD(RATE), jit_compile=JIT_COMPILE, **compile_arguments)
    before = weights_by_name(model)
    trainable = [name for name in before if name.startswith("trainable/")]

    def after_first_step(_, logs):
        if not results:
            # JAX writes the weights back to the model at the end of an epoch only.
            getattr(model, "jax_state_sync", lambda: None)()
            after = weights_by_name(model)
            for name, value in logs.items():
                results[f"step/{name}"] = np.asarray(ops.convert_to_numpy(value))
            for name in trainable:
                results[f"gradient/{name}"] = (before[name] - after[name]) / RATE

    callbacks = [keras.callbacks.LambdaCallback(on_train_batch_end=after_first_step)]
    arguments = {"sample_weight": weights, "batch_size": BATCH, "verbose": 0}
    history = model.fit(x, y, epochs=EPOCHS, callbacks=callbacks, **arguments)
    results |= {f"fit/{name}": np.asarray(values) for name, values in history.history.items()}
    if evaluated:
        scores = model.evaluate(x, y, return_dict=True, **arguments)
        results |= {f"evaluate/{name}": np.asarray(value) for name, value in scores.items()}
    return results | {f"after/{name}": value for name, value in weights_by_name(model).items()}


def weights_by_name(model):
    """Returns all weights, those of the loss included, as float64 arrays."""
    named = {}
    for kind in ("trainable", "non_trainable"):
        for index, weight in enumerate(getattr(model, f"{kind}_weights")):
            array = np.asarray(ops.convert_to_numpy(weight), "float64")
            named[f"{kind}/{index}_{weight.path}"] = array
    return named


def main(out, count, *names):
    scope, is_first = join_replicas(count)
    optimize_no_graphs()
    for name in names:
        case = CASES[name]
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        keras.config.set_dtype_policy(case.policy)
        set_tile_shape(None)
        with scope():
            if num_replicas() != count:
                raise RuntimeError(f"{name} must run on {count} replicas, not {num_replicas()}.")
            results = measure(lambda make=case.make: make(pairs(UNEVEN_ROWS)), case.evaluated)
        if is_first:
            np.savez(pathlib.Path(out) / f"{name}.npz", **results)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
