"""Measures the regularizers of Jiang et al. (2023) on characters and on icons.

Each modality has a tower with a hidden layer on fixed features. The base loss contrasts the
modalities and, at equal weights, an image with its second view. On characters, the modalities are
an image, a definition and a reading, and the second view is the image in another typeface. On
icons, they are a drawing and a name, and the second view is the drawing by another set.

The learning rate and the temperature of the base loss are tuned on the validation split. Then the
weight of each regularizer is tuned there twice, for retrieval and for a probe. The tables contain
runs with other seeds on the test split.

    KERAS_BACKEND=jax python benchmarks/icons/structures.py --setting glyphs
    KERAS_BACKEND=jax python benchmarks/icons/structures.py --setting icons
    python benchmarks/icons/structures.py --pages     # from the files alone
"""

import functools
import time

import arguments as shared
import numpy as np
import protocol
import structured_runs as runs
import structures_page
from runs import RUNS
from structured_data import load

BATCH_SIZE, SAMPLES = 64, 60_000
WEIGHTS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]  # a multiple of `RUNS`
# Kinds of models: names of regularizers.
KINDS = {
    "base": [],
    "wide": [],
    "cyclip": ["cyclip"],
    "separation": ["separation"],
    "bridge": ["bridge"],
    "consistency": ["consistency"],
    "all": ["separation", "bridge", "consistency"],
}
CRITERIA = ("retrieval", "probe")


def base(path, data, arguments):
    """Tunes the learning rate and the temperature of the base loss."""
    trained = runs.Runs(data, [], BATCH_SIZE, arguments.samples or SAMPLES)

    def score(rates, temperatures):
        weights = trained.train(rates, temperatures, [[]] * RUNS, [protocol.TUNING_SEED] * RUNS)
        return [trained.measure(w, "validation", ("retrieval",))["retrieval"] for w in weights]

    best, found = protocol.tune(score, BATCH_SIZE, RUNS)
    rate, temperature = protocol.configuration(best, BATCH_SIZE)
    grid = [[*point, round(value, 5)] for point, value in sorted(found.items())]
    cell = {"best": best, "grid": grid, "rate": rate, "temperature": temperature}
    protocol.write(path, cell)
    print(f"{path.stem}: rate {rate:.2g}, temperature {temperature:.2g}", flush=True)


def run_kind(path, data, kind, arguments):
    """Tunes the weight of one kind for each criterion, and measures it on the test split."""
    clock = time.perf_counter()
    tuned = protocol.read(path.parent)
    start = tuned[f"{arguments.setting}-settings"]
    names = KINDS[kind]
    trained = runs.Runs(data, names, BATCH_SIZE, arguments.samples or SAMPLES, wide=kind == "wide")
    common = [start["rate"]] * RUNS, [start["temperature"]] * RUNS
    chosen, sweeps = {}, {}
    if len(names) == 1:
        seeds = [protocol.TUNING_SEED] * RUNS
        weights = []
        for first in range(0, len(WEIGHTS), RUNS):
            at_once = [[weight] for weight in WEIGHTS[first : first + RUNS]]
            weights += trained.train(*common, at_once, seeds)
        found = [trained.measure(w, "validation", CRITERIA) for w in weights]
        for criterion in CRITERIA:
            sweeps[criterion] = [round(run[criterion], 5) for run in found]
            chosen[criterion] = [WEIGHTS[int(np.argmax(sweeps[criterion]))]]
    else:  # that of each regularizer alone
        for criterion in CRITERIA:
            alone = [tuned[f"{arguments.setting}-{name}"]["chosen"][criterion] for name in names]
            chosen[criterion] = [weight for (weight,) in alone]
    cell = {"weights": WEIGHTS, "sweeps": sweeps, "chosen": chosen, "test": {}}
    numbers = list(range(1, 1 + RUNS))
    done = {}
    for criterion in CRITERIA:
        key = tuple(chosen[criterion])
        if key not in done:
            weights = trained.train(*common, [list(key)] * RUNS, numbers)[: arguments.seeds]
            found = [trained.measure(w, "test") for w in weights]
            done[key] = {name: [round(run[name], 5) for run in found] for name in found[0]}
        cell["test"][criterion] = done[key]
    cell["seconds"] = round(time.perf_counter() - clock, 1)
    protocol.write(path, cell)
    means = {name: sum(x) / len(x) for name, x in cell["test"]["retrieval"].items()}
    print(f"{path.stem}: {chosen}, {means}, {cell['seconds']} s", flush=True)


def cells(arguments):
    data = functools.cache(
        lambda: load(arguments.setting, arguments.folder, arguments.out, arguments.source)
    )
    folder = arguments.cells / "structures"
    settings = folder / f"{arguments.setting}-settings.json"
    planned = {settings: lambda: base(settings, data(), arguments)}
    for kind in arguments.kinds:
        path = folder / f"{arguments.setting}-{kind}.json"
        planned[path] = lambda path=path, kind=kind: run_kind(path, data(), kind, arguments)
    return planned


def parse_arguments():
    parser = shared.parser(__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=("glyphs", "icons"), default="glyphs")
    parser.add_argument("--source", choices=("iconify", "pypi"), default="iconify")
    parser.add_argument("--kinds", nargs="+", choices=tuple(KINDS), default=list(KINDS))
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.source, arguments.setting = "pypi", "icons"
        arguments.samples, arguments.seeds, arguments.kinds = 3000, 2, ["base", "bridge"]
        arguments.cells = arguments.out / "cells"
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.pages:
        structures_page.write(arguments.cells)
    else:
        protocol.run_all(cells(arguments), arguments.minutes)


if __name__ == "__main__":
    main()
