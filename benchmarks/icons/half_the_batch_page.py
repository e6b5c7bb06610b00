"""The page and the figures of `half_the_batch.py`, from the files of its cells."""

import numpy as np
import protocol
import report

COMPARED = "InfoNCE", "DecoupledContrastive"
SETTINGS = ("iconify-linear", "iconify-hidden", "iconify-pixels", "pypi-linear")
TOWERS = {
    "iconify-linear": "linear",
    "iconify-hidden": "with a hidden layer",
    "iconify-pixels": "convolutions on pixels",
}


def grouped(cells, prefix):
    """Returns `{loss: {batch size: cell}}` of the cells whose name starts with `prefix`."""
    found = {}
    for name, cell in cells.items():
        if name.startswith(f"{prefix}-"):
            batch, loss = name.removeprefix(f"{prefix}-").split("-", 1)
            found.setdefault(loss, {})[int(batch)] = cell
    return {loss: dict(sorted(found[loss].items())) for loss in sorted(found, key=_place)}


def _place(loss):
    names = ["none", *report.COLORS]
    return names.index(loss) if loss in names else len(names)


def scores(lines, name="mrr"):
    """Returns the table of scores by loss and batch size."""
    batches = sorted({batch for cells in lines.values() for batch in cells} - {0})
    rows = []
    for loss, cells in lines.items():
        if loss == "none":
            rows.append(["no training", *[report.score(cells[0]["test"], name)] * len(batches)])
            continue
        found = [cells.get(batch) for batch in batches]
        rows.append([f"`{loss}`", *[report.score(c["test"], name) if c else "" for c in found]])
    return report.table(["loss", *(f"batch {batch}" for batch in batches)], rows)


def differences(lines, batch=16):
    """Returns the table of each loss at one batch size, compared with two losses at two sizes."""
    large = 256
    others = [(loss, size) for size in (batch, large) for loss in COMPARED]
    others = [("none", 0), *((loss, size) for loss, size in others if size in lines.get(loss, {}))]
    rows, several = [], len(lines["InfoNCE"]) > 1
    for loss, cells in lines.items():
        if batch not in cells:
            continue
        test, row = cells[batch]["test"], []
        for other, size in others:
            same = (other, size) == (loss, batch)
            found = protocol.difference(test, lines[other][size]["test"])
            row.append("" if same else report.signed(found))
        rows.append([f"`{loss}`", *row, *([reached(lines, test)] if several else [])])
    head = [f"loss at {batch}", "minus no training"]
    head += [f"minus `{loss}` at {size}" for loss, size in others[1:]]
    return report.table(head + ["`InfoNCE` reaches it at"] * several, rows)


def reached(lines, test):
    """Returns the smallest batch at which InfoNCE is at most one error over seeds below."""
    for batch, cell in lines["InfoNCE"].items():
        gap, error, _ = protocol.difference(cell["test"], test)
        if gap >= -error:
            return batch
    return f"no batch up to {max(lines['InfoNCE'])}"


def choices(lines):
    """Returns the table of the learning rate and the temperature that validation selected."""
    rows = [
        [
            *(f"`{loss}`", batch, f"{c['rate']:.2g}", f"{c['temperature']:.2g}", len(c["grid"])),
            *(f"{max(value for *_, value in c['grid']):.4f}", f"{c['seconds']:.0f}"),
        ]
        for loss, cells in lines.items()
        for batch, c in cells.items()
        if "grid" in c
    ]
    head = ["loss", "batch", "learning rate", "temperature", "configurations"]
    return report.table([*head, "best on validation", "seconds"], rows)


def _mean(cells):
    return np.mean([cell["test"]["mrr"] for cell in cells.values()])


def draw_one(lines, title, path):
    """Draws the scores of one batch size, with two standard errors, and those without training."""
    shown = {loss: cells for loss, cells in lines.items() if loss != "none"}
    order = sorted(shown, key=lambda loss: -_mean(shown[loss]))
    shown = {loss: shown[loss] for loss in order}
    untrained = lines["none"][0]["test"]["mrr"][0]
    with report.figure(3.2, title) as figure:
        axes = figure.subplots()
        figure.suptitle(title, x=0.01, ha="left")
        for place, (loss, cells) in enumerate(shown.items()):
            ((batch, cell),) = cells.items()
            mean, error = protocol.over_seeds(cell["test"]["mrr"])
            color = report.COLORS[loss]
            axes.plot([untrained, mean], [place, place], color=color, linewidth=1)
            axes.errorbar(mean, place, xerr=2 * error, fmt="o", color=color, markersize=8)
            text = {"va": "center", "textcoords": "offset points", "color": color}
            axes.annotate(f"{mean:.3f}", (mean + 2 * error, place), xytext=(6, 0), **text)
        axes.axvline(untrained, color=report.MUTED, linestyle=":", linewidth=1.5)
        axes.set_yticks(range(len(shown)), list(shown))
        axes.set_ylim(len(shown) - 0.5, -1.2)
        axes.annotate(
            f"no training: {untrained:.3f}",
            (untrained, -0.8),
            xytext=(5, 0),
            textcoords="offset points",
            color=report.MUTED,
            va="center",
        )
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(f"mean reciprocal rank, unseen concepts; batch size {batch}")
        axes.set_xlim(right=axes.get_xlim()[1] + 0.003)
        report.save(figure, path)


def draw(lines, title, path):
    """Draws the mean reciprocal rank over the batch size, with the search without training."""
    shown = {loss: cells for loss, cells in lines.items() if loss != "none"}
    if len({batch for cells in shown.values() for batch in cells}) == 1:
        draw_one(lines, title, path)
        return
    with report.figure(3.9, title) as figure:
        axes = figure.subplots()
        figure.suptitle(title, x=0.01, ha="left")
        ends = {}
        for loss, cells in shown.items():
            bold, color = loss in COMPARED, report.COLORS[loss]
            means, errors = zip(
                *(protocol.over_seeds(cell["test"]["mrr"]) for cell in cells.values()), strict=True
            )
            width = {"linewidth": 2.6 if bold else 1.2, "markersize": 6 if bold else 4}
            axes.errorbar(list(cells), means, errors, color=color, marker="o", **width)
            ends[loss] = max(cells), means[-1], color
        axes.set_xscale("log", base=2)
        batches = sorted({batch for cells in shown.values() for batch in cells})
        axes.set_xticks(batches, [str(batch) for batch in batches])
        axes.set(xlabel="batch size", ylabel="mean reciprocal rank, test concepts")
        low, high = axes.get_ylim()
        report.label_lines(axes, ends, (high - low) / 16)
        if "none" in lines:
            untrained = lines["none"][0]["test"]["mrr"][0]
            text = "no training: the features as they are"
            report.untrained_line(axes, batches[0], untrained, text)
        figure.get_layout_engine().set(rect=(0, 0, 0.99, 1))
        report.save(figure, path)


def draw_towers(panels, title, path):
    """Draws the scores over the batch size for each kind of towers."""
    with report.figure(3.3, title) as figure:
        figure.suptitle(title, x=0.01, ha="left")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for panel, (prefix, lines) in zip(axes, panels.items(), strict=True):
            batches = sorted({batch for cells in lines.values() for batch in cells if batch})
            for loss in (loss for loss in report.COLORS if loss in lines):
                points = [protocol.over_seeds(c["test"]["mrr"]) for c in lines[loss].values()]
                means, errors = zip(*points, strict=True)
                width = 2.4 if loss in COMPARED else 1.2
                style = {"color": report.COLORS[loss], "linewidth": width, "label": loss}
                panel.errorbar(list(lines[loss]), means, errors, marker="o", **style)
            panel.set_xscale("log", base=2)
            panel.set_xticks(batches, [str(batch) for batch in batches])
            panel.set(title=TOWERS[prefix], xlabel="batch size")
            panel.margins(x=0.1)
        axes[0].set_ylabel("mean reciprocal rank, test concepts")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4)
        report.save(figure, path)


def write(folder):
    """Writes the tables of the page and the figure from the cells in `folder`."""
    cells = protocol.read(folder / "half_the_batch")
    tables, page = {}, folder.parent / "half_the_batch.md"
    for prefix in SETTINGS:
        lines = grouped(cells, prefix)
        if any(16 in found for found in lines.values()):
            tables[f"{prefix} scores"] = scores(lines)
            tables[f"{prefix} differences"] = differences(lines)
            tables[f"{prefix} choices"] = choices(lines)
    tables["iconify-linear recall"] = scores(grouped(cells, "iconify-linear"), "recall_at_1")
    report.write_page(page, tables)
    draw(grouped(cells, "iconify-linear"), report.title(page), page.with_suffix(".png"))
    # The losses of the plan for a hidden layer, which other towers have as well.
    chosen = grouped(cells, "iconify-hidden")
    panels = {
        prefix: {loss: found for loss, found in grouped(cells, prefix).items() if loss in chosen}
        for prefix in TOWERS
    }
    panels = {prefix: lines for prefix, lines in panels.items() if len(lines) > 1}
    title, path = report.title(page, "## Other towers"), page.with_name("half_the_batch_towers.png")
    draw_towers(panels, title, path)
