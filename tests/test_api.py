"""The public names, and that none of them escapes the contract."""

import inspect

import keras
import pytest

import keras_contrastive as kc
from tests import cases


def public_classes(room):
    return [cls for name, cls in vars(room).items() if inspect.isclass(cls) and not name.startswith("_")]


def test_every_loss_has_a_case():
    made = {type(case.make()) for case in cases.LOSSES.values()} | set(cases.REMEMBERING.values())
    assert made == set(public_classes(kc.losses)) - {kc.losses.ContrastiveLoss}


def test_top_level_names():
    assert kc.GammaContrastive is kc.losses.GammaContrastive
    assert kc.ContrastiveTrainer is kc.training.ContrastiveTrainer
    assert kc.__version__


@pytest.mark.parametrize(
    "room", [kc.losses, kc.layers, kc.metrics, kc.training, kc.fusion], ids=lambda room: room.__name__
)
def test_public_classes_can_be_saved_by_name(room):
    for cls in public_classes(room):
        if cls not in (kc.losses.ContrastiveLoss, kc.layers.Modality, kc.layers.ViewRegularizer):
            assert keras.saving.get_registered_object(f"keras_contrastive>{cls.__name__}") is cls
