"""Table and figure of `gradient_bias.py`."""

import numpy as np

STYLES = {  # color, line
    "InfoNCE": ("#2b5fc0", "-"),
    "decoupled": ("#16a085", "-"),
    "jackknife": ("#7f8c8d", "-"),
    "global, visits": ("#8e44ad", "-"),
    "gamma, per item, 0.7": ("#e59866", "-"),
    "gamma, per item, visits": ("#e59866", "--"),
    "gamma, shared": ("#c0392b", "-"),
    "gamma, shared, visits": ("#c0392b", "--"),
    "oracle": ("#000000", "-"),
    "decoupled, predicted": ("#16a085", ":"),
}
PARTS = {
    "bias": "bias / full gradient",
    "noise": "noise of one batch / signal",
    "cosine": "cosine of an epoch",
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
    """Draws bias, noise and cosine (rows) over the batch size, for each temperature (columns)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        len(PARTS),
        len(temperatures),
        figsize=(max(2.9 * len(temperatures) + 1.2, 6.4), 8.6),
        layout="constrained",
        squeeze=False,
        sharey="row",
        sharex=True,
    )
    for row, (part, label) in zip(panels, PARTS.items(), strict=True):
        for panel, temperature in zip(row, temperatures, strict=True):
            for name in names:
                found = [cells[f"{temperature:g}, {batch}, {name}"].get(part) for batch in batches]
                values = np.array(found, "float64")
                if part != "cosine":
                    values[values == 0] = np.nan
                if not np.all(np.isnan(values)):
                    color, line = STYLES[name]
                    panel.plot(
                        batches, values, line, color=color, marker=".", label=name, linewidth=1.6
                    )
            panel.set(xscale="log", yscale="linear" if part == "cosine" else "log")
            panel.set_xticks(batches, [str(b) for b in batches])
            panel.set_xticks([], minor=True)
        row[0].set_ylabel(label)
    for panel, temperature in zip(panels[0], temperatures, strict=True):
        panel.set_title(f"temperature {temperature:g}", fontsize=11)
    for panel in panels[-1]:
        panel.set_xlabel("batch size")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    columns = min(3, len(temperatures) + 1)
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns, fontsize=10, frameon=False
    )
    figure.suptitle("Running estimates remove bias and add noise", fontsize=12)
    figure.savefig(path, dpi=160)
    print(f"wrote {path}")
