"""Metadata of the distributions: one version, one address, and links that work anywhere."""

import importlib.util
import re
import sys
import types

import pytest

import keras_contrastive as kc
from tests.helpers.markdown import ROOT, read
from tests.house import package

tomllib = pytest.importorskip("tomllib")
PROJECT = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
SDIST = [name + "file" if name[-1] == "/" else name for name in package.IN_SDIST]
WHEEL = ["keras_contrastive/py.typed", "keras_contrastive-0.2.0.dist-info/METADATA"]


@pytest.fixture
def with_addresses(monkeypatch):
    """The function of `hatch_build.py`, without hatchling."""
    interface = types.ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.with_addresses


def test_the_citation_has_the_version():
    assert re.search(r"^version: (.*)$", read(ROOT / "CITATION.cff"), re.M)[1] == kc.__version__


def test_torch_has_no_exact_pin_in_the_metadata_and_one_in_the_constraints():
    assert [pin for pin in PROJECT["optional-dependencies"]["torch"] if "==" in pin] == []
    assert re.search(r"^torch==\S+$", read(ROOT / "constraints.txt"), re.M)
    assert "-c {tox_root}{/}constraints.txt" in read(ROOT / "tox.ini")


def test_relative_links_of_the_readme_become_addresses(with_addresses):
    text = "![Curves](docs/a.png) [b](docs/b.md#c) [![d](docs/d.png)](docs/e.md) [f](#g)"
    text += " [h](https://x.org/i.md)"
    source = "https://s.org"
    assert with_addresses(text, source) == (
        f"![Curves]({source}/raw/HEAD/docs/a.png) [b]({source}/blob/HEAD/docs/b.md#c) "
        f"[![d]({source}/raw/HEAD/docs/d.png)]({source}/blob/HEAD/docs/e.md) [f](#g)"
        " [h](https://x.org/i.md)"
    )


def test_no_link_of_the_readme_stays_relative(with_addresses):
    readme = with_addresses(read(ROOT / "README.md"), PROJECT["urls"]["Source"])
    assert package.problems(SDIST, WHEEL, readme) == []


def test_faulty_distributions_are_found():
    metadata = "Requires-Dist: torch==2.13.0; extra == 'torch'\n\n[a](docs/b.md)"
    found = package.problems(SDIST[1:], ["tests/conftest.py"], metadata)
    assert len(found) == 5


def test_files_that_the_sdist_needs_exist():
    assert [name for name in package.IN_SDIST if not (ROOT / name).exists()] == []
