"""Choice of drawings: one for each set and name, without letters, digits and logos."""

from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from keras_contrastive._typing import Array
from keras_contrastive.datasets._icon_names import is_thing, logos, plain_names


class Drawing(NamedTuple):
    """A drawing in a package. `filled` is `None` if only the name tells."""

    file_name: str
    filled: bool | None
    category: str
    draw: Callable[[int], Array]


class Entry(NamedTuple):
    """A drawing with the plain name of the thing. `draw` takes the size in pixels."""

    set: str
    name: str
    filled: bool
    category: str
    draw: Callable[[int], Array]


def one_each(
    source: str,
    drawings: Iterable[Drawing],
    *,
    prefixes: Collection[str] = (),
    filled: bool = False,
    both_styles: bool,
) -> list[Entry]:
    """Returns one drawing of a set for each name: the size nearest 24 pixels, the shortest name.

    Args:
        source: Name of the set.
        drawings: All drawings of the set.
        prefixes: Words at the start of a name that belong to the set.
        filled: Whether drawings are filled if neither the file name nor the folder tells.
        both_styles: Whether to keep an outlined and a filled drawing of a name.
    """
    drawings = list(drawings)
    best: dict[tuple[str, bool], tuple[tuple[int, int, str], Entry]] = {}
    names = plain_names([drawing.file_name for drawing in drawings], prefixes)
    for drawing, name in zip(drawings, names, strict=True):
        told = [told for told in (name.filled, drawing.filled) if told is not None]
        is_filled = told[0] if told else filled
        order = (abs(name.size - 24), len(drawing.file_name), drawing.file_name)
        key = (name.text, both_styles and is_filled)
        if key not in best or order < best[key][0]:
            entry = Entry(source, name.text, is_filled, drawing.category, drawing.draw)
            best[key] = (order, entry)
    return [entry for _, (_, entry) in sorted(best.items())]


def things(entries: list[Entry]) -> list[Entry]:
    """Leaves out letters, digits and logos."""
    brands = logos((entry.set, entry.name) for entry in entries)
    return [entry for entry in entries if is_thing(entry.name) and entry.name not in brands]
