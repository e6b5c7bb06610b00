"""The pages of the tutorials belong to their sources. `tox run -e tutorials` runs them."""

import re

import pytest

from tests.helpers.markdown import read
from tests.house.test_site import tool

tutorials = tool("tutorials")
NAMES = tutorials.names()
OUTPUT = r"(\n\n```text\n[^`]*\n```)?(\n\n!\[[^\]]+\]\(\w+\.png\))*"


def belongs(page, name):
    """Whether a page has the cells of a tutorial in order, and only outputs between them."""
    first, *rest = tutorials.cells(name)
    parts = [first.printed, tutorials.origin(name), *(cell.printed for cell in rest)]
    pattern = "".join(f"{OUTPUT if n > 1 else ''}\n\n{re.escape(p)}" for n, p in enumerate(parts))
    return re.fullmatch(pattern + OUTPUT + "\n", f"\n\n{page}") is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_page_belongs_to_its_source(name):
    page = read(tutorials.FOLDER / f"{name}.md")
    assert belongs(page, name), f"Run `tox run -e tutorials -- {name}`."
    last_code = tutorials.cells(name)[-1].printed
    assert not belongs(page.replace(last_code, last_code[:-4] + "0" + last_code[-4:]), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_figures(name):
    page = read(tutorials.FOLDER / f"{name}.md")
    files = {path.name for path in tutorials.FOLDER.glob(f"{name}_[0-9]*.png")}
    assert files
    assert set(re.findall(r"\((\w+\.png)\)", page)) == files


def test_each_page_has_a_source():
    pages = {path.stem for path in tutorials.FOLDER.glob("*.md")}
    assert pages == {*NAMES, "index"}
