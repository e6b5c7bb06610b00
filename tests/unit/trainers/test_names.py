"""Losses and metrics by name in `compile`."""

import inspect

import keras
import pytest

from keras_contrastive import ContrastiveTrainer, losses, metrics
from keras_contrastive._keras import snake_case
from keras_contrastive.trainers import _names as names
from tests.helpers.towers import towers

NEEDS_ARGUMENTS = {
    "ArcFace": "proxies",
    "CosFace": "proxies",
    "GlobalContrastive": "num_items",
    "Matryoshka": "loss",
    "NormalizedSoftmax": "proxies",
}


def classes(subpackage, base):
    public = [getattr(subpackage, name) for name in subpackage.__all__]
    found = [cls for cls in public if inspect.isclass(cls) and issubclass(cls, base)]
    return [cls for cls in found if keras.saving.get_registered_name(cls) != cls.__name__]


def test_each_loss_without_required_arguments_has_a_name():
    for cls in classes(losses, losses.ContrastiveLoss):
        if cls.__name__ not in NEEDS_ARGUMENTS:
            assert type(names.loss_from_name(snake_case(cls.__name__))) is cls


@pytest.mark.parametrize(("name", "argument"), NEEDS_ARGUMENTS.items())
def test_a_loss_with_required_arguments_must_be_an_object(name, argument):
    message = rf"Pass `loss=kc.losses.{name}\({argument}=...\)`"
    with pytest.raises(ValueError, match=message):
        names.loss_from_name(snake_case(name))


def test_each_metric_of_views_has_a_name():
    for cls in classes(metrics, keras.metrics.Metric):
        if cls not in (metrics.AnswerAccuracy, metrics.RecallAtK, metrics.ViewMetric):
            assert type(names.metric_from_name("metrics", cls().name)) is cls
    assert names.metric_from_name("metrics", "recall_at_12").k == 12


def test_a_model_compiled_by_names_equals_one_compiled_by_objects():
    named, explicit = ContrastiveTrainer(towers()), ContrastiveTrainer(towers())
    named.compile("adam", "info_nce", ["recall_at_5"], weighted_metrics=["alignment"])
    objects = [metrics.RecallAtK(5)], [metrics.Alignment()]
    explicit.compile("adam", losses.InfoNCE(), *objects)
    compiled, expected = named.get_compile_config(), explicit.get_compile_config()
    for name in ("loss", "metrics", "weighted_metrics"):
        assert compiled[name] == expected[name]


def test_a_plain_model_does_not_resolve_the_names():
    # If this fails, Keras accepts registered names, and `docs/keras_tools.md` must say so.
    for name in ("info_nce", "InfoNCE", "keras_contrastive>InfoNCE"):
        with pytest.raises(ValueError, match="Could not interpret loss"):
            keras.losses.get(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "InfoNCE"}, "'gamma_contrastive', 'info_nce'.*Did you mean 'info_nce'?"),
        ({"loss": "infonce"}, r"Received: loss='infonce'. Did you mean 'info_nce'\?"),
        ({"loss": "supcon_loss"}, r"Did you mean 'sup_con'\?"),
        ({"loss": "mse"}, r"Received: loss='mse'\.$"),
        ({"metrics": ["recall"]}, r"Received: metrics='recall'. Did you mean 'recall_at_1'\?"),
        ({"metrics": ["recall_at_k"]}, r"Did you mean 'recall_at_1'\?"),
        ({"metrics": ["recall_at_0"]}, r"Did you mean 'recall_at_1'\?"),
        ({"weighted_metrics": ["uniform"]}, r"`weighted_metrics` must .*'uniformity'\?"),
    ],
)
def test_unknown_names_raise_with_the_nearest_one(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveTrainer(towers()).compile("adam", **{"loss": "info_nce", **arguments})
