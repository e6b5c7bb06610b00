"""The tile policy, and the loop over the tiles of the logits."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_contrastive._replicas import num_data_shards, replicate, shard_rows
from keras_contrastive._typing import Tensor
from keras_contrastive.config import get_tile_shape

# On a CPU, a tile of logits and its rows stay in the cache. On an accelerator, a tile must be worth
# a kernel launch.
_CPU_TILE, _ACCELERATOR_TILE = (1024, 512), (4096, 4096)
# As many rows as columns: JAX then compiles one normalization for both.
_CPU_EAGER_TILE = (1024, 1024)
# So few logits are cheaper to store than to compute again.
_ALWAYS_ONE_TILE = 2**20
# Without XLA, TensorFlow copies the whole accumulator whenever a block of rows changes, so it gets
# few blocks of rows.
_TENSORFLOW_BLOCKS, _TENSORFLOW_COLUMNS = 8, 1024
# So many pairs of rows are sorted at once.
_SORTED_PAIRS = 2**20

Side = dict[str, Tensor]
Spans = Sequence[tuple[Any, Any, Any]]
TileBody = Callable[[Side, Side, Side, Side], tuple[Side, Side]]


def tile_shape(x: Tensor) -> tuple[int, int]:
    """Returns how many rows and columns of the logits of `x` are in memory at one moment."""
    chosen = get_tile_shape()
    if chosen:
        return chosen
    if not _is_on_cpu(x):
        return _ACCELERATOR_TILE
    if keras.backend.backend() == "tensorflow":
        return max((x.shape[0] or 0) // _TENSORFLOW_BLOCKS, 2048), _TENSORFLOW_COLUMNS
    return _CPU_TILE


def eager_tile_shape() -> tuple[int, int]:
    """Returns the shape of all tiles of a Python loop. It does not depend on the data.

    JAX compiles each operation of such a loop once, because each tile has this shape.
    """
    chosen = get_tile_shape()
    if chosen:
        return chosen
    return _CPU_EAGER_TILE if _is_on_cpu(ops.zeros((1,))) else _ACCELERATOR_TILE


def fits_one_tile(a: Tensor, b: Tensor) -> bool:
    """Returns whether the logits of these rows may be stored all at once."""
    if None in (a.shape[0], b.shape[0]):
        return False
    rows, columns = tile_shape(a)
    limit = rows * columns if get_tile_shape() else max(rows * columns, _ALWAYS_ONE_TILE)
    return a.shape[0] * b.shape[0] <= limit


def rows_per_block(a: Tensor, b: Tensor) -> Any:
    """Returns how many rows of `a` are compared with all rows of `b` at one moment."""
    chosen = get_tile_shape()
    limit = chosen[0] * chosen[1] if chosen else _SORTED_PAIRS
    if None in (a.shape[0], b.shape[0]):
        return ops.maximum(limit // ops.maximum(ops.shape(b)[0], 1), 1)
    return max(limit // max(b.shape[0], 1), 1)


def for_each_tile(
    body: TileBody,
    rows: Side,
    columns: Side,
    row_results: Side,
    column_results: Side,
    shape: tuple[Any, Any] | None = None,
) -> tuple[Side, Side]:
    """Visits all tiles and accumulates results for each row and each column.

    Args:
        body: Called as `body(rows, columns, row_results, column_results)` with a block of each
            dict. Returns the new `(row_results, column_results)`.
        rows: Dict of tensors `(num_rows, ...)`, with the embeddings as `"z"`.
        columns: Dict of tensors `(num_columns, ...)`, likewise.
        row_results: Dict of tensors `(num_rows, ...)`, the start of the accumulation. The caller
            gives them away: they may be changed in place.
        column_results: Dict of tensors `(num_columns, ...)`, likewise. It may be empty.
        shape: Numbers of rows and columns of a tile, `tile_shape` by default. `None` columns are
            all columns.

    Returns:
        `(row_results, column_results)`, accumulated over all tiles.
    """
    row_size, column_size = shape or tile_shape(rows["z"])
    if num_data_shards() > 1:
        return _loop_over_shards(body, rows, columns, row_results, column_results, column_size)
    row_spans, column_spans = _spans(rows["z"], row_size), _spans(columns["z"], column_size)
    loop = _loop_in_place if keras.backend.backend() == "torch" else _loop_by_updates
    return loop(body, rows, columns, row_results, column_results, row_spans, column_spans)


def _is_on_cpu(x: Tensor) -> bool:
    if keras.backend.backend() == "torch":
        return x.device.type == "cpu"
    return all(device.startswith("cpu") for device in _devices())


@functools.cache
def _devices() -> Sequence[str]:
    return keras.distribution.list_devices()


def _spans(x: Tensor, size: Any) -> Spans:
    """Returns `(start, size, count)` of the full blocks, and of the rest."""
    length = x.shape[0]
    if size is None:
        return [(0, ops.shape(x)[0], 1)]
    if length is None:
        length = ops.shape(x)[0]
        # A loop that never runs must not slice more rows than exist.
        size = ops.minimum(size, ops.maximum(length, 1))
        full = length // size
        return [(0, size, full), (full * size, length - full * size, 1)]
    size = max(min(size, length), 1)
    full = length // size
    spans = [(0, size, full), (full * size, length - full * size, 1)]
    return [(start, size, count) for start, size, count in spans if size and count]


def _loop_over_shards(
    body: TileBody,
    rows: Side,
    columns: Side,
    row_results: Side,
    column_results: Side,
    column_size: int | None,
) -> tuple[Side, Side]:
    # Each device has its rows in one block, and all columns. Fetching columns would take a message
    # per tile.
    rows, row_results = (keras.tree.map_structure(shard_rows, side) for side in (rows, row_results))
    columns, column_results = (
        keras.tree.map_structure(replicate, side) for side in (columns, column_results)
    )
    row_spans, column_spans = (
        _spans(rows["z"], rows["z"].shape[0]),
        _spans(columns["z"], column_size),
    )
    row_results, column_results = _loop_by_updates(
        body, rows, columns, row_results, column_results, row_spans, column_spans
    )
    return (
        keras.tree.map_structure(shard_rows, row_results),
        keras.tree.map_structure(replicate, column_results),
    )


def _loop_by_updates(
    body: TileBody,
    rows: Side,
    columns: Side,
    row_results: Side,
    column_results: Side,
    row_spans: Spans,
    column_spans: Spans,
) -> tuple[Side, Side]:
    def visit_block(block: Side, block_results: Side, column_results: Side) -> tuple[Side, Side]:
        for first, size, count in column_spans:

            def visit_tile(
                j: Any, carry: tuple[Side, Side], first: Any = first, size: Any = size
            ) -> tuple[Side, Side]:
                block_results, column_results = carry
                start = first + (j + zero_after(block_results)) * size
                tile_results = slice_rows(column_results, start, size)
                block_results, tile_results = body(
                    block, slice_rows(columns, start, size), block_results, tile_results
                )
                # Without these layouts, XLA shards the carry of a loop and gathers it per tile.
                column_results = keras.tree.map_structure(
                    replicate, _update(column_results, tile_results, start)
                )
                return keras.tree.map_structure(shard_rows, block_results), column_results

            block_results, column_results = repeat(
                count, visit_tile, (block_results, column_results)
            )
        return block_results, column_results

    if len(row_spans) == 1 and _is_one(row_spans[0][2]):
        return visit_block(rows, row_results, column_results)
    for first, size, count in row_spans:

        def visit_rows(
            i: Any, carry: tuple[Side, Side], first: Any = first, size: Any = size
        ) -> tuple[Side, Side]:
            row_results, column_results = carry
            start = first + (i + zero_after(row_results)) * size
            block_results, column_results = visit_block(
                slice_rows(rows, start, size), slice_rows(row_results, start, size), column_results
            )
            return _update(row_results, block_results, start), column_results

        row_results, column_results = repeat(count, visit_rows, (row_results, column_results))
    return row_results, column_results


def _loop_in_place(
    body: TileBody,
    rows: Side,
    columns: Side,
    row_results: Side,
    column_results: Side,
    row_spans: Spans,
    column_spans: Spans,
) -> tuple[Side, Side]:
    # PyTorch runs Python loops. Updating a slice would copy the whole tensor, but a slice is a view
    # that can be assigned.
    tiles = list(
        zip(_blocks(columns, column_spans), _blocks(column_results, column_spans), strict=True)
    )
    blocks = zip(_blocks(rows, row_spans), _blocks(row_results, row_spans), strict=True)
    for block, block_results in blocks:
        accumulated = block_results
        for tile, tile_results in tiles:
            accumulated, new = body(block, tile, accumulated, tile_results)
            _assign(tile_results, new)
        _assign(block_results, accumulated)
    return row_results, column_results


def _blocks(tensors: Side, spans: Spans) -> Iterator[Side]:
    for first, size, count in spans:
        for start in range(first, first + size * count, size):
            yield {name: x[start : start + size] for name, x in tensors.items()}


def _assign(views: Side, values: Side) -> None:
    for name, view in views.items():
        if values[name] is not view:  # else `body` has changed it in place
            view[:] = values[name]


def repeat(count: Any, step: Callable[[Any, Any], Any], carry: Any) -> Any:
    """Calls `carry = step(i, carry)` for each `i` below `count`."""
    return step(0, carry) if _is_one(count) else ops.fori_loop(0, count, step, carry)


def _is_one(count: Any) -> bool:
    return isinstance(count, int) and count == 1


def zero_after(results: Any) -> Any:
    """Returns 0 once the results are there.

    Without such a dependency between iterations, TensorFlow would run ten of them at a time, in ten
    times the memory.

    Args:
        results: Tensors, at any depth of lists and dicts.
    """
    if keras.backend.backend() != "tensorflow":
        return 0
    first = ops.reshape(keras.tree.flatten(results)[0], (-1,))[:1]
    return ops.cast(ops.any(first < first), "int32")


def slice_rows(tensors: Side, start: Any, size: Any) -> Side:
    """Returns `size` rows of each tensor. JAX compiles it once, for all values of `start`."""
    return {
        name: ops.slice(x, (start, *_zeros(x)), (size, *x.shape[1:])) for name, x in tensors.items()
    }


def _update(tensors: Side, parts: Side, start: Any) -> Side:
    return {
        name: ops.slice_update(x, (start, *_zeros(x)), parts[name]) for name, x in tensors.items()
    }


def _zeros(x: Tensor) -> tuple[int, ...]:
    return (0,) * (len(x.shape) - 1)
