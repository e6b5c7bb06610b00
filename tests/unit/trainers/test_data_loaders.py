"""Batches of `torch.utils.data.DataLoader`, which every backend accepts."""

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
