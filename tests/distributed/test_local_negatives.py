"""Losses that several processes compute apart say so."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive import _replicas as distribution
from keras_contrastive._replicas import torch_processes
from keras_contrastive.losses import InfoNCE
from tests.helpers.towers import pairs, towers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="elsewhere there is always one batch: nothing can be local",
)


def embeddings():
    return tuple(ops.convert_to_tensor(np.eye(4, dtype="float32")) for _ in range(2))


def test_a_process_without_its_group_is_told_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.warns(UserWarning, match=r"one of 4 processes.*init_process_group"):
        InfoNCE()(None, embeddings())


def test_a_loss_outside_the_trainer_is_told_the_cure(monkeypatch):
    monkeypatch.setattr(torch_processes, "count", lambda: 4)
    with pytest.warns(UserWarning, match="negatives are local.*across_processes"):
        InfoNCE()(None, embeddings())


def test_one_process_hears_nothing(recwarn):
    InfoNCE()(None, embeddings())
    assert not recwarn.list


def test_a_distribution_of_keras_itself_has_precedence(monkeypatch):
    monkeypatch.setattr(torch_processes, "count", lambda: 4)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: object())
    assert distribution.num_processes() == 1
    model = ContrastiveTrainer(towers())
    model.compile("sgd", InfoNCE())
    assert np.isfinite(model.fit(pairs(), batch_size=8, verbose=0).history["loss"]).all()
