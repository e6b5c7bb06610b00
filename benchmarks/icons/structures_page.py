"""The page and the figure of `structures.py`, from the files of its cells."""

import numpy as np
import protocol
import report

SETTINGS = {"glyphs": "characters", "icons": "icons"}
# The name of each kind in tables and figures.
KINDS = {
    "base": "base loss",
    "wide": "wide",
    "cyclip": "CyCLIP",
    "separation": "separation",
    "bridge": "bridge",
    "consistency": "consistency",
    "all": "all three",
}
NOT_TASKS = ("retrieval", "probe", "modality gap")


def tests(folder, setting):
    """Returns `{kind: {task: values}}`. Probes have the weights that were tuned for probes."""
    found = {}
    for name, cell in protocol.read(folder / "structures").items():
        of, kind = name.split("-", 1)
        if of == setting and "test" in cell:
            by_criterion = cell["test"]
            found[kind] = {
                task: by_criterion["retrieval" if _is_search(task) else "probe"][task]
                for task in by_criterion["retrieval"]
                if task not in ("retrieval", "probe")
            }
    return {kind: found[kind] for kind in KINDS if kind in found}


def _is_search(task):
    return "↔" in task or task in ("two images", "modality gap")


def scores(found):
    """Returns the table of the measures by task and kind of model."""
    rows = []
    for task in next(iter(found.values())):
        cells = [report.score({"mrr": test[task]}) for test in found.values()]
        rows.append([task, *cells])
    return report.table(["task", *(KINDS[kind] for kind in found)], rows)


def gaps(found):
    """Returns `{task: {kind: (difference to base, error)}}`."""
    base, result = found["base"], {}
    for task in base:
        if task in NOT_TASKS:
            continue
        result[task] = {}
        for kind, test in found.items():
            if kind != "base":
                values = protocol.over_seeds(test[task]), protocol.over_seeds(base[task])
                (mean, error), (base_mean, base_error) = values
                result[task][kind] = mean - base_mean, np.hypot(error, base_error)
    return result


def draw(panels, title, path):
    """Draws the difference of each structure to the base loss, for each task."""
    kinds = [kind for kind in KINDS if kind != "base"]
    count = sum(len(found) for found in panels.values())
    with report.figure(1.4 + 0.75 * count, title) as figure:
        figure.suptitle(title, x=0.01, ha="left")
        axes = figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0]
        for panel, (setting, found) in zip(axes, panels.items(), strict=True):
            for place, by_kind in enumerate(found.values()):
                for kind, (mean, error) in by_kind.items():
                    number = kinds.index(kind)
                    y = place + (number - (len(kinds) - 1) / 2) * 0.13
                    label = KINDS[kind] if place == 0 and panel is axes[0] else None
                    panel.errorbar(
                        mean, y, xerr=2 * error, fmt="o", color=report.PALETTE[number], label=label
                    )
            panel.axvline(0, color=report.MUTED, linewidth=1)
            panel.set_yticks(range(len(found)), list(found))
            panel.invert_yaxis()
            panel.grid(axis="y", visible=False)
            panel.set_title(SETTINGS[setting])
        axes[-1].set_xlabel("difference to the base loss (MRR, accuracy), with two standard errors")
        figure.legend(loc="outside lower center", ncols=len(kinds))
        report.save(figure, path)


def write(folder):
    """Writes the tables of the page and the figure from the cells in `folder`."""
    found = {setting: tests(folder, setting) for setting in SETTINGS}
    found = {setting: kinds for setting, kinds in found.items() if len(kinds) > 1}
    tables = {f"{setting} scores": scores(kinds) for setting, kinds in found.items()}
    page = folder.parent / "structures.md"
    report.write_page(page, tables)
    panels = {setting: gaps(kinds) for setting, kinds in found.items()}
    title = report.title(page)
    draw(panels, title, page.with_suffix(".png"))
