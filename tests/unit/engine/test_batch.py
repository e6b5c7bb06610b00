"""Batches from targets: what is compared, and the errors that a user sees."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import Batch, check_ids

A, B, C = np.random.default_rng(0).normal(size=(3, 4, 2)).astype("float32")


def as_views(y_true, y_pred):
    batch = Batch.from_targets(y_true, y_pred)
    return batch.ids, list(batch.views.values())


IDS = [0, 2**24, 2**24 + 1, 2**31 - 1]


def assert_views(found, *expected):
    assert len(found) == len(expected)
    for view, array in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(view), array)


def assert_ids(ids, expected):
    assert keras.backend.standardize_dtype(ids.dtype) == "int32"
    np.testing.assert_array_equal(ops.convert_to_numpy(ids), expected)


# The rows of the table


def test_float_targets_are_the_second_view():
    ids, views = as_views(B, A)
    assert ids is None
    assert_views(views, A, B)


def test_integer_labels_go_with_one_view():
    ids, views = as_views(np.array([3, 1, 3, 1]), A)
    assert_ids(ids, [3, 1, 3, 1])
    assert_views(views, A)


@pytest.mark.parametrize("y_true", [None, np.array(IDS)], ids=["none", "ids"])
@pytest.mark.parametrize("form", ["stack", "dict", "list", "tuple"])
def test_several_views_may_be_stacked_or_separate(form, y_true):
    y_pred = {
        "stack": np.stack([A, B, C], axis=1),
        "dict": {"image": A, "text": B, "sound": C},
        "list": [A, B, C],
        "tuple": (A, B, C),
    }[form]
    ids, views = as_views(y_true, y_pred)
    assert_views(views, A, B, C)
    if y_true is None:
        assert ids is None
    else:
        assert_ids(ids, IDS)


def test_views_of_a_dict_keep_its_order():
    _, views = as_views(None, {"text": B, "image": A})
    assert_views(views, B, A)


def test_one_view_in_a_list_or_stack_accepts_labels():
    assert_views(as_views(np.arange(4), [A])[1], A)
    assert_views(as_views(np.arange(4), A[:, None])[1], A)


def test_tensors_are_accepted():
    ids, views = as_views(
        ops.convert_to_tensor(np.array(IDS, "int32")), [ops.convert_to_tensor(A), B]
    )
    assert_ids(ids, IDS)
    assert_views(views, A, B)


def test_python_lists_are_accepted():
    assert_ids(as_views([5, 6, 5, 7], A)[0], [5, 6, 5, 7])
    assert_ids(as_views([[5], [6], [5], [7]], [A.tolist(), B.tolist()])[0], [5, 6, 5, 7])
    assert_views(as_views(B.tolist(), A)[1], A, B)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_embeddings_keep_their_precision(dtype):
    _, (view, _) = as_views(None, [ops.cast(A, dtype), ops.cast(B, dtype)])
    assert keras.backend.standardize_dtype(view.dtype) == dtype


# Ids


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_ids_stay_exact_integers(shape, dtype):
    assert_ids(as_views(np.array(IDS, dtype).reshape(shape), [A, B])[0], IDS)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32", "int64", "uint64"])
def test_any_integer_dtype_is_accepted(dtype):
    assert_ids(as_views(np.array([0, 1, 2, 127], dtype), A)[0], [0, 1, 2, 127])


def test_small_unsigned_ids_do_not_wrap():
    assert_ids(as_views(np.array([200, 255, 0, 128], "uint8"), A)[0], [200, 255, 0, 128])


@pytest.mark.parametrize(
    "ids", [[-1, 0, 1, 2], [0, 1, 2, 2**31], [0, 1, 2, 2**32], [0, 1, 2, 2**40 + 1]]
)
@pytest.mark.parametrize("as_list", [True, False])
def test_ids_out_of_range_raise(ids, as_list):
    with pytest.raises(ValueError, match=r"`y_true` must be in \[0, 2\*\*31\).*np.unique"):
        as_views(ids if as_list else np.array(ids), [A, B])


@pytest.mark.parametrize("y_true", [np.arange(4.0), np.arange(4.0)[:, None], [0.0, 1.0, 2.0, 3.0]])
def test_float_ids_of_several_views_raise(y_true):
    with pytest.raises(TypeError, match=r"integer ids or labels.*float.*2\*\*24"):
        as_views(y_true, [A, B])


@pytest.mark.parametrize("y_true", [np.arange(4.0), np.arange(4.0)[:, None], [0.0, 1.0, 2.0, 3.0]])
def test_float_labels_of_one_view_raise(y_true):
    with pytest.raises(
        ValueError, match=r"`y_true` must hold target embeddings.*Pass ids and labels as integers"
    ):
        as_views(y_true, A)


@pytest.mark.parametrize(
    "y_true", [np.array(["a", "b", "c", "d"]), ["a", "b", "c", "d"], np.array([1, 0, 1, 0], bool)]
)
@pytest.mark.parametrize("y_pred", [A, [A, B]], ids=["one_view", "two_views"])
def test_strings_and_bools_are_not_ids(y_true, y_pred):
    with pytest.raises(
        TypeError, match=r"`y_true` must hold integer ids or labels.*(np\.unique|astype)"
    ):
        as_views(y_true, y_pred)


@pytest.mark.parametrize(
    ("labels", "fix"),
    [
        (np.eye(4, dtype="int32"), r"one-hot labels. Pass `labels.argmax\(axis=1\)`"),
        (
            np.array([[1, 1, 0], [0, 1, 0], [0, 0, 0], [1, 0, 1]]),
            r"Rows with several labels.*pass `np.unique\(labels, axis=0, return_inverse=True\)",
        ),
    ],
    ids=["one label", "several labels"],
)
def test_rows_of_labels_raise_with_a_fix(labels, fix):
    expected = r"`\(batch,\)` or `\(batch, 1\)`.*"
    with pytest.raises(ValueError, match=expected + fix):
        as_views(labels, A)
    # The values of a tensor may be unknown, so both cases have one message.
    with pytest.raises(ValueError, match=expected + ".*np.nonzero.*several labels.*np.unique"):
        as_views(ops.convert_to_tensor(labels), A)


def test_float_one_hot_labels_raise():
    with pytest.raises(ValueError, match=r"target embeddings.*y_true \(4, 3\).*labels as integers"):
        as_views(np.eye(4, 3, dtype="float32"), A)


def test_each_row_needs_an_id():
    with pytest.raises(ValueError, match=r"one id per row.*y_true \(3,\).*\(4, 2\)"):
        as_views(np.arange(3), [A, B])


# Embeddings


@pytest.mark.parametrize(
    ("y_pred", "name"),
    [
        (np.ones((4, 2), "int32"), "y_pred"),
        ([A, np.ones((4, 2), "int64")], r"y_pred\[1\]"),
        ({"image": A, "text": np.ones((4, 2), bool)}, "text"),
        (np.array(["a", "b"]), "y_pred"),
    ],
)
def test_embeddings_must_be_floating_point(y_pred, name):
    with pytest.raises(TypeError, match=f"must be floating point.*Received: {name} with dtype"):
        as_views(np.arange(4), y_pred)


@pytest.mark.parametrize(
    ("y_pred", "message"),
    [
        (
            A[:, 0],
            r"shape \(batch, dim\) or \(batch, views, dim\)\. Received: y_pred \(4,\).*pooling",
        ),
        (
            A[:, None, None],
            r"shape \(batch, dim\) or.*y_pred \(4, 1, 1, 2\).*pooling",
        ),
        (
            [A, A[:, None]],
            r"shape \(batch, dim\)\. Received: y_pred\[1\] \(4, 1, 2\).*pooling",
        ),
        ({"text": A[:, 0]}, r"shape \(batch, dim\)\. Received: text \(4,\)"),
    ],
)
def test_embeddings_of_another_rank_raise(y_pred, message):
    with pytest.raises(ValueError, match=message):
        as_views(np.arange(4), y_pred)


@pytest.mark.parametrize("other", [A[:3], A[:, :1]], ids=["rows", "dim"])
def test_views_of_different_shapes_raise_with_their_names(other):
    with pytest.raises(
        ValueError, match=r"same shape `\(batch, dim\)`.*a \(4, 2\), b \(.*Add projectors"
    ):
        as_views(None, {"a": A, "b": other})


def test_targets_must_have_as_many_rows():
    with pytest.raises(ValueError, match=r"same shape `\(batch, dim\)`.*y_true \(3, 2\)"):
        as_views(B[:3], A)


@pytest.mark.parametrize(
    "y_pred", [A, [A], {"image": A}, A[:, None]], ids=["tensor", "list", "dict", "stack"]
)
def test_one_view_without_ids_raises(y_pred):
    with pytest.raises(ValueError, match="single view without ids leaves nothing to compare"):
        as_views(None, y_pred)


@pytest.mark.parametrize("y_true", [None, np.arange(4)], ids=["none", "ids"])
@pytest.mark.parametrize(
    "y_pred", [[], (), {}, np.ones((4, 0, 2), "float32")], ids=["list", "tuple", "dict", "stack"]
)
def test_no_view_raises(y_pred, y_true):
    with pytest.raises(ValueError, match="at least one view"):
        as_views(y_true, y_pred)


# Ids of a data set


def test_check_ids_accepts_ids_in_range():
    check_ids(np.array([], int))
    check_ids(np.array([0, 2**31 - 1]))
    check_ids(np.array([[0], [4]]), num_items=5)


def test_ids_must_be_below_the_number_of_items():
    with pytest.raises(
        ValueError,
        match=r"`y` must be below `num_items`.*num_items=5, largest id 5.*of this data set",
    ):
        check_ids(np.array([0, 5]), num_items=5, name="y")


@pytest.mark.parametrize("ids", [[-1, 3], [3, 2**31]])
def test_ids_must_be_non_negative_and_below_2_to_the_31(ids):
    with pytest.raises(
        ValueError,
        match=rf"`ids` must be in \[0, 2\*\*31\). Received: ids from {ids[0]} to {ids[1]}",
    ):
        check_ids(np.array(ids))
