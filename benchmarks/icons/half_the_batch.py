"""Measures how each loss depends on the batch size, on icons of one concept by two sets.

All towers of a kind see equally many pairs, whatever the batch size. For each loss and batch size,
the learning rate and the temperature are tuned on the validation concepts. Runs with five other
seeds are searched once, among the test concepts, in both directions.

Each cell writes a JSON file and is not run again. The pages and figures need the files alone.

    npm install --ignore-scripts @iconify/json@2.2.535
    pip install ".[icons,jax,viz]"
    KERAS_BACKEND=jax python benchmarks/icons/half_the_batch.py              # linear towers
    KERAS_BACKEND=jax python benchmarks/icons/half_the_batch.py --towers hidden
    KERAS_BACKEND=jax python benchmarks/icons/half_the_batch.py --towers pixels
    KERAS_BACKEND=jax python benchmarks/icons/half_the_batch.py --source pypi
    python benchmarks/icons/half_the_batch.py --pages                        # from the files alone
"""

import functools
import math

import arguments as shared
import data as icons
import half_the_batch_page
import protocol
import runs

import keras_contrastive as kc

SAMPLES = {"linear": 120_000, "hidden": 120_000, "pixels": 60_000}
FIXED = {"temperature": 1.0, "normalize": False}  # `Runs` normalizes and divides


def sigmoid(num_items, batch_size):
    bias = kc.layers.LearnableBias(-math.log(batch_size))
    return kc.losses.SigmoidContrastive(bias=bias, **FIXED)


# Functions of the number of items and of the batch size.
LOSSES = {
    "InfoNCE": lambda num_items, batch_size: kc.losses.InfoNCE(**FIXED),
    "DecoupledContrastive": lambda num_items, batch_size: kc.losses.DecoupledContrastive(
        all_views=False, **FIXED
    ),
    "jackknife": lambda num_items, batch_size: kc.losses.DecoupledContrastive(
        all_views=False, bias_correction="jackknife", **FIXED
    ),
    "GlobalContrastive": lambda num_items, batch_size: kc.losses.GlobalContrastive(
        num_items, **FIXED
    ),
    "GammaContrastive": lambda num_items, batch_size: kc.losses.GammaContrastive(
        num_items=num_items, **FIXED
    ),
    # `Runs` builds the losses: without ids, there is one running estimate for all items.
    "GammaContrastive, shared": lambda num_items, batch_size: kc.losses.GammaContrastive(**FIXED),
    "SigmoidContrastive": sigmoid,
}
# The batch sizes at whose best settings the search for those of a batch size starts.
LIKE = {16: [], 64: [16, 256], 256: [64, 16], 1024: [256, 64]}
# The cells of each source and towers: losses and batch sizes.
PLAN = {
    ("iconify", "linear"): (list(LOSSES), [16, 256, 64, 1024]),
    ("pypi", "linear"): (["InfoNCE", "DecoupledContrastive"], [16, 256]),
    ("iconify", "hidden"): (
        ["InfoNCE", "DecoupledContrastive", "GammaContrastive", "SigmoidContrastive"],
        [16, 256, 64],
    ),
    ("iconify", "pixels"): (["InfoNCE", "DecoupledContrastive", "GammaContrastive"], [16, 256]),
}


def untrained(path, data):
    """Writes the scores of the features as they are, without any training."""
    vectors, families = icons.without_training(data)
    scores = protocol.scores_of(vectors)
    test = {name: [float(values.mean())] for name, values in scores.items()}
    protocol.write(path, {"test": test | protocol.by_family(scores["mrr"], families)})


def cells(arguments):
    """Returns the functions that run the cells, by path."""
    losses, batches = PLAN[arguments.source, arguments.towers]
    losses, batches = arguments.losses or losses, arguments.batch_size or batches
    inputs = "pixels" if arguments.towers == "pixels" else "features"
    load = functools.cache(
        lambda: icons.load(arguments.source, arguments.folder, arguments.out, inputs=inputs)
    )
    samples = arguments.samples or SAMPLES[arguments.towers]
    folder = arguments.cells / "half_the_batch"
    name = f"{arguments.source}-{arguments.towers}"

    def make_runs(loss, batch_size):
        made = LOSSES[loss](load().num_concepts, batch_size)
        return runs.Runs(made, arguments.towers, load(), batch_size, samples)

    baseline = folder / f"{name}-0-none.json"
    planned = {baseline: lambda: untrained(baseline, load())}
    for batch_size in batches:
        for loss in losses:
            path = folder / f"{name}-{batch_size}-{loss}.json"
            make = functools.partial(make_runs, loss, batch_size)
            like = [folder / f"{name}-{batch}-{loss}.json" for batch in LIKE[batch_size]]
            like.append(folder / f"iconify-linear-{batch_size}-{loss}.json")
            planned[path] = functools.partial(
                protocol.run_cell, path, make, batch_size, arguments.seeds, like
            )
    return planned


def parse_arguments():
    parser = shared.parser(__doc__.splitlines()[0])
    parser.add_argument("--source", choices=("iconify", "pypi"), default="iconify")
    parser.add_argument("--towers", choices=tuple(runs.TOWERS), default="linear")
    parser.add_argument("--losses", nargs="+", choices=tuple(LOSSES), help="default: the plan")
    parser.add_argument("--batch-size", type=int, nargs="+", help="default: the plan")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.source, arguments.samples, arguments.seeds = "pypi", 6000, 2
        arguments.losses, arguments.batch_size = ["InfoNCE", "DecoupledContrastive"], [16, 256]
        arguments.cells = arguments.out / "cells"
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.pages:
        half_the_batch_page.write(arguments.cells)
    else:
        protocol.run_all(cells(arguments), arguments.minutes)


if __name__ == "__main__":
    main()
