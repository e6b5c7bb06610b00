"""Writes the results of a run into docs/gpu.md."""

import pathlib
import re

from gpu.table import markdown, shown

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "gpu.md"
RESULTS = re.compile("(<!-- results -->\n).*(<!-- end of results -->)", re.DOTALL)
NOT_RUN = re.compile(r"\*\*No GPU has run this library yet\.\*\*.*?\n\n", re.DOTALL)
TITLES = {
    "correctness": "Correctness",
    "loss_speed": "Losses",
    "training": "Training",
    "million": "A million pairs",
    "augmenters": "Augmentation",
}


def write_page(result, page=PAGE):
    """Replaces the results of a page, and the sentence that there are none if a GPU was used."""
    text = page.read_text(encoding="utf-8")
    text = RESULTS.sub(lambda found: f"{found[1]}{results(result)}\n{found[2]}", text)
    if result["machine"]["gpu"]:
        text = NOT_RUN.sub("", text)
    page.write_text(text, encoding="utf-8")
    print(f"wrote {page}")


def results(result):
    """Returns the results in Markdown: the machine, the targets, and the tables of all parts."""
    rows = result["rows"]
    versions = {name: value for row in rows for name, value in row.get("versions", {}).items()}
    gpu = result["machine"]["gpu"] or "no GPU"
    machine = ", ".join(f"{name} {value}" for name, value in versions.items() if value)
    parts = [f"{gpu}; {result['machine']['processor']}; {machine}.", markdown(targets(rows))]
    for part, title in TITLES.items():
        found = [row for row in rows if row["part"] == part and "versions" not in row]
        for backend in dict.fromkeys(row["backend"] for row in found):
            # Rows of different kinds, such as products and losses, are different tables.
            kinds = {}
            for row in found:
                if row["backend"] == backend:
                    kinds.setdefault(list(row)[2], []).append(row)
            parts += [f"### {title}, {backend}", *map(markdown, kinds.values())]
    notes = [part for part in result["parts"] if part["note"]]
    lines = [f"* {part['part']}, {part['backend']}: {part['note']}" for part in notes]
    return "\n\n".join([*parts, "\n".join(lines)]).strip()


def targets(rows):
    """Returns rows with each target, its figure on each backend, and whether it is met."""
    return [
        _target("MiB of 1,048,576 pairs", 8192, _millions(rows), lower_is_better=True),
        _target("share of the TF32 peak at 65,536 pairs on JAX", 0.6, _shares(rows)),
        _target("time over the plain formula, worst", 1.0, _over_plain(rows), lower_is_better=True),
        _target("trainer over a loop written by hand, rows / s", 0.95, _over_loop(rows)),
    ]


def _target(name, limit, figures, lower_is_better=False):
    verdicts = [x <= limit if lower_is_better else x >= limit for x in figures.values()]
    verdict = ("met" if all(verdicts) else "missed") if verdicts else "not measured"
    return {
        "target": name,
        "limit": limit,
        "found": ", ".join(f"{backend} {shown(x)}" for backend, x in figures.items()),
        "verdict": verdict,
    }


def _millions(rows):
    return {x["backend"]: x["MiB"] for x in rows if x.get("batch") == 2**20 and "MiB" in x}


def _shares(rows):
    shares = {_key(x): x["of TF32 peak"] for x in _ours(rows) if "of TF32 peak" in x}
    key = "jax", "InfoNCE", 65_536
    return {"jax": shares[key]} if key in shares else {}


def _over_plain(rows):
    plain = {_key(x): x["ms"] for x in rows if x.get("who") == "plain" and "ms" in x}
    worst = {}
    for row in _ours(rows):
        if "ms" in row and _key(row) in plain:
            ratio = row["ms"] / plain[_key(row)]
            worst[row["backend"]] = max(ratio, worst.get(row["backend"], 0))
    return worst


def _ours(rows):
    return [
        x
        for x in rows
        if x["part"] == "loss_speed" and x.get("who") == "ours" and x["numbers"] == "float32, TF32"
    ]


def _key(row):
    return row["backend"], row["loss"], row["batch"]


def _over_loop(rows):
    found = {}
    for row in rows:
        if row["part"] == "training" and "rows / s" in row:
            found.setdefault(row["backend"], {})[row["who"]] = row["rows / s"]
    ratios = {}
    for backend, rates in found.items():
        loop = [rate for who, rate in rates.items() if who.endswith("the same towers")]
        if loop and "ContrastiveTrainer" in rates:
            ratios[backend] = rates["ContrastiveTrainer"] / loop[0]
    return ratios
