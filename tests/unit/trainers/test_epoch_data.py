"""Batches of arrays, and the orders of epochs."""

import itertools

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import InfoNCE
from keras_contrastive.samplers import ClassBalanced
from keras_contrastive.trainers import _doors
from keras_contrastive.trainers._epoch_data import ArrayBatches
from tests.helpers.backend import COMPILE_LEAST, Batches
from tests.helpers.towers import pairs, towers

ROWS = np.arange(10)


def rows_of(batches, epoch, seed=3):
    batches.start_epoch(epoch, 0, seed)
    return [list(batches[index][0]) for index in range(batches.num_batches)]


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("shuffle", [False, True])
def test_epochs_of_some_steps_continue_the_pass(steps, shuffle):
    batches = ArrayBatches((ROWS,), 4, shuffle, steps=steps)
    found = [batch for epoch in range(12) for batch in rows_of(batches, epoch)]
    passes = [list(itertools.chain(*found[i : i + 3])) for i in range(0, 12 * steps - 2, 3)]
    assert all(sorted(rows) == list(ROWS) for rows in passes)
    assert [len(batch) for batch in found[:3]] == [4, 4, 2]
    assert (passes[0] == list(ROWS)) != shuffle
    if len(passes) > 1:
        assert (passes[0] == passes[1]) != shuffle


def test_processes_shuffle_and_share_epochs_of_some_steps():
    parts = [ArrayBatches((ROWS,), 4, True, (index, 2), steps=2) for index in range(2)]
    whole = ArrayBatches((ROWS,), 4, True, steps=2)
    for epoch in range(4):
        both = zip(*(rows_of(part, epoch) for part in parts), strict=True)
        assert [a + b for a, b in both] == rows_of(whole, epoch)


def trainer():
    model = ContrastiveTrainer(towers())
    model.compile("sgd", InfoNCE(), **COMPILE_LEAST)
    return model


def test_fit_makes_as_many_steps_as_it_is_asked_for():
    steps = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    trainer().fit(pairs(), batch_size=8, epochs=3, steps_per_epoch=5, callbacks=[count], verbose=0)
    assert len(steps) == 15


def test_a_data_set_with_its_own_epochs_refuses_steps_per_epoch():
    batches = ClassBalanced(pairs(), np.arange(24) % 6, 4, 2)
    with pytest.raises(ValueError, match=r"steps_per_epoch=2.*ClassBalanced"):
        trainer().fit(batches, steps_per_epoch=2, verbose=0)


def test_processes_share_the_batches_of_a_validation_data_set(monkeypatch):
    monkeypatch.setattr(_doors, "num_processes", lambda: 2)
    monkeypatch.setattr(_doors, "process_index", lambda: 1)
    arguments = {"validation_data": Batches((ROWS,), 4)}
    arguments |= {"batch_size": None, "validation_batch_size": None}
    _doors._prepare_validation(arguments)
    np.testing.assert_array_equal(arguments["validation_data"][0][0], [2, 3])


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="a sampler of PyTorch")
def test_samplers_of_pytorch_get_the_number_of_the_epoch():
    from torch.utils.data import DataLoader, DistributedSampler

    served = []

    class Rows:
        def __len__(self):
            return 24

        def __getitem__(self, index):
            served.append(index)
            return {name: x[index] for name, x in pairs().items()}

    sampler = DistributedSampler(Rows(), num_replicas=1, rank=0)
    trainer().fit(DataLoader(Rows(), 8, sampler=sampler), epochs=2, verbose=0)
    first, second = served[-48:-24], served[-24:]
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second
