"""The table of a model and its controls, with standard errors."""

import json
import pathlib

import numpy as np

import keras_contrastive as kc
from icon_parts.controls import EDGES, PIXELS
from icon_parts.searches import ARTIST, DRAWINGS, FAMILIES, TASKS, WORDS, chance, measure, searches

STORED = pathlib.Path(__file__).with_name("results.json")
PAGE = pathlib.Path(__file__).parents[2] / "docs" / "icon_search.md"
MARKS = "<!-- table: icon search -->", "<!-- end -->"
TRAINED, NEIGHBORS = "trained", "trained, with names of neighbors"
COLUMNS = {
    (ARTIST, WORDS): "new artist, words",
    (ARTIST, DRAWINGS): "new artist, drawing",
    (FAMILIES, WORDS): "unseen families, words",
    (FAMILIES, DRAWINGS): "unseen families, drawing",
}


def measure_all(drawings, learn, texts, methods):
    """Measures methods on all tasks.

    Args:
        drawings: All `Drawings`.
        learn: Mask of the drawings of the training.
        texts: `(drawings, 384)`, the vectors of the names.
        methods: Dict from names to pairs: vectors of the drawings that are compared with vectors
            of names, and vectors that are compared with each other, or `None`.

    Returns:
        Values of each query: a dict by method, of dicts by column, of dicts by measure.
    """
    results = {name: {} for name in methods}
    for task in TASKS:
        found = searches(drawings, learn, *task)
        for name, (as_texts, as_drawings) in methods.items():
            queries, corpus = (texts, as_texts) if task[1] == WORDS else (as_drawings, as_drawings)
            if corpus is not None:
                values = measure(found, queries, corpus, drawings.concepts)
                results[name][COLUMNS[task]] = values
    return results


def chance_of_all(drawings, learn):
    """Returns the expected measures of a random order, a dict by column."""
    found = {task: searches(drawings, learn, *task) for task in TASKS}
    return {COLUMNS[task]: chance(one, drawings.concepts) for task, one in found.items()}


def summary(results):
    """Returns means and standard errors over queries, and the lead of training over the edges."""
    means = {
        name: {column: _mean(values) for column, values in of.items()}
        for name, of in results.items()
    }
    for name in (TRAINED, NEIGHBORS):
        means[f"{name}: lead"] = {
            column: kc.evaluation.compare(results[EDGES][column], values)
            for column, values in results[name].items()
        }
    return means


def _mean(values):
    zero = {name: np.zeros_like(value) for name, value in values.items()}
    return kc.evaluation.compare(zero, values)


def combine(runs):
    """Returns the mean over runs of several seeds.

    The squared error is that over the queries plus that over the seeds.
    """
    combined = {}
    for name, columns in runs[0].items():
        combined[name] = {}
        for column, values in columns.items():
            means = {key: [run[name][column][key] for run in runs] for key in values}
            result = {key: float(np.mean(many)) for key, many in means.items()}
            for key in values:
                if key.endswith("_error"):
                    between = np.var(means[key.removesuffix("_error")], ddof=1) if runs[1:] else 0
                    squared = np.mean(np.square(means[key])) + between / len(runs)
                    result[key] = float(np.sqrt(squared))
            combined[name][column] = result
    return combined


def save(runs, chances):
    """Writes the stored table of several seeds, and the table of the page."""
    content = {"seeds": len(runs), "chance": chances, "means": combine(runs)}
    STORED.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    markdown = as_markdown(chances, {f"{len(runs)} seeds": content["means"]})
    _, after = rest.split(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{markdown}\n\n{MARKS[1]}{after}", encoding="utf-8")


def load():
    """Returns the stored table, or `None`."""
    return json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else None


def as_markdown(chances, runs):
    """Returns the table.

    Args:
        chances: Result of `chance_of_all`.
        runs: Dict from the name of a run, such as "3 seeds", to its means. The controls are those
            of the first run.
    """
    lines = [("chance", chances)]
    first = next(iter(runs.values()))
    lines += [(name, first[name]) for name in (PIXELS, EDGES) if name in first]
    for name in (TRAINED, NEIGHBORS, f"{TRAINED}: lead", f"{NEIGHBORS}: lead"):
        lines += [(f"{name}, {run}", means[name]) for run, means in runs.items() if name in means]
    columns = list(COLUMNS.values())
    head = ["R@1 / R@10", *columns]
    table = [head, ["---"] * len(head)]
    table += [[name, *(_cell(of.get(column)) for column in columns)] for name, of in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def _cell(values):
    if values is None:
        return ""
    cells = []
    for key in ("hit_rate_at_1", "hit_rate_at_10"):
        error = values.get(f"{key}_error")
        digits = 3 if error else 4
        cells.append(f"{values[key]:.{digits}f}" + (f" ± {error:.3f}" if error else ""))
    return " / ".join(cells)
