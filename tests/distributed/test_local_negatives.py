"""Losses that each process computes alone raise a warning."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive._replicas import num_processes, torch_processes
from keras_contrastive.losses import InfoNCE
from tests.helpers.towers import pairs, towers

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="the other backends always compute one global batch",
)


def embeddings():
    return tuple(ops.convert_to_tensor(np.eye(4, dtype="float32")) for _ in range(2))


def test_a_process_without_a_process_group_warns(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.warns(UserWarning, match=r"WORLD_SIZE is 4.*init_process_group"):
        InfoNCE()(None, embeddings())


def test_a_loss_outside_the_trainer_warns_and_names_the_fix(monkeypatch):
    monkeypatch.setattr(torch_processes, "count", lambda: 4)
    with pytest.warns(UserWarning, match="only the rows of this process.*across_processes"):
        InfoNCE()(None, embeddings())


def test_one_process_does_not_warn(recwarn):
    InfoNCE()(None, embeddings())
    assert not recwarn.list


def test_a_keras_distribution_has_precedence_over_processes(monkeypatch):
    monkeypatch.setattr(torch_processes, "count", lambda: 4)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: object())
    assert num_processes() == 1
    model = ContrastiveTrainer(towers())
    model.compile("sgd", InfoNCE())
    assert np.isfinite(model.fit(pairs(), batch_size=8, verbose=0).history["loss"]).all()
