"""The walk over the logits: block of rows by block of rows, tile by tile, whatever the batch."""

import functools

import keras
from keras import ops

from keras_contrastive._replicas import num_data_shards, replicate, shard_rows
from keras_contrastive.config import get_tile_shape

# Where a tile of logits, and the rows that make it, stay in the cache; and where a kernel must be worth its launch.
_CPU, _ACCELERATOR = (1024, 512), (4096, 4096)
_FEW = 2**20  # logits that cost less kept than computed again
# TensorFlow copies the whole accumulator whenever a block of it changes, unless it compiles: few blocks of rows.
_TENSORFLOW_BLOCKS, _TENSORFLOW_COLUMNS = 8, 1024


def tile_shape(x):
    """The number of rows and of columns of the logits of `x` that exist at one moment."""
    chosen = get_tile_shape()
    if chosen:
        return chosen
    if not _is_on_cpu(x):
        return _ACCELERATOR
    if keras.backend.backend() == "tensorflow":
        return max((x.shape[0] or 0) // _TENSORFLOW_BLOCKS, 2048), _TENSORFLOW_COLUMNS
    return _CPU


def _is_on_cpu(x):
    if keras.backend.backend() == "torch":
        return x.device.type == "cpu"
    return all(device.startswith("cpu") for device in _devices())


@functools.cache
def _devices():
    return keras.distribution.list_devices()


def fits_one_tile(a, b):
    """Whether the logits of these rows are so few, for certain, that they may exist all at once."""
    if None in (a.shape[0], b.shape[0]):
        return False
    rows, columns = tile_shape(a)
    return a.shape[0] * b.shape[0] <= (
        rows * columns if get_tile_shape() else max(rows * columns, _FEW)
    )


def walk(body, rows, columns, of_rows, of_columns):
    """Visit all tiles, and carry what is accumulated for each row and for each column.

    Args:
        body: Called as `body(rows, columns, of_rows, of_columns)` with a block of each dict; returns the new
            `(of_rows, of_columns)`.
        rows: Dict of tensors `(num_rows, ...)`, with the embeddings as `"z"`.
        columns: Dict of tensors `(num_columns, ...)`, likewise.
        of_rows: Dict of tensors `(num_rows, ...)`, where the accumulation starts. They are handed over: they, and
            what `body` gets of them, may be changed in place.
        of_columns: Dict of tensors `(num_columns, ...)`, likewise; may be empty.

    Returns:
        `(of_rows, of_columns)`, accumulated over all tiles.
    """
    row_size, column_size = tile_shape(rows["z"])
    if num_data_shards() > 1:
        return _walk_shards(body, rows, columns, of_rows, of_columns, column_size)
    row_spans, column_spans = _spans(rows["z"], row_size), _spans(columns["z"], column_size)
    visit = _walk_in_place if keras.backend.backend() == "torch" else _walk_by_updates
    return visit(body, rows, columns, of_rows, of_columns, row_spans, column_spans)


def _spans(x, size):
    """`(start, size, count)` of the full blocks, and of what remains."""
    length = x.shape[0]
    if length is None:
        length = ops.shape(x)[0]
        size = ops.minimum(
            size, ops.maximum(length, 1)
        )  # a loop that never runs must not slice more than there is
        full = length // size
        return [(0, size, full), (full * size, length - full * size, 1)]
    size = max(min(size, length), 1)
    full = length // size
    spans = [(0, size, full), (full * size, length - full * size, 1)]
    return [(start, size, count) for start, size, count in spans if size and count]


def _walk_shards(body, rows, columns, of_rows, of_columns, column_size):
    # Each device has its rows, all at once, and all columns: one that had to be fetched would cost a message a tile.
    rows, of_rows = (keras.tree.map_structure(shard_rows, side) for side in (rows, of_rows))
    columns, of_columns = (
        keras.tree.map_structure(replicate, side) for side in (columns, of_columns)
    )
    row_spans, column_spans = (
        _spans(rows["z"], rows["z"].shape[0]),
        _spans(columns["z"], column_size),
    )
    of_rows, of_columns = _walk_by_updates(
        body, rows, columns, of_rows, of_columns, row_spans, column_spans
    )
    return keras.tree.map_structure(shard_rows, of_rows), keras.tree.map_structure(
        replicate, of_columns
    )


def _walk_by_updates(body, rows, columns, of_rows, of_columns, row_spans, column_spans):
    def visit_block(block, of_block, of_columns):
        for first, size, count in column_spans:

            def visit_tile(j, carry, first=first, size=size):
                of_block, of_columns = carry
                start = first + (j + _zero(of_block)) * size
                of_tile = _slice(of_columns, start, size)
                of_block, of_tile = body(block, _slice(columns, start, size), of_block, of_tile)
                # What loops carry would be sharded, and gathered for each tile, if it were not said again.
                of_columns = keras.tree.map_structure(
                    replicate, _update(of_columns, of_tile, start)
                )
                return keras.tree.map_structure(shard_rows, of_block), of_columns

            of_block, of_columns = _repeat(count, visit_tile, (of_block, of_columns))
        return of_block, of_columns

    if len(row_spans) == 1 and _is_one(row_spans[0][2]):
        return visit_block(rows, of_rows, of_columns)
    for first, size, count in row_spans:

        def visit_rows(i, carry, first=first, size=size):
            of_rows, of_columns = carry
            start = first + (i + _zero(of_rows)) * size
            of_block, of_columns = visit_block(
                _slice(rows, start, size), _slice(of_rows, start, size), of_columns
            )
            return _update(of_rows, of_block, start), of_columns

        of_rows, of_columns = _repeat(count, visit_rows, (of_rows, of_columns))
    return of_rows, of_columns


def _walk_in_place(body, rows, columns, of_rows, of_columns, row_spans, column_spans):
    # PyTorch's loops are Python's: an update of a slice would copy the whole, but a slice is a view that can be set.
    tiles = list(
        zip(_blocks(columns, column_spans), _blocks(of_columns, column_spans), strict=True)
    )
    for block, of_block in zip(_blocks(rows, row_spans), _blocks(of_rows, row_spans), strict=True):
        accumulated = of_block
        for tile, of_tile in tiles:
            accumulated, new = body(block, tile, accumulated, of_tile)
            _set(of_tile, new)
        _set(of_block, accumulated)
    return of_rows, of_columns


def _blocks(tensors, spans):
    for first, size, count in spans:
        for start in range(first, first + size * count, size):
            yield {name: x[start : start + size] for name, x in tensors.items()}


def _set(views, values):
    for name, view in views.items():
        if values[name] is not view:  # else `body` has changed it in place
            view[:] = values[name]


def _repeat(count, step, carry):
    return step(0, carry) if _is_one(count) else ops.fori_loop(0, count, step, carry)


def _is_one(count):
    return isinstance(count, int) and count == 1


def _zero(of_rows):
    # Ties an iteration to the one before: TensorFlow would run ten at a time, in ten times the memory.
    if keras.backend.backend() != "tensorflow":
        return 0
    first = ops.reshape(next(iter(of_rows.values())), (-1,))[:1]
    return ops.cast(ops.any(first < first), "int32")


def _slice(tensors, start, size):
    return {
        name: ops.slice(x, (start, *_at_zero(x)), (size, *x.shape[1:]))
        for name, x in tensors.items()
    }


def _update(tensors, parts, start):
    return {
        name: ops.slice_update(x, (start, *_at_zero(x)), parts[name]) for name, x in tensors.items()
    }


def _at_zero(x):
    return (0,) * (len(x.shape) - 1)
