"""The protocol of all comparisons on icons: tune on validation, then run other seeds on test.

Each cell is one JSON file. A cell that has its file is not run again.
"""

import json
import pathlib
import time

import numpy as np

import keras_contrastive as kc

CELLS = pathlib.Path(__file__).parents[2] / "docs" / "research" / "cells"
SCORES = ("mrr", "recall_at_1", "recall_at_10")
TUNING_SEED = 1000
MIDDLE_TEMPERATURE = 0.14


def middle_rate(batch_size):
    return 2e-3 * (batch_size / 16) ** 0.5


def configuration(point, batch_size):
    """Returns the learning rate and the temperature of a point of the grid."""
    i, j = point
    return middle_rate(batch_size) * 2.0**i, MIDDLE_TEMPERATURE * 2 ** (j / 2)


def tune(score, batch_size, at_once, start=(0, 0)):
    """Searches a grid of rates (factor 2) and temperatures (factor √2) until its best is inside.

    The grid starts with a point and its four neighbors. The neighbors of the best point are added
    until all four are in the grid and none of them is better. Its corners fill up a call.

    Args:
        score: Function of lists of rates and temperatures that returns the score of each.
        batch_size: Positive int.
        at_once: Number of configurations that `score` takes.
        start: The point in the middle of the first grid.

    Returns:
        `(best, found)`: a point, and a dict of the scores by point.
    """
    found: dict[tuple[int, int], float] = {}
    best = tuple(start)
    while missing := _missing(best, found, at_once):
        filled = missing + missing[-1:] * (at_once - len(missing))
        rates, temperatures = zip(*(configuration(p, batch_size) for p in filled), strict=True)
        scores = score(list(rates), list(temperatures))[: len(missing)]
        found.update(zip(missing, map(float, scores), strict=True))
        best = max(found, key=found.__getitem__)
    return best, found


def _missing(point, found, count):
    """Returns points to add: none if the neighbors of `point` are there, else at most `count`."""
    near = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
    corners = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    points = [(point[0] + i, point[1] + j) for i, j in [*near, *corners]]
    missing = [p for p in points if p not in found]
    return missing[:count] if set(missing) & set(points[: len(near)]) else []


def scores_of(embeddings):
    """Returns the scores of each item, the means of both directions, by name."""
    first, second = embeddings
    both = [
        kc.evaluation.retrieval(*views, k=(1, 10), per_query=True)
        for views in ((first, second), (second, first))
    ]
    return {name: (both[0][name] + both[1][name]) / 2 for name in SCORES}


def measure(runs, weights, split):
    """Returns the scores of each run, and the reciprocal ranks summed over each family.

    The sums are means over the runs. Families are sorted by name.
    """
    (first, second), families = runs.embed(weights, split)
    found = [scores_of(views) for views in zip(first, second, strict=True)]
    result = {name: [float(run[name].mean()) for run in found] for name in SCORES}
    return result | by_family(np.mean([run["mrr"] for run in found], axis=0), families)


def by_family(values, families):
    """Returns sums and counts by family, from which errors over families are computed."""
    groups, group = np.unique(families, return_inverse=True)
    sums = np.bincount(group, values, len(groups))
    return {"sums": np.round(sums, 4).tolist(), "counts": np.bincount(group).tolist()}


def run_cell(path, make_runs, batch_size, seeds, like=()):
    """Tunes and measures one cell, and writes its file.

    Args:
        path: Path of the file.
        make_runs: Function without arguments that returns a `Runs`.
        batch_size: Positive int.
        seeds: Number of runs on the test split, at most the number of runs at once.
        like: Paths of similar cells. The search starts at the best point of the first one that is
            there, or at (0, 0).
    """
    clock = time.perf_counter()
    runs = make_runs()

    def score(rates, temperatures):
        weights = runs.train(rates, temperatures, [TUNING_SEED] * len(rates))
        return measure(runs, weights, "validation")["mrr"]

    start = next((json.loads(p.read_text())["best"] for p in like if p.exists()), (0, 0))
    best, found = tune(score, batch_size, runs.at_once, start)
    rate, temperature = configuration(best, batch_size)
    numbers = list(range(1, 1 + runs.at_once))
    weights = runs.train([rate] * runs.at_once, [temperature] * runs.at_once, numbers)
    weights = [w[:seeds] for w in weights]
    grid = [[*p, round(value, 5)] for p, value in sorted(found.items())]
    cell = {
        "batch_size": batch_size,
        "rate": rate,
        "temperature": temperature,
        "best": best,
        "grid": grid,
        "test": measure(runs, weights, "test"),
        "seconds": round(time.perf_counter() - clock, 1),
    }
    write(path, cell)
    mean, error = over_seeds(cell["test"]["mrr"])
    print(
        f"{time.strftime('%H:%M:%S')} {path.stem}: {mean:.4f} ± {error:.4f}, rate × 2^{best[0]}, "
        f"temperature {temperature:.3f}, {len(found)} configurations, {cell['seconds']:.0f} s",
        flush=True,
    )


def run_all(cells, minutes):
    """Runs functions by path, unless the file is there or the time is used up."""
    start, longest = time.perf_counter(), 0.0
    for path, run in cells.items():
        if path.exists():
            continue
        begin = time.perf_counter()
        if begin - start + longest > 60 * minutes:
            print(f"{path.stem}: not run for lack of time. Start again to resume.", flush=True)
            continue
        run()
        longest = max(longest, time.perf_counter() - begin)


def write(path, cell):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps(cell) + "\n")
    unfinished.replace(path)


def read(folder):
    """Returns the cells of a folder by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def over_seeds(values):
    """Returns the mean and its standard error over seeds."""
    values = np.asarray(values)
    spread = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return values.mean(), spread


def over_families(test, other=None):
    """Returns the mean over items, or its difference to another, with an error over families.

    Items of a family resemble each other. The error is that of a ratio of sums over families.
    """
    sums, counts = np.array(test["sums"]), np.array(test["counts"])
    if other is not None:
        sums = sums - np.array(other["sums"])
    mean = sums.sum() / counts.sum()
    rest, groups = sums - mean * counts, len(counts)
    return mean, np.sqrt(groups / (groups - 1) * (rest**2).sum()) / counts.sum()


def difference(test, other):
    """Returns the difference of two cells, its error over seeds, and its error over families.

    A search without training has no seeds, and no error over them.
    """
    (mean, error), (other_mean, other_error) = (over_seeds(x["mrr"]) for x in (test, other))
    seeds = np.sqrt(np.nansum([error**2, other_error**2]))
    return mean - other_mean, seeds, over_families(test, other)[1]
