"""Lookup of installed packages."""

import pytest

from keras_contrastive.datasets import _packages, load_emoji, load_glyphs, load_icons, load_words


def test_a_package_is_found_without_its_code(site):
    site.add("tiny_data", "tiny-data", {"data/words.txt": "one"}, version="3.1")
    site.add("other_data", "other-data")
    assert _packages.require("load", {"tiny_data": "tiny-data"}) is None
    assert (_packages.folder("tiny_data") / "data" / "words.txt").read_text() == "one"
    assert _packages.versions(["tiny-data", "other-data"]) == "tiny-data 3.1 other-data 1.0"


def test_missing_packages_raise_with_the_command_that_installs_them(site):
    site.add("tiny_data", "tiny-data")
    packages = {"no_data": "no-data", "tiny_data": "tiny-data", "no_other": "other"}
    message = r"`load` reads packages that are not installed: no-data, other\. Run: pip install "
    with pytest.raises(ImportError, match=message + r"no-data other$"):
        _packages.require("load", packages)
    with pytest.raises(ImportError, match="`no_data` is not installed"):
        _packages.folder("no_data")


@pytest.mark.parametrize("load", [load_emoji, load_glyphs, load_icons, load_words])
def test_every_loader_names_its_missing_packages(load, home, monkeypatch):
    monkeypatch.setattr(_packages.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=rf"`{load.__name__}` reads .* Run: pip install [a-z]"):
        load()
    assert not home.exists()


@pytest.mark.parametrize("load", [load_emoji, load_glyphs, load_icons])
@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (32.0, TypeError), (True, TypeError)]
)
def test_a_size_that_is_not_a_positive_integer_raises(load, home, size, error):
    with pytest.raises(error, match=r"`size` must be a positive integer\. Received: size="):
        load(size=size)
    assert not home.exists()
