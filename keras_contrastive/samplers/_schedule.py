"""Schedule of a pass: the classes of each batch, and their rows."""

import numpy as np

from keras_contrastive._typing import Array


def num_batches_of_pass(sizes: Array, classes_per_batch: int, rows_per_class: int) -> int:
    """Returns the smallest number of batches that contain each row at least once.

    Args:
        sizes: Int `(classes,)`, the number of rows of each class.
        classes_per_batch: Number of different classes in a batch.
        rows_per_class: Number of rows of each of them.
    """
    groups = _num_groups(sizes, rows_per_class)
    # A batch has one group of a class, so a large class needs as many batches as it has groups.
    return int(max(-(-groups.sum() // classes_per_batch), groups.max()))


def rows_of_pass(
    labels: Array, classes_per_batch: int, rows_per_class: int, generator: np.random.Generator
) -> Array:
    """Returns the rows of all batches of a pass.

    Each row is in some batch. A class with few rows fills its groups with rows that it has served
    before, in the same order.

    Args:
        labels: Int `(rows,)`, from 0 to the number of classes - 1. Each class has a row.
        classes_per_batch: Number of different classes in a batch.
        rows_per_class: Number of rows of each of them.
        generator: Draws the order.

    Returns:
        Int `(batches, rows_per_class * classes_per_batch)`, one row of each class after the other,
        so that equal parts of a batch have equal numbers of classes.
    """
    sizes = np.bincount(labels)
    num_batches = num_batches_of_pass(sizes, classes_per_batch, rows_per_class)
    num_groups = _num_groups(sizes, rows_per_class)
    num_groups = _filled(num_groups, classes_per_batch, num_batches, generator)
    classes = _classes_of_batches(num_groups, classes_per_batch, num_batches, generator).ravel()
    # The first group of a class has its first rows, and so on, in the order of the batches.
    by_class = np.argsort(classes, kind="stable")
    group = np.empty_like(classes)
    group[by_class] = np.arange(len(classes)) - np.repeat(_starts(num_groups), num_groups)
    offsets = group[:, None] * rows_per_class + np.arange(rows_per_class)
    shuffled = generator.permutation(len(labels))
    shuffled = shuffled[np.argsort(labels[shuffled], kind="stable")]  # class after class
    rows = shuffled[_starts(sizes)[classes][:, None] + offsets % sizes[classes][:, None]]
    rows = rows.reshape(num_batches, classes_per_batch, rows_per_class)
    return rows.transpose(0, 2, 1).reshape(num_batches, -1)


def _num_groups(sizes: Array, rows_per_class: int) -> Array:
    """Returns how many groups of `rows_per_class` rows contain all rows of each class."""
    return -(-sizes // rows_per_class)


def _filled(
    num_groups: Array, classes_per_batch: int, num_batches: int, generator: np.random.Generator
) -> Array:
    """Returns numbers of groups that fill all batches, by raising those of the smallest classes."""
    total = classes_per_batch * num_batches
    low, high = 0, num_batches  # of the largest number to which all can be raised
    while low < high:
        middle = (low + high + 1) // 2
        if np.maximum(num_groups, middle).sum() <= total:
            low = middle
        else:
            high = middle - 1
    filled = np.maximum(num_groups, low)
    smallest = np.flatnonzero(filled == low)
    filled[generator.choice(smallest, total - filled.sum(), replace=False)] += 1
    return filled


def _classes_of_batches(
    num_groups: Array, classes_per_batch: int, num_batches: int, generator: np.random.Generator
) -> Array:
    """Returns the classes of each batch, int `(batches, classes_per_batch)`, all different.

    A column holds the groups of some classes, in batches at random. A class has at most as many
    groups as there are batches, so it fills parts of at most two columns.
    """
    order = generator.permutation(len(num_groups))
    columns = np.repeat(order, num_groups[order]).reshape(classes_per_batch, num_batches)
    classes = np.empty((num_batches, classes_per_batch), dtype=columns.dtype)
    taken = np.zeros(num_batches, bool)  # by the last class of the column before
    for number, column in enumerate(columns):
        batches = generator.permutation(num_batches)
        if number and column[0] == columns[number - 1, -1]:
            # Its remaining groups go to the first batches in this order that do not have it.
            free = np.flatnonzero(~taken[batches])[: np.count_nonzero(column == column[0])]
            batches = np.concatenate([batches[free], np.delete(batches, free)])
        classes[batches, number] = column
        taken = np.zeros(num_batches, bool)
        taken[batches[column == column[-1]]] = True
    return classes


def _starts(sizes: Array) -> Array:
    """Returns where each part starts if parts of these sizes follow each other."""
    return np.cumsum(sizes) - sizes
