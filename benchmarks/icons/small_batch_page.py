"""The page and the figure of `small_batch.py`, from the files of its cells."""

import numpy as np
import protocol
import report

CONTROL = "DecoupledContrastive at 16"
TITLES = {"drawings": "drawing ↔ drawing", "names": "drawing ↔ name"}


def pooled(cells, views, recipe, folds):
    """Returns the scores of one recipe on several folds as those of one test split."""
    tests = [cells[f"{views}-{fold}-{recipe}"]["test"] for fold in folds]
    sizes = np.array([sum(test["counts"]) for test in tests])
    seeds = np.array([test["mrr"] for test in tests])
    return {
        "mrr": list(sizes @ seeds / sizes.sum()),
        "sums": [x for test in tests for x in test["sums"]],
        "counts": [x for test in tests for x in test["counts"]],
    }


def compared(cells, views):
    """Returns `{recipe: (score, difference to the control, folds)}` of all folds that are there."""
    found = {}
    names = [name.removeprefix(f"{views}-") for name in cells if name.startswith(f"{views}-")]
    for recipe in dict.fromkeys(name.split("-", 1)[1] for name in names):
        both = (recipe, CONTROL)
        folds = [f for f in range(5) if all(f"{views}-{f}-{one}" in cells for one in both)]
        if folds:
            test, control = (pooled(cells, views, one, folds) for one in both)
            gap = None if recipe == CONTROL else protocol.difference(test, control)
            found[recipe] = test, gap, folds
    return dict(sorted(found.items(), key=lambda item: item[0] != CONTROL))


def scores(found):
    rows = []
    for recipe, (test, gap, folds) in found.items():
        cells = report.score(test), "" if gap is None else report.signed(gap)
        rows.append([recipe, *cells, len(folds), sum(test["counts"])])
    head = ["recipe", "MRR ± over seeds", f"minus {CONTROL}, ± over seeds (± over families)"]
    return report.table([*head, "folds", "concepts"], rows)


def draw(panels, title, path):
    """Draws the differences to the control with two errors over families."""
    with report.figure(1.2 + 1.9 * len(panels), title) as figure:
        figure.suptitle(title, x=0.01, ha="left")
        axes = figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0]
        for panel, (views, found) in zip(axes, panels.items(), strict=True):
            gaps = {recipe: gap for recipe, (_, gap, _) in found.items() if gap is not None}
            for place, (mean, seeds, families) in enumerate(gaps.values()):
                error = 2 * np.hypot(seeds, families)
                color = report.WORSE if mean + error < 0 else report.INK
                color = report.BETTER if mean - error > 0 else color
                panel.errorbar(mean, place, xerr=error, fmt="o", color=color, markersize=6)
            panel.axvline(0, color=report.MUTED, linewidth=1)
            panel.set_yticks(range(len(gaps)), list(gaps))
            panel.invert_yaxis()
            panel.grid(axis="y", visible=False)
            panel.set_title(TITLES[views])
        axes[-1].set_xlabel(f"MRR minus {CONTROL}, with two standard errors")
        report.save(figure, path)


def write(folder):
    """Writes the tables of the page and the figure from the cells in `folder`."""
    cells = protocol.read(folder / "small_batch")
    panels = {views: compared(cells, views) for views in TITLES}
    panels = {views: found for views, found in panels.items() if len(found) > 1}
    tables = {f"{views} scores": scores(found) for views, found in panels.items()}
    page = folder.parent / "small_batch.md"
    report.write_page(page, tables)
    title = report.title(page)
    draw(panels, title, page.with_suffix(".png"))
