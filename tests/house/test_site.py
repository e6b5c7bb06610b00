"""The documentation site: the reference has every public name, and the menu every page."""

import importlib
import importlib.util
import re

import pytest

import keras_contrastive as kc
from tests.helpers.markdown import ROOT, read

TOOLS = ROOT / "docs" / "tools"


def tool(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api_pages, check_site, links = tool("api_pages"), tool("check_site"), tool("links")
PAGES = api_pages.pages()
SHORTCUTS = {"ContrastiveTrainer", "GammaContrastive"}


def test_the_reference_has_a_page_for_each_subpackage():
    assert set(PAGES) == {"index.md"} | {f"{name}.md" for name in set(kc.__all__) - SHORTCUTS}
    assert all(f"]({name})" in PAGES["index.md"] for name in set(PAGES) - {"index.md"})


def test_each_public_name_has_one_entry_and_one_line():
    entries = re.findall(r"^::: (\S+)", "".join(PAGES.values()), flags=re.MULTILINE)
    assert len(entries) == len(set(entries))
    for subpackage in set(kc.__all__) - SHORTCUTS:
        module = importlib.import_module(f"keras_contrastive.{subpackage}")
        listed = re.findall(r"^\| \[`(\w+)`\]\[(\S+)\]", PAGES[f"{subpackage}.md"], re.MULTILINE)
        assert [name for name, _ in listed] == module.__all__
        assert {path for _, path in listed} <= set(entries)


def test_each_class_and_function_has_a_purpose():
    for page in PAGES.values():
        for name, purpose in re.findall(r"^\| \[`(\w+)`\]\S* \| (.*) \|$", page, re.MULTILINE):
            assert purpose.endswith(".")
            assert (purpose == "A constant.") == name.isupper() or name == "EDA"


def test_the_menu_has_every_page():
    listed = set(re.findall(r"[\w/]+\.md", read(ROOT / "mkdocs.yml").split("\nnav:")[1]))
    written = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    generated = {f"api/{name}" for name in PAGES} | set(links.PAGES_OUTSIDE.values())
    assert listed == written | generated


@pytest.mark.parametrize(
    ("target", "source", "path"),
    [
        ("docs/search.md", "README.md", "search.md"),
        ("../CONTRIBUTING.md", "docs/extend.md", "project/contributing.md"),
        ("../../examples/a.py", "docs/guides/b.md", "source/examples/a.py"),
        ("../search.md", "docs/guides/b.md", "search.md"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(target, source, path):
    assert links.in_site(target, source) == path


def test_links_in_code_blocks_stay():
    text = "[a](docs/search.md#x)\n```text\n[a](docs/search.md)\n```\n[b](https://x.org/y.md)"
    changed = "[a](../search.md#x)\n```text\n[a](docs/search.md)\n```\n[b](https://x.org/y.md)"
    assert links.moved(text, "CHANGELOG.md", "project/changelog.md") == changed


def test_broken_links_and_downloads_of_a_site_are_found(tmp_path):
    body = '<a href="b.html#one">b</a><a href="b.html#two">b</a><a href="c.html">c</a>'
    (tmp_path / "a.html").write_text(body + '<script src="https://x.org/y.js"></script>')
    (tmp_path / "b.html").write_text('<h2 id="one">One</h2>')
    assert check_site.problems(tmp_path) == [
        "a.html links to b.html#two, a missing anchor",
        "a.html links to c.html, which does not exist",
        "a.html loads https://x.org/y.js",
    ]
