"""Draws figures of docs/benchmarks.md and docs/results.md from the tables of these pages.

python benchmarks/page_figures.py
"""

import argparse
import pathlib
import re

DOCS = pathlib.Path(__file__).parents[1] / "docs"
BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#666666"
LIGHT = "#c4c4c4"
COLORS = {"InfoNCE": BLUE, "DecoupledContrastive": ORANGE, "GammaContrastive": GREEN}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=DOCS, help="folder of the figures")
    out = parser.parse_args().out
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"font.size": 11, "axes.spines.top": False})
    matplotlib.rcParams["axes.spines.right"] = False
    page = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    draw_memory(table(page, "pairs"), out / "benchmark_memory.png")
    draw_time(table(page, "time over the plain formula"), out / "benchmark_time.png")
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    tuned = ("drawing ↔ name, frozen", "drawing ↔ drawing, from scratch")
    batches = {name: table(page, f"{name}; tuned") for name in tuned}
    draw_batches(batches, out / "half_the_batch.png")
    step = table(page, "small towers (192 → 256 → 128, dense)")
    draw_step(step, out / "step_memory.png")
    draw_less_data(table(page, "share (emoji)"), out / "less_data.png")
    bound = re.search(r"exact alignment is ([\d.]+\d)", page)
    draw_gap(table(page, "training"), float(bound[1]), out / "information_gap.png")


def table(page, first):
    """Returns the columns of the first table whose first header is given, as numbers by header."""
    lines = page[page.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if not line.startswith("| ---")]
    headers, *cells = rows
    return {
        name: [_number(row[i]) for row in cells if i < len(row)] for i, name in enumerate(headers)
    }


def _number(cell):
    """Returns the number at the start of a cell, such as "0.18 ± 0.01", or the text of the cell."""
    found = re.match(r"[-+]?\d[\d,]*(\.\d+)?(?= ±| \(|$)", cell)
    return float(found[0].replace(",", "")) if found else cell


def lines_of(columns):
    """Returns the numbers in the headers of a table, and its rows by name."""
    (_, names), *numbers = columns.items()
    positions = [float(re.findall(r"[\d,]+", name)[-1].replace(",", "")) for name, _ in numbers]
    names = [name.split("(")[0].strip("`") for name in names]
    return positions, {
        name: [column[row] for _, column in numbers] for row, name in enumerate(names)
    }


def draw_memory(columns, path):
    pairs, ours, plain = columns.values()
    less = plain[-1] / ours[-1]
    figure, axis = _axes()
    axis.loglog(pairs, plain, color=GRAY, marker="o")
    axis.loglog(pairs, ours, color=BLUE, marker="o")
    label(axis, "plain formula", (pairs[-2], plain[-2]), (-10, 4), GRAY, "right")
    label(axis, "InfoNCE of this package", (pairs[-1], ours[-1]), (0, -48), BLUE, "right")
    axis.set(
        title=f"At {pairs[-1]:,.0f} pairs, the loss needs {less:.0f} times less memory",
        xlabel="pairs in the batch",
        ylabel="MiB above inputs and gradients",
    )
    axis.set_xticks(pairs, [f"{count:,.0f}" for count in pairs])
    _save(figure, axis, path)


def draw_time(columns, path):
    (_, backends), *numbers = columns.items()
    pairs = [_number(name) for name, _ in numbers]
    figure, axis = _axes()
    axis.axhline(1, color=GRAY, linewidth=1)
    styles = zip(backends, (ORANGE, BLUE, GREEN), (-13, -15, 3), strict=True)
    for row, (backend, color, lift) in enumerate(styles):
        ratios = [column[row] for _, column in numbers]
        axis.plot(pairs, ratios, color=color, marker="o")
        label(axis, backend, (pairs[-1], ratios[-1]), (8, lift), color)
    axis.set(
        title="PyTorch is slow for small batches, and fast for large ones",
        xlabel="pairs in the batch",
        ylabel="time over the plain formula",
        xscale="log",
        xlim=(50, 40_000),
        ylim=(0, 2),
    )
    axis.set_xticks(pairs, [f"{count:,.0f}" for count in pairs])
    _save(figure, axis, path)


def draw_batches(tables, path):
    """Draws quality over the batch size in two settings, with the losses that matter in color."""
    figure, axes = _axes(len(tables))
    for axis, (setting, columns) in zip(axes, tables.items(), strict=True):
        batches, lines = lines_of(columns)
        for name, values in lines.items():
            color = COLORS.get(name.removesuffix(", 0.7"), LIGHT)
            axis.plot(batches, values, color=color, marker="o", zorder=1 + (color != LIGHT))
        axis.set(title=setting, xlabel="pairs in the batch", xscale="log", ylim=(0, 0.22))
        axis.set_xticks(batches[::2], [f"{count:,.0f}" for count in batches[::2]])
        axis.minorticks_off()
    axes[0].set_ylabel("mean reciprocal rank")
    for height, (name, color) in enumerate([*COLORS.items(), ("other losses", GRAY)]):
        place = (0.05, 0.4 - 0.1 * height)
        axes[0].text(*place, name, color=color, transform=axes[0].transAxes)
    figure.suptitle("With tuned settings, the batch size does not matter on emoji")
    _save(figure, axes[-1], path)


def draw_step(columns, path):
    pairs, lines = lines_of(columns)
    large = [number for number, count in enumerate(pairs) if count >= 1024]  # below: noise
    pairs = [pairs[number] for number in large]
    figure, axis = _axes()
    shown = (
        ("direct logits", "plain formula", GRAY, (-14, -2), "right"),
        ("InfoNCE", "InfoNCE of this package", BLUE, (-10, 6), "right"),
        ("GammaContrastive`, in parts", "in micro-batches of 256", ORANGE, (0, -46), "right"),
    )
    values = {}
    for row, name, color, offset, side in shown:
        values[row] = [lines[row][number] for number in large]
        axis.loglog(pairs, values[row], color=color, marker="o")
        label(axis, name, (pairs[-1], values[row][-1]), offset, color, side)
    less = values["direct logits"][-1] / values["InfoNCE"][-1]
    axis.set(
        title=f"Small towers: at {pairs[-1]:,.0f} pairs, a step takes {less:.0f} times less memory",
        xlabel="pairs in the batch",
        ylabel="peak of a step, MiB",
    )
    axis.set_xticks(pairs, [f"{count:,.0f}" for count in pairs])
    _save(figure, axis, path)


def draw_less_data(columns, path):
    emoji, lines = lines_of(columns)
    figure, axis = _axes()
    lifts = {"DecoupledContrastive": 4, "GlobalContrastive": -2, "GammaContrastive": -8}
    for name, values in lines.items():
        color = COLORS.get(name, GRAY)
        axis.plot(emoji, values, color=color, marker="o")
        label(axis, name, (emoji[-1], values[-1]), (8, lifts.get(name, -10)), color)
    axis.set(
        title="With less data, all losses get worse alike",
        xlabel="emoji for training",
        ylabel="R@10, drawing to drawing",
        xscale="log",
        xlim=(130, 2600),
        ylim=(0.25, 0.47),
    )
    axis.set_xticks(emoji, [f"{count:,.0f}" for count in emoji])
    _save(figure, axis, path)


def draw_gap(columns, bound, path):
    names, distances, losses = list(columns.values())[:3]
    figure, axis = _axes()
    found = dict(zip(names, zip(distances, losses, strict=True), strict=True))
    alignment = [point for name, point in found.items() if name.startswith("alignment")]
    axis.plot(*zip(*alignment, strict=True), color=ORANGE, marker="o")
    offsets = {"alignment × 0": (8, -16), "alignment × 1": (-14, -32), "`BrownianBridge`": (8, 5)}
    for name, point in found.items():
        color = ORANGE if name.startswith("alignment") else BLUE
        axis.plot(*point, color=color, marker="o")
        label(axis, name.strip("`"), point, offsets.get(name, (8, -3)), color)
    axis.axhline(bound, color=GRAY, linewidth=1, linestyle="--", zorder=0)
    label(axis, "bound of exact alignment", (1.75, bound), (0, 4), GRAY, "right")
    axis.set(
        title="Stronger alignment loses information, separation keeps it",
        xlabel="mean distance of an item's two embeddings",
        ylabel="loss of a probe for the label, nats",
        xlim=(0, 1.8),
        ylim=(0, 2.6),
    )
    _save(figure, axis, path)


def label(axis, text, point, offset, color, side="left"):
    axis.annotate(text, point, offset, textcoords="offset points", ha=side, color=color)


def _axes(columns=1):
    from matplotlib import pyplot

    return pyplot.subplots(1, columns, figsize=(7.2, 3.8), layout="constrained", sharey=True)


def _save(figure, axis, path):
    axis.minorticks_off()
    figure.savefig(path, dpi=200)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
