"""Draws the figures of docs/benchmarks.md from its tables.

python benchmarks/page_figures.py
"""

import argparse
import pathlib

DOCS = pathlib.Path(__file__).parents[1] / "docs"
BLUE, ORANGE, GREEN, GRAY = "#0072b2", "#d55e00", "#009e73", "#666666"


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


def table(page, first):
    """Returns the columns of the first table whose first header is given, as numbers by header."""
    lines = page[page.index(f"| {first} |") :].split("\n\n")[0].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if not line.startswith("| ---")]
    headers, *cells = rows
    return {name: [_number(row[i]) for row in cells] for i, name in enumerate(headers)}


def _number(cell):
    try:
        return float(cell.replace(",", ""))
    except ValueError:
        return cell


def draw_memory(columns, path):
    pairs, ours, plain = columns.values()
    less = plain[-1] / ours[-1]
    figure, axis = _axes()
    axis.loglog(pairs, plain, color=GRAY, marker="o")
    axis.loglog(pairs, ours, color=BLUE, marker="o")
    _label(axis, "plain formula", (pairs[-2], plain[-2]), (-10, 4), GRAY, "right")
    _label(axis, "InfoNCE of this package", (pairs[-1], ours[-1]), (0, -48), BLUE, "right")
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
    styles = zip(backends, (ORANGE, BLUE, GREEN), (-13, -4, 0), strict=True)
    for row, (backend, color, lift) in enumerate(styles):
        ratios = [column[row] for _, column in numbers]
        axis.plot(pairs, ratios, color=color, marker="o")
        _label(axis, backend, (pairs[-1], ratios[-1]), (8, lift), color)
    axis.set(
        title="Small batches are slow on PyTorch, large ones only on TensorFlow",
        xlabel="pairs in the batch",
        ylabel="time over the plain formula",
        xscale="log",
        xlim=(50, 40_000),
        ylim=(0, 3.2),
    )
    axis.set_xticks(pairs, [f"{count:,.0f}" for count in pairs])
    _save(figure, axis, path)


def _label(axis, text, point, offset, color, side="left"):
    axis.annotate(text, point, offset, textcoords="offset points", ha=side, color=color)


def _axes():
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(7.2, 3.8), layout="constrained")


def _save(figure, axis, path):
    axis.minorticks_off()
    figure.savefig(path, dpi=200)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
