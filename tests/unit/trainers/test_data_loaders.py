"""Data sets of PyTorch and grain, which every backend accepts."""

import sys
import types

import numpy as np
import pytest

from keras_contrastive.trainers._data_sets import checked


class DataLoader:
    """The attribute of PyTorch's class that the trainer changes. Not every backend has PyTorch."""

    def __init__(self, collate_fn):
        self.collate_fn = collate_fn


ROWS = np.ones((4, 3), "float32")


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ({"image": ROWS, "text": ROWS}, ({"image": ROWS, "text": ROWS},)),
        (ROWS, (ROWS,)),
        ((ROWS,), (ROWS,)),
        ([{"image": ROWS}, np.arange(4)], [{"image": ROWS}, np.arange(4)]),
    ],
    ids=["a dict", "an array", "a tuple", "a list"],
)
def test_a_batch_without_ids_becomes_a_tuple(monkeypatch, batch, expected):
    data = types.SimpleNamespace(DataLoader=DataLoader)
    package = types.SimpleNamespace(utils=types.SimpleNamespace(data=data))
    contract = types.SimpleNamespace(checked_batch=lambda batch: batch)
    loader = DataLoader(lambda items: batch)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", package)
        served = checked(loader, contract)
    np.testing.assert_equal(served.collate_fn([]), expected)
    np.testing.assert_equal(loader.collate_fn([]), batch)


class MapDataset:
    """The method of grain's class that the trainer calls. No backend needs grain."""

    def __init__(self, batches):
        self.batches = batches

    def map(self, function):
        return [function(batch) for batch in self.batches]


def test_batches_of_grain_are_checked(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", types.SimpleNamespace(MapDataset=MapDataset))
    contract = types.SimpleNamespace(checked_batch=lambda batch: (batch, "checked"))
    assert checked(MapDataset([1, 2]), contract) == [(1, "checked"), (2, "checked")]
