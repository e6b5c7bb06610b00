"""Installed packages as sources of data. Their code is not imported."""

import importlib.metadata
import importlib.util
import pathlib
from collections.abc import Iterable, Mapping


def require(loader: str, packages: Mapping[str, str]) -> None:
    """Raises an `ImportError` if packages are missing: importable name -> name to install."""
    missing = [name for module, name in packages.items() if not importlib.util.find_spec(module)]
    if missing:
        raise ImportError(
            f"`{loader}` reads packages that are not installed: {', '.join(missing)}. "
            f"Run: pip install {' '.join(missing)}"
        )


def folder(module: str) -> pathlib.Path:
    """Returns the folder of an installed package."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f"The package `{module}` is not installed.")
    return pathlib.Path(spec.submodule_search_locations[0])


def versions(packages: Iterable[str]) -> str:
    """Returns the packages and their versions as a line of text."""
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
