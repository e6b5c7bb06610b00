"""Table and figure of `gradient_bias.py`."""

from page_figures import BLUE, GRAY, GREEN, ORANGE, label

# The label in the figure, its color and its offset from the point.
LABELS = {
    "InfoNCE": ("InfoNCE", BLUE, (8, -4)),
    "decoupled": ("decoupled loss", ORANGE, (8, -4)),
    "jackknife": ("decoupled loss, jackknife", ORANGE, (-8, -5)),
    "global, visits": ("GlobalContrastive", GRAY, (10, -5)),
    "gamma, per item, 0.7": ("GammaContrastive with ids", GREEN, (14, -11)),
    "gamma, per item, visits": ("GammaContrastive with ids, mean of all visits", GREEN, (14, -1)),
    "gamma, shared": ("GammaContrastive", GREEN, (14, 3)),
    "gamma, shared, visits": ("GammaContrastive, mean of all visits", GREEN, (-38, -4)),
    "oracle": ("exact partitions, which no method knows", "black", (24, -4)),
}


def print_tables(cells, temperatures, batches, names):
    """Prints one table for each temperature: bias ± its error; noise; cosine."""
    print("bias ± its error; noise of one batch; cosine of an epoch. 0 ± error: none was found.\n")
    for temperature in temperatures:
        print(
            f"| temperature {temperature:g}, batch size | " + " | ".join(map(str, batches)) + " |"
        )
        print("| --- |" + " --- |" * len(batches))
        for name in names:
            row = [cells[f"{temperature:g}, {batch}, {name}"] for batch in batches]
            print(f"| {name} | " + " | ".join(map(_text, row)) + " |")
        known = (cells.get(f"{temperature:g}, {batch}, decoupled, predicted") for batch in batches)
        spread = next((cell["log_partition_std"] for cell in known if cell), None)
        if spread is not None:
            print(f"\nstandard deviation of the log-partition over the items: {spread:.2f}")
        print(flush=True)


def _text(cell):
    if "noise" not in cell:
        return f"{cell['bias']:.3f}"
    bias, error = cell["bias"], cell["bias_error"]
    size = f"{bias:.3f} ± {error:.3f}" if bias else f"0 ± {error:.3f}"
    return f"{size}; {cell['noise']:.1f}; {cell['cosine']:.3f}"


def draw(cells, temperatures, batches, names, path):
    """Draws the noise of each loss over its bias, at the lowest temperature and about 16 pairs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    temperature, batch = min(temperatures), min(batches, key=lambda size: abs(size - 16))
    figure, axis = pyplot.subplots(figsize=(7.2, 4.4), layout="constrained")
    for name in names:
        if name not in LABELS:
            continue
        cell = cells[f"{temperature:g}, {batch}, {name}"]
        text, color, offset = LABELS[name]
        axis.errorbar(
            cell["bias"], cell["noise"], xerr=cell["bias_error"], color=color, marker="o", capsize=3
        )
        side = "left" if offset[0] > 0 else "right"
        label(axis, text, (cell["bias"], cell["noise"]), offset, color, side)
    axis.spines[["right", "top"]].set_visible(False)
    axis.margins(y=0.1)
    axis.set(
        title=f"Batches of {batch}: no loss has little bias and little noise at once",
        xlabel="bias / length of the full gradient",
        ylabel="noise of one batch / signal",
        yscale="log",
        xlim=(0, None),
    )
    low, high = axis.get_ylim()
    axis.set_yticks([tick for tick in (1, 2, 3, 5, 10, 20, 50) if low < tick < high])
    axis.set_yticks([], minor=True)
    axis.yaxis.set_major_formatter("{x:g}")
    figure.savefig(path, dpi=200)
    print(f"wrote {path}")
