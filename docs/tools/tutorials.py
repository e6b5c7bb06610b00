"""Runs tutorials and writes their pages: `python docs/tools/tutorials.py [name ...]`.

A tutorial is a script `docs/tutorials/<name>.py` in the percent format of Jupyter and VS Code. A
cell begins with `# %%`, and text is a comment below `# %% [markdown]`. The page `<name>.md` has the
cells and their output, with figures in `<name>_<number>.png`. A cell describes its figure in its
header: `# %% alt="The loss falls"`.
"""

import base64
import dataclasses
import pathlib
import re
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).parents[1] / "tutorials"
EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
HEADER = re.compile(r'^# %%( \[markdown\])?(?: alt="(.*)")?\n', re.MULTILINE)
# Figures of 720 px have twice as many pixels, for sharp screens.
SET_UP = """%config InlineBackend.figure_formats = ["retina"]
%config InlineBackend.print_figure_kwargs = {"bbox_inches": None}
%matplotlib inline"""


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell of a tutorial, as it stands on the page."""

    is_text: bool
    alt: str
    content: str

    @property
    def printed(self) -> str:
        return self.content if self.is_text else f"```python\n{self.content}\n```"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def cells(name: str) -> list[Cell]:
    """Returns the cells of a tutorial."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    before, *parts = HEADER.split(source)
    if before.strip():
        raise ValueError(f"`{name}.py` must begin with a cell. Received: {before!r}.")
    found = []
    for is_text, alt, content in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        if is_text:
            content = re.sub(r"^# ?", "", content, flags=re.MULTILINE)
        found.append(Cell(bool(is_text), alt or "", content.strip()))
    return found


def origin(name: str) -> str:
    """Returns the line of a page that leads to its source."""
    return f"Source: [{name}.py]({name}.py)."


def run(name: str) -> None:
    """Runs a tutorial in a process of its own, and writes its page and figures."""
    import nbclient
    import nbformat

    start = time.perf_counter()
    tutorial = cells(name)
    notebook = nbformat.v4.new_notebook()
    set_up = f"import sys\nsys.path.append({str(EXAMPLES)!r})\n{SET_UP}"
    code = [set_up, *(cell.content for cell in tutorial if not cell.is_text)]
    notebook.cells = [nbformat.v4.new_code_cell(content) for content in code]
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        nbclient.NotebookClient(notebook, timeout=900, resources=resources).execute()
    outputs = iter([cell.outputs for cell in notebook.cells[1:]])
    for old in FOLDER.glob(f"{name}_[0-9]*.png"):
        old.unlink()
    parts = []
    for number, cell in enumerate(tutorial):
        parts.append(cell.printed)
        if not number:
            parts.append(origin(name))
        if not cell.is_text:
            parts += written(name, cell, next(outputs))
    (FOLDER / f"{name}.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def written(name: str, cell: Cell, outputs: list[dict]) -> list[str]:
    """Returns the outputs of a cell in Markdown, and writes its figures."""
    parts, text = [], ""
    for output in outputs:
        data = output.get("data", {})
        if output.get("name") == "stderr":
            print(f"{name}, stderr: {output['text']}", file=sys.stderr)
        elif "image/png" in data:
            if not cell.alt:
                raise ValueError(f'A cell with a figure must begin with `# %% alt="..."`: {cell}')
            number = len(list(FOLDER.glob(f"{name}_[0-9]*.png"))) + 1
            path = FOLDER / f"{name}_{number}.png"
            path.write_bytes(base64.b64decode(data["image/png"]))
            parts.append(f"![{cell.alt}]({path.name})")
        else:
            text += output.get("text", "") or data.get("text/plain", "")
    return [f"```text\n{text.rstrip()}\n```", *parts] if text.strip() else parts


if __name__ == "__main__":
    for chosen in sys.argv[1:] or names():
        run(chosen)
