"""Settings of the library."""

import contextlib
from collections.abc import Iterator

_tile_shape: tuple[int, int] | None = None


def get_tile_shape() -> tuple[int, int] | None:
    """Returns the tile shape that was set, or `None` for the default of the device."""
    return _tile_shape


def set_tile_shape(shape: tuple[int, int] | None) -> None:
    """Sets how many logits, similarities or scores are in memory at one moment.

    Larger tiles need more memory and fewer steps. All losses, metrics and evaluations use the same
    setting. A compiled program keeps the setting that was active when it was traced.

    Args:
        shape: `(rows, columns)`, positive integers, or `None` for the default of the device.

    Raises:
        ValueError: If `shape` is not two positive integers.
    """
    global _tile_shape
    if shape is not None and not (
        isinstance(shape, (tuple, list))
        and len(shape) == 2
        and all(isinstance(x, int) and not isinstance(x, bool) and x > 0 for x in shape)
    ):
        raise ValueError(
            "`shape` must be two positive integers, (rows, columns), or `None`. "
            f"Received: shape={shape!r}."
        )
    _tile_shape = None if shape is None else (shape[0], shape[1])


@contextlib.contextmanager
def tile_shape(shape: tuple[int, int] | None) -> Iterator[None]:
    """Sets the tile shape inside a `with` block. See `set_tile_shape`.

    Args:
        shape: `(rows, columns)`, positive integers, or `None` for the default of the device.

    Raises:
        ValueError: If `shape` is not two positive integers.

    Example:

    >>> with tile_shape((512, 512)):
    ...     print(get_tile_shape())
    (512, 512)
    """
    before = _tile_shape
    set_tile_shape(shape)
    try:
        yield
    finally:
        set_tile_shape(before)


__all__ = ["get_tile_shape", "set_tile_shape", "tile_shape"]


def __dir__() -> list[str]:
    return __all__
