"""What cannot work is refused with the reason."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import GammaContrastive, InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.towers import MeanSquare, Shift, pairs, tower, towers


def trainer(loss=None, **kwargs):
    model = ContrastiveTrainer(towers(), **kwargs)
    model.compile("sgd", loss or InfoNCE())
    return model


@pytest.mark.parametrize(
    "loss", [None, "mse", keras.losses.MeanSquaredError(), InfoNCE, {"image": InfoNCE()}]
)
def test_only_a_contrastive_loss_is_accepted(loss):
    with pytest.raises(TypeError, match="`loss` must be a contrastive loss"):
        ContrastiveTrainer(towers()).compile("sgd", loss)


@pytest.mark.parametrize("encoders", [None, len, [tower(6)], {"image": len}, {"image": None}])
def test_encoders_must_be_layers(encoders):
    with pytest.raises(TypeError, match="`encoders` must be a Keras layer or model"):
        ContrastiveTrainer(encoders)


def test_there_must_be_an_encoder():
    with pytest.raises(ValueError, match="at least one modality"):
        ContrastiveTrainer({})


@pytest.mark.parametrize("part", ["augmenters", "projectors"])
def test_other_parts_must_be_layers_too(part):
    with pytest.raises(TypeError, match=f"`{part}` must be a Keras layer or model"):
        ContrastiveTrainer(towers(), **{part: {"image": len}})


@pytest.mark.parametrize("part", ["augmenters", "projectors"])
def test_a_part_for_an_unknown_modality_is_refused(part):
    with pytest.raises(ValueError, match=f"`{part}` has modalities that `encoders` has not: sound"):
        ContrastiveTrainer(towers(), **{part: {"sound": Shift()}})


def test_one_encoder_needs_an_augmenter():
    with pytest.raises(ValueError, match="One encoder needs `augmenters`"):
        ContrastiveTrainer(tower(6))


@pytest.mark.parametrize(
    "parts", [{"augmenters": {"image": Shift()}}, {"augmenters": Shift(), "projectors": {}}]
)
def test_one_encoder_takes_no_parts_by_modality(parts):
    with pytest.raises(TypeError, match="layers, not dicts by modality"):
        ContrastiveTrainer(tower(6), **parts)


def test_towers_take_augmenters_by_modality():
    with pytest.raises(TypeError, match="`augmenters` must be a dict by modality"):
        ContrastiveTrainer(towers(), augmenters=Shift())


@pytest.mark.parametrize("regularizer", [keras.layers.Dense(2), keras.regularizers.L2(), len])
def test_a_regularizer_is_a_layer_with_a_penalty(regularizer):
    with pytest.raises(TypeError, match="Keras layers with a method `penalty"):
        ContrastiveTrainer(towers(), regularizers=[regularizer])


@pytest.mark.parametrize(
    "weight", [-0.1, 1.1, float("nan"), {"image": 0.7, "text": 0.7}, {"image": -0.5}, "half"]
)
def test_in_modal_weight_is_a_share(weight):
    with pytest.raises(ValueError, match="`in_modal_weight` must be in"):
        ContrastiveTrainer(towers(), {"image": Shift(), "text": Shift()}, in_modal_weight=weight)


def test_an_in_modal_weight_needs_an_augmented_view():
    with pytest.raises(ValueError, match="without an augmenter: text"):
        ContrastiveTrainer(towers(), {"image": Shift()}, in_modal_weight={"text": 0.5})


def test_a_missing_modality_is_named():
    with pytest.raises(ValueError, match="`x` lacks text"):
        trainer().predict({"image": pairs()["image"]}, verbose=0)


def test_towers_need_a_dict():
    with pytest.raises(TypeError, match="`x` must be a dict with the modalities image, text"):
        ContrastiveTrainer(towers())(pairs()["image"])


def test_loss_weights_are_refused():
    with pytest.raises(
        ValueError, match=r"`loss_weights` has no meaning here.*Received: loss_weights=\[2.0\]"
    ):
        ContrastiveTrainer(towers()).compile("sgd", InfoNCE(), loss_weights=[2.0])


@pytest.mark.parametrize("metrics", [[lambda ids, views: 0.0], ["mse", abs]])
def test_metrics_must_be_metrics(metrics):
    with pytest.raises((TypeError, ValueError), match="metric"):
        ContrastiveTrainer(towers()).compile("sgd", InfoNCE(), metrics=metrics)


@pytest.mark.parametrize(
    "metrics",
    [
        {"metrics": [RecallAtK(1), RecallAtK(1)]},
        {"metrics": [RecallAtK(1)], "weighted_metrics": [RecallAtK(1)]},
        {"metrics": [RecallAtK(1, name="size")]},
        {"metrics": [RecallAtK(1, name="loss")]},
    ],
)
def test_no_number_hides_another_of_the_same_name(metrics):
    model = ContrastiveTrainer(towers(), regularizers=[MeanSquare(name="size")])
    with pytest.raises(ValueError, match="needs a name of its own"):
        model.compile("sgd", InfoNCE(), **metrics)


def test_class_weights_are_refused_by_name_and_by_position():
    model = trainer()
    with pytest.raises(ValueError, match="`class_weight` cannot be used"):
        model.fit(pairs(), class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` cannot be used"):
        model.fit(pairs(), None, 8, 1, 0, None, 0.0, None, True, {0: 1.0})


def test_fit_needs_compile():
    with pytest.raises(ValueError, match="compile"):
        ContrastiveTrainer(towers()).fit(pairs(), verbose=0)


def test_rows_without_ids_must_be_as_many_as_the_items():
    with pytest.raises(ValueError, match=r"`num_items=23` items, and `x` has 24 rows without ids"):
        trainer(GammaContrastive(num_items=23)).fit(pairs(), verbose=0)


@pytest.mark.parametrize(
    ("largest", "message"), [(24, "below `num_items`"), (2**31, "in "), (-1, "in ")]
)
def test_ids_out_of_range_are_refused(largest, message):
    ids = np.append(np.arange(23), largest)
    with pytest.raises(ValueError, match=f"`y` must be {message}"):
        trainer(GammaContrastive(num_items=24)).fit(pairs(), ids, verbose=0)


def test_ids_must_be_integers():
    ids = np.arange(24, dtype="float32")
    with pytest.raises(TypeError, match="`y_true` must hold integer ids"):
        trainer().fit(pairs(), ids, verbose=0)


def test_a_training_step_that_remembers_needs_ids():
    with pytest.raises(ValueError, match="this training step has no ids"):
        trainer(GammaContrastive(num_items=24)).train_on_batch(pairs())


def test_a_loss_cannot_remember_for_models_with_other_directions():
    loss = GammaContrastive(num_items=24)
    trainer(loss)
    with pytest.raises(ValueError, match="remembers rates for 2 directions and cannot serve 3"):
        trainer(loss, augmenters={"text": Shift()})


def test_embeddings_of_different_sizes_cannot_be_compared():
    model = ContrastiveTrainer({"image": tower(6, dim=4), "text": tower(5, dim=3)})
    model.compile("sgd", InfoNCE())
    with pytest.raises(ValueError, match="All views must have the same shape"):
        model.train_on_batch(pairs())
