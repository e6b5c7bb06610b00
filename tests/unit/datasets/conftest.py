"""Fixtures of the tests of data: installed packages, and a home without a cache."""

import pytest

from tests.helpers.packages import Site


@pytest.fixture
def home(monkeypatch, tmp_path):
    """The home of the user. A broken loader must not write to the real one."""
    monkeypatch.delenv("KERAS_CONTRASTIVE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def site(home, monkeypatch, tmp_path):
    """A folder of tiny packages that look installed."""
    return Site(tmp_path / "site", monkeypatch)
