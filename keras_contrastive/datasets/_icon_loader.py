"""Loader of icons, from installed packages."""

import os
import pathlib
from typing import Literal

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array
from keras_contrastive.datasets import _cache, _icon_wheels, _iconify, _packages
from keras_contrastive.datasets._icon_entries import Entry, things
from keras_contrastive.datasets._icon_names import family_of
from keras_contrastive.datasets._icons import Icons
from keras_contrastive.datasets._progress import with_progress
from keras_contrastive.datasets._splits import SPLITS, split_families

_RENDERERS = {"PIL": "pillow", "resvg_py": "resvg-py"}
# Increment it when the arrays change, so that old cache files are not read.
_FORMAT = 1


def load_icons(
    size: int = 32,
    source: Literal["pypi", "iconify"] = "pypi",
    folder: str | os.PathLike[str] = "node_modules/@iconify/json",
    cache_dir: str | os.PathLike[str] | None = None,
    verbose: bool = True,
) -> Icons:
    """Loads icons of free sets with their names, for pairs of drawings of one thing.

    Each set draws a thing in its own way, so its drawings are harder to match than two versions
    of one image. Nothing is downloaded. The first call draws the icons. Later calls read a cache
    file.

    - `source="pypi"`: 26,509 drawings of 13,265 concepts, 2,177 of them by two or more of 11 sets,
      from packages of 12 MB. Many concepts have an outlined and a filled drawing of one set. The
      first call takes about 15 seconds.
    - `source="iconify"`: 110,724 drawings of 48,393 concepts, 14,261 of them by two or more of 155
      sets, one drawing of each concept and set. Some sets are by one artist, such as
      `"icon-park-outline"` and `"icon-park-solid"`. Run
      `npm install --ignore-scripts @iconify/json@2.2.535` (100 MB) and pass its folder. The first
      call takes about 60 seconds.

    Names of style ("outline", "24") and the name of the set are removed from the names. Logos,
    letters, digits and blank drawings are left out.

    The split is by family. All names with the same first word are a family, so "arrow left" and
    "arrow right" are in one split. The split is a hash of the family. It does not depend on
    `size` and `source`. A drawing that has names in two splits is kept in one of them. So no
    drawing of the test split is in the training split.

    | source | train | validation | test |
    | --- | --- | --- | --- |
    | `"pypi"`, drawings | 20,084 | 2,108 | 4,317 |
    | `"pypi"`, concepts of two or more sets | 1,650 | 166 | 361 |
    | `"iconify"`, drawings | 82,294 | 9,876 | 18,554 |
    | `"iconify"`, concepts of two or more sets | 10,679 | 1,204 | 2,378 |

    Args:
        size: Positive int, the height and width of the images.
        source: `"pypi"`, the packages of the extra `icons`, or `"iconify"`, an npm package.
        folder: Folder of the npm package. Only for `source="iconify"`.
        cache_dir: Folder of the cache. Defaults to the environment variable
            `KERAS_CONTRASTIVE_HOME` if it is set, and to `~/.cache/keras_contrastive` otherwise.
        verbose: Whether to show progress while the icons are drawn.

    Returns:
        An `Icons`.

    Raises:
        ImportError: If a package of the extra `icons` is not installed. The message has the
            command to install it.
        FileNotFoundError: If `folder` is not the npm package. The message has the command to
            install it.
        TypeError: If `size` is not an integer.
        ValueError: If `size` is not positive, or `source` is unknown.

    Drawings of `"pypi"`: Bootstrap Icons, Eva Icons, Fluent UI System Icons, Heroicons, Ionicons,
    Phosphor Icons and Tabler Icons (MIT), Lucide (ISC), Material Icons, Material Design Icons and
    Remix Icon (Apache-2.0). Those of `"iconify"` are under MIT, CC BY 4.0, Apache-2.0, OFL-1.1,
    ISC, BSD-3-Clause or the Unlicense. `Icons.licenses` has the license of each set.
    """
    _checks.positive_int("size", size, "It is the height and width of the images.")
    _checks.one_of("source", source, ("pypi", "iconify"))
    if source == "pypi":
        modules = {one.module: one.package for one in _icon_wheels.SETS.values()}
        _packages.require("load_icons", {**_RENDERERS, **modules})
        versions = _packages.versions([*_RENDERERS.values(), *modules.values()])
        licenses = {name: one.license for name, one in _icon_wheels.SETS.items()}
    else:
        _packages.require("load_icons", _RENDERERS)
        root = _iconify.find_folder(pathlib.Path(folder))
        versions = f"{_packages.versions(_RENDERERS.values())} iconify {_iconify.version(root)}"
        licenses = _iconify.licenses(root)

    def build() -> dict[str, Array]:
        entries = _icon_wheels.list_wheels() if source == "pypi" else _iconify.list_iconify(root)
        return _arrays(things(entries), size, verbose)

    key = f"{_FORMAT} {size} {source} {versions}"
    arrays = _cache.cached(f"icons-{source}-{size}", key, build, cache_dir)
    return Icons(**arrays, licenses=licenses)


def _arrays(entries: list[Entry], size: int, verbose: bool) -> dict[str, Array]:
    images, drawn = [], []
    for entry in with_progress(entries, "icon", verbose):
        try:
            image = entry.draw(size)
        except ValueError:
            continue
        # Blank images, and full squares.
        if 0.005 < image.mean() / 255 < 0.98:
            images.append(image)
            drawn.append(entry)
    family = np.array([family_of(entry.name) for entry in drawn])
    arrays = {
        "images": np.stack(images),
        "name": np.array([entry.name for entry in drawn]),
        "set": np.array([entry.set for entry in drawn]),
        "filled": np.array([entry.filled for entry in drawn]),
        "category": np.array([entry.category for entry in drawn]),
        "family": family,
        "split": split_families(family),
    }
    kept = _in_one_split(arrays["images"], arrays["split"])
    arrays = {name: array[kept] for name, array in arrays.items()}
    return {**arrays, "concept": np.unique(arrays["name"], return_inverse=True)[1]}


def _in_one_split(images: Array, split: Array) -> Array:
    """Returns a mask without drawings that a later split also has, under another name."""
    order = np.array([SPLITS.index(name) for name in split])
    keys = [image.tobytes() for image in images]
    last: dict[bytes, int] = {}
    for key, place in zip(keys, order.tolist(), strict=True):
        last[key] = max(place, last.get(key, 0))
    return order == np.array([last[key] for key in keys])
