"""Values and derivatives of every loss in float64, from the reference loops of the tests.

A gradient is compared along a few random directions, where differences of the value in float64
give it with 9 digits.
"""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import sys

import ml_dtypes
import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[2]))
from tests.contracts.loss_cases import EVERY, MINED
from tests.reference import losses as reference

DIM, TEMPERATURE, NUM_DIRECTIONS, STEP = 64, 0.1, 4, 1e-4
CASES = EVERY | MINED
QUICK = ("InfoNCE", "SupCon")


def views(rows, dtype):
    """Returns two views of random rows, float32, rounded to a dtype."""
    rng = np.random.default_rng(0)
    first = rng.normal(size=(rows, DIM))
    both = np.stack([first, first + 1.5 * rng.normal(size=(rows, DIM))]).astype("float32")
    return both.astype(ml_dtypes.bfloat16).astype("float32") if dtype == "bfloat16" else both


def along(gradients):
    """Returns the derivatives along the directions, from the gradients of both views."""
    return [float(np.vdot(gradients, x)) for x in _directions(gradients.shape)]


def _directions(shape):
    return np.random.default_rng(1).normal(size=(NUM_DIRECTIONS, *shape))


def run(names, rows):
    """Returns arrays `[value, *derivatives]` by name of the loss and dtype of the embeddings."""
    tasks = [(name, dtype) for name in names for dtype in ("float32", "bfloat16")]
    evaluate = functools.partial(_evaluate, rows)
    if len(names) <= len(QUICK):
        return dict(zip(tasks, map(evaluate, tasks), strict=True))
    context = multiprocessing.get_context("spawn")
    workers = max(1, os.cpu_count() // 2)
    with concurrent.futures.ProcessPoolExecutor(workers, context) as pool:
        return dict(zip(tasks, pool.map(evaluate, tasks), strict=True))


def _evaluate(rows, task):
    name, dtype = task
    both, ids = views(rows, dtype).astype("float64"), range(rows)
    if name == "GlobalContrastive":
        # In the first step, the partitions are those of the batch, as means.
        value = objective = lambda *arguments: reference.decoupled(*arguments) - np.log(rows - 1)
    else:
        value, objective = CASES[name].value, CASES[name].objective
    found = [np.mean(value(both, ids, TEMPERATURE))]
    for direction in _directions(both.shape):
        ends = [np.mean(objective(both + h * direction, ids, TEMPERATURE)) for h in (-STEP, STEP)]
        found.append((ends[1] - ends[0]) / (2 * STEP))
    return np.array(found)
