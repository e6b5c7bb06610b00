"""ClassBalanced: batches of P classes with K rows, each row once before another one twice."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive.samplers import ClassBalanced
from tests.helpers import normal

SIZES = {
    "equal": ([8] * 12, 4, 4),
    "not even": ([8] * 10, 4, 3),
    "all classes": ([5, 6, 7], 3, 2),
    "small classes": ([1, 2, 3, 9, 2, 5], 3, 4),
    "one large class": ([100, 3, 4, 5, 2], 3, 2),
    "two large classes": ([40, 40, 1, 1, 1], 2, 2),
    "many": (np.random.default_rng(0).geometric(0.1, size=200), 16, 4),
}
each_size = pytest.mark.parametrize(("sizes", "classes", "rows"), SIZES.values(), ids=SIZES)


def labels_of(sizes):
    """Returns labels that are neither sorted nor consecutive."""
    labels = np.repeat(np.arange(len(sizes)) * 7 + 3, sizes)
    return np.random.default_rng(1).permutation(labels)


def balanced(sizes, classes, rows, **kwargs):
    labels = labels_of(sizes)
    return ClassBalanced(np.arange(len(labels)), labels, classes, rows, **kwargs), labels


def served(batches):
    """Returns the rows of an epoch, `(batches, rows of a batch)`, and checks their labels."""
    found = list(batches)
    assert all(np.array_equal(labels, batches.y[rows]) for rows, labels in found)
    return np.array([rows for rows, _ in found])


@pytest.mark.filterwarnings("ignore:`y` has")
@each_size
def test_each_batch_has_equal_numbers_of_rows_of_different_classes(sizes, classes, rows):
    batches, labels = balanced(sizes, classes, rows)
    for batch in served(batches):
        found, counts = np.unique(labels[batch], return_counts=True)
        assert len(found) == classes
        assert (counts == rows).all()
        # Equal parts of a batch have equal numbers of classes.
        assert all(len(set(part)) == classes for part in labels[batch].reshape(rows, classes))
        for label in found:
            distinct = len(set(batch[labels[batch] == label]))
            assert distinct == min(rows, np.count_nonzero(labels == label))


@pytest.mark.filterwarnings("ignore:`y` has")
@each_size
def test_each_row_is_served_once_before_another_one_of_its_class_twice(sizes, classes, rows):
    batches, labels = balanced(sizes, classes, rows)
    for epoch in range(3):
        batches.start_epoch(epoch)
        times = np.zeros(len(labels), int)
        for batch in served(batches):
            np.add.at(times, batch, 1)
            for label in np.unique(labels[batch]):
                own = times[labels == label]
                assert own.max() - own.min() <= 1
        assert times.min() >= 1
    groups = -(-np.array(sizes) // rows)
    # The fewest batches that contain each row.
    assert len(served(batches)) == max(-(-groups.sum() // classes), groups.max())


def test_equal_classes_serve_each_row_exactly_once():
    batches, labels = balanced([8] * 12, 4, 4)
    assert np.array_equal(np.sort(served(batches), axis=None), np.arange(len(labels)))


def test_classes_meet_in_all_combinations():
    batches, labels = balanced([8] * 6, 3, 2)
    met = np.zeros((6, 6), int)
    for epoch in range(40):
        batches.start_epoch(epoch)
        for batch in served(batches):
            found = np.unique(labels[batch] // 7)
            met[np.ix_(found, found)] += 1
    others = met[~np.eye(6, dtype=bool)]
    # 40 epochs of 8 batches. A pair of classes is in a batch with the probability 1/5.
    assert others.min() > 40
    assert others.max() < 90


def test_order_depends_on_the_seed_and_the_epoch_only():
    batches, _ = balanced([8] * 12, 4, 4, seed=5)
    epochs = []
    for _ in range(3):
        epochs.append(served(batches))
        batches.on_epoch_end()
    assert not np.array_equal(epochs[0], epochs[1])
    again, _ = balanced([8] * 12, 4, 4, seed=5)
    again.start_epoch(2, skipped=2, seed=77)  # the seed of a trainer is for data sets without one
    np.testing.assert_array_equal(served(again), epochs[2][2:])
    again.on_epoch_end()
    assert len(served(again)) == 6
    other, _ = balanced([8] * 12, 4, 4, seed=6)
    assert not np.array_equal(served(other), epochs[0])
    unseeded = [balanced([8] * 12, 4, 4)[0] for _ in range(2)]
    assert not np.array_equal(*map(served, unseeded))
    for each in unseeded:
        each.start_epoch(1, seed=3)
    np.testing.assert_array_equal(*map(served, unseeded))


def test_epochs_of_some_steps_continue_the_pass():
    batches, _ = balanced([8] * 12, 4, 4, steps_per_epoch=4, seed=2)
    whole, _ = balanced([8] * 12, 4, 4, seed=2)
    found = []
    for _ in range(3):
        assert batches.num_batches == 4
        found.extend(served(batches))
        batches.on_epoch_end()
    for number in range(2):
        whole.start_epoch(number)
        np.testing.assert_array_equal(found[6 * number : 6 * number + 6], served(whole))


def test_structures_of_arrays_keep_their_rows_together():
    labels = labels_of([4] * 5)
    x = {"image": normal(20, 2, 2).astype("float64"), "text": [np.arange(20), ops.arange(20)]}
    batches = ClassBalanced(x, labels[:, None], 2, 2)
    for inputs, found in batches:
        assert set(inputs) == {"image", "text"}
        rows = inputs["text"][0]
        np.testing.assert_array_equal(inputs["text"][1], rows)
        np.testing.assert_array_equal(inputs["image"], x["image"][rows].astype("float32"))
        assert inputs["image"].dtype == "float32"
        np.testing.assert_array_equal(found, labels[rows])
        assert found.dtype == "int32"


X, Y = np.zeros((6, 2), "float32"), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, Y, 4, 2), ValueError, "`classes_per_batch` must be at least 2, and at most 3"),
        ((X, Y, 1, 2), ValueError, "`classes_per_batch` must be at least 2.*classes_per_batch=1"),
        ((X, Y, 2.0, 2), TypeError, "`classes_per_batch` must be a positive integer"),
        ((X, Y, 2, 0), ValueError, "`rows_per_class` must be a positive integer"),
        ((X, Y, 2, 2, 0), ValueError, "`steps_per_epoch` must be `None` or a positive integer"),
        ((X, Y, 2, 2, None, "a"), TypeError, "`seed` must be a non-negative integer"),
        ((X, Y, 2, 2, None, -1), ValueError, "`seed` must be a non-negative integer"),
        ((X[:5], Y, 2, 2), ValueError, r"one row for each label. Received: x of shape \(5, 2\), 6"),
        (({"a": X, "b": X[1:]}, Y, 2, 2), ValueError, r"\(6, 2\), \(5, 2\), 6 labels"),
        (({}, Y, 2, 2), ValueError, "must be an array, or a structure of arrays"),
        (([1.0, 2.0], Y, 2, 2), TypeError, "must be an array, or a dict.*Received: x with float"),
        ((X, Y[:, None] == Y[None], 2, 2), ValueError, "`y` must have one integer id per row"),
        ((X, np.eye(3)[Y], 2, 2), ValueError, "one-hot labels. Pass `labels.argmax"),
        ((X, Y.astype("float32"), 2, 2), TypeError, "`y` must hold integer ids or labels"),
        ((X, Y - 1, 2, 2), ValueError, "`y` must be in"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        ClassBalanced(*arguments)


def test_classes_with_one_row_cause_a_warning():
    with pytest.warns(UserWarning, match="`y` has 2 classes with one row, which a batch contains"):
        ClassBalanced(X, np.array([0, 0, 0, 0, 1, 2]), 2, 2)
