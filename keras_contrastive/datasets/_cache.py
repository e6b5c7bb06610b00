"""Arrays in a cache file, built when the file is missing."""

import hashlib
import os
import pathlib
from collections.abc import Callable

import numpy as np

from keras_contrastive._typing import Array

Folder = str | os.PathLike[str] | None


def cached(
    name: str, key: str, build: Callable[[], dict[str, Array]], cache_dir: Folder
) -> dict[str, Array]:
    """Returns the arrays of a cache file. Builds and saves them first if there is no file.

    Args:
        name: Start of the file name.
        key: Everything that the arrays depend on, such as the versions of packages.
        build: Function that returns the arrays by name.
        cache_dir: Folder. `None` is the environment variable `KERAS_CONTRASTIVE_HOME` if it is
            set, and `~/.cache/keras_contrastive` otherwise.
    """
    folder = cache_dir or os.environ.get("KERAS_CONTRASTIVE_HOME") or "~/.cache/keras_contrastive"
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    path = pathlib.Path(folder).expanduser() / f"{name}-{digest}.npz"
    if not path.exists():
        _save(path, build())
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _save(path: pathlib.Path, arrays: dict[str, Array]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The file gets its name when it is complete. Other processes never read a partial file.
    unfinished = path.with_suffix(f".{os.getpid()}.npz")
    try:
        np.savez_compressed(unfinished, **arrays)  # type: ignore[arg-type]
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
