"""Public names: one path each, listed, registered for saving, and covered by a contract."""

import importlib
import inspect
import pkgutil

import keras
import pytest

import keras_contrastive as kc
from tests.contracts import loss_cases as cases

SUBPACKAGES = sorted(
    name for _, name, _ in pkgutil.iter_modules(kc.__path__) if not name.startswith("_")
)
# Two shortcuts, and `extend`, which collects names for authors of extensions.
SHORTCUTS = {"ContrastiveTrainer", "GammaContrastive"}


def public(subpackage):
    module = importlib.import_module(f"keras_contrastive.{subpackage}")
    return {name: getattr(module, name) for name in module.__all__}


def public_classes(subpackage):
    return [value for value in public(subpackage).values() if inspect.isclass(value)]


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_dir_shows_exactly_the_public_names(subpackage):
    module = importlib.import_module(f"keras_contrastive.{subpackage}")
    assert sorted(dir(module)) == sorted(module.__all__)
    assert not any(name.startswith("_") for name in module.__all__)
    assert not any(inspect.ismodule(value) for value in public(subpackage).values())


def test_dir_of_the_package_shows_subpackages_and_shortcuts():
    assert sorted(dir(kc)) == sorted([*SUBPACKAGES, *SHORTCUTS, "__version__"])
    assert kc.GammaContrastive is kc.losses.GammaContrastive
    assert kc.ContrastiveTrainer is kc.trainers.ContrastiveTrainer


def test_each_public_symbol_has_one_path():
    paths = {}
    for subpackage in set(SUBPACKAGES) - {"extend"}:
        for name, value in public(subpackage).items():
            if inspect.isclass(value) or inspect.isroutine(value):
                paths.setdefault(value, []).append(f"{subpackage}.{name}")
    assert [names for names in paths.values() if len(names) > 1] == []


def test_modules_inside_subpackages_are_private():
    for subpackage in SUBPACKAGES:
        module = importlib.import_module(f"keras_contrastive.{subpackage}")
        inner = [name for _, name, _ in pkgutil.iter_modules(getattr(module, "__path__", ()))]
        assert [name for name in inner if not name.startswith("_")] == []


def test_every_loss_has_a_case():
    made = {type(case.make()) for case in cases.LOSSES.values()}
    made |= {*cases.REMEMBERING.values(), *cases.PROXIES.values()}
    made |= {make for make, _ in cases.WITHOUT_NEGATIVES.values()}
    assert made == set(public_classes("losses")) - {kc.losses.ContrastiveLoss}


@pytest.mark.parametrize(
    "subpackage", ["augmentation", "encoders", "fusion", "layers", "losses", "metrics", "trainers"]
)
def test_public_classes_can_be_saved_by_name(subpackage):
    bases = {
        *(kc.losses.ContrastiveLoss, kc.layers.Modality, kc.layers.ViewRegularizer),
        *(kc.metrics.ViewMetric, kc.encoders.ImageTextTowers),
        *(kc.augmentation.Augmenter, kc.augmentation.ImageAugmenter),
        kc.augmentation.TokenAugmenter,
    }
    for cls in public_classes(subpackage):
        if cls not in bases and issubclass(cls, (keras.layers.Layer, keras.Loss, keras.Metric)):
            registered = keras.saving.get_registered_object(f"keras_contrastive>{cls.__name__}")
            assert registered is cls
