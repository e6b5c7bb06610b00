"""Progress bar of a build that takes more than a moment."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

import keras

Item = TypeVar("Item")


def with_progress(items: Sequence[Item], unit: str, verbose: bool) -> Iterator[Item]:
    """Yields the items, and shows how many are done if `verbose`."""
    # In a file, each state of a progress bar would be a line.
    bar_or_line = 1 if sys.stdout.isatty() else 2
    bar = keras.utils.Progbar(len(items), verbose=bar_or_line if verbose else 0, unit_name=unit)
    for i, item in enumerate(items):
        yield item
        bar.update(i + 1, finalize=i + 1 == len(items))
