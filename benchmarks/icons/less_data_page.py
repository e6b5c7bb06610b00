"""The page and the figure of `less_data.py`, from the files of its cells."""

import protocol
import report

SOURCE = "iconify"


def lines(folder):
    """Returns `{loss: {part: cell}}`. The share of the training concepts is 1 / part."""
    found = {}
    for name, cell in protocol.read(folder / "less_data").items():
        source, part, loss = name.split("-", 2)
        if source == SOURCE:
            found.setdefault(loss, {})[int(part)] = cell
    whole = protocol.read(folder / "half_the_batch")
    for loss, cells in found.items():
        cells[1] = whole[f"{SOURCE}-linear-16-{loss}"]
    order = list(report.COLORS)
    return {
        loss: dict(sorted(found[loss].items())[::-1]) for loss in sorted(found, key=order.index)
    }


def scores(found):
    parts = sorted({part for cells in found.values() for part in cells})[::-1]
    rows = [
        [f"`{loss}`", *(report.score(cells[p]["test"]) if p in cells else "" for p in parts)]
        for loss, cells in found.items()
    ]
    return report.table(["loss", *(_share(part) for part in parts)], rows)


def differences(found, control="DecoupledContrastive"):
    parts = sorted({part for cells in found.values() for part in cells})[::-1]
    rows = []
    for loss, cells in found.items():
        if loss == control:
            continue
        row = [
            report.signed(protocol.difference(cells[p]["test"], found[control][p]["test"]))
            if p in cells and p in found[control]
            else ""
            for p in parts
        ]
        rows.append([f"`{loss}`", *row])
    return report.table([f"minus `{control}`", *(_share(part) for part in parts)], rows)


def _share(part):
    return "all concepts" if part == 1 else f"1/{part}"


def draw(found, untrained, title, path):
    """Draws the scores over the share of the concepts, with the search without training."""
    with report.figure(3.9, title) as figure:
        axes = figure.subplots()
        figure.suptitle(title, x=0.01, ha="left")
        ends = {}
        for loss, cells in found.items():
            shares = [1 / part for part in cells]
            means, errors = zip(
                *(protocol.over_seeds(cell["test"]["mrr"]) for cell in cells.values()), strict=True
            )
            axes.errorbar(shares, means, errors, marker="o", color=report.COLORS[loss])
            ends[loss] = 1, means[-1], report.COLORS[loss]
        axes.set_xscale("log", base=2)
        parts = sorted({part for cells in found.values() for part in cells})[::-1]
        axes.set_xticks([1 / part for part in parts], [_share(part) for part in parts])
        axes.set(xlabel="share of the training concepts", ylabel="mean reciprocal rank")
        low, high = axes.get_ylim()
        gap = (high - low) / 16
        axes.set_ylim(low, high + gap)  # room for the names of lines that end at one point
        report.label_lines(axes, ends, gap)
        report.untrained_line(axes, 1 / parts[0], untrained, "no training")
        report.save(figure, path)


def write(folder):
    """Writes the tables of the page and the figure from the cells in `folder`."""
    found = lines(folder)
    tables = {"scores": scores(found), "differences": differences(found)}
    page = folder.parent / "less_data.md"
    report.write_page(page, tables)
    untrained = protocol.read(folder / "half_the_batch")[f"{SOURCE}-linear-0-none"]
    draw(found, untrained["test"]["mrr"][0], report.title(page), page.with_suffix(".png"))
