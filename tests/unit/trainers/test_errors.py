"""Wrong arguments and inputs of the trainer raise errors that a user can act on."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import DeepFeatureSeparation, MomentumTeacher
from keras_contrastive.losses import GammaContrastive, InfoNCE, NTXent
from keras_contrastive.metrics import RecallAtK
from tests.helpers.fusion_trainers import fusion_trainer
from tests.helpers.towers import MeanSquare, Shift, pairs, tower, towers


def trainer(loss=None, **kwargs):
    model = ContrastiveTrainer(towers(), **kwargs)
    model.compile("sgd", loss or InfoNCE())
    return model


@pytest.mark.parametrize("encoders", [None, len, [tower(6)], {"image": len}, {"image": None}])
def test_encoders_must_be_layers(encoders):
    with pytest.raises(TypeError, match="`encoders` must be a Keras layer or model"):
        ContrastiveTrainer(encoders)


ONE_ENCODER = [
    (
        {},
        ValueError,
        "`augmenters` must be a layer that makes random views if there is one encoder",
    ),
    ({"augmenters": {"image": Shift()}}, TypeError, "`augmenters` must be a layer"),
    ({"augmenters": Shift(), "projectors": {}}, TypeError, "`projectors` must be a layer"),
    (
        {"augmenters": Shift(), "present": {"has": "image"}},
        ValueError,
        "It needs a dict of encoders",
    ),
]


@pytest.mark.parametrize(("parts", "error", "message"), ONE_ENCODER)
def test_wrong_parts_of_one_encoder_raise(parts, error, message):
    with pytest.raises(error, match=message):
        ContrastiveTrainer(tower(6), **parts)


AUGMENTERS = {"image": Shift(), "text": Shift()}
UNKNOWN = "must contain only modalities of `encoders`: image, text. Received: 'sound'"
TOWERS = [
    ({"augmenters": {"image": len}}, TypeError, "`augmenters` must be a Keras layer or model"),
    ({"projectors": {"image": len}}, TypeError, "`projectors` must be a Keras layer or model"),
    ({"augmenters": {"sound": Shift()}}, ValueError, f"`augmenters` {UNKNOWN}"),
    ({"projectors": {"sound": Shift()}}, ValueError, f"`projectors` {UNKNOWN}"),
    ({"augmenters": Shift()}, TypeError, "`augmenters` must be a dict by modality"),
    ({"regularizers": [keras.layers.Dense(2)]}, TypeError, "layers with a method `penalty"),
    ({"regularizers": [keras.regularizers.L2()]}, TypeError, "layers with a method `penalty"),
    (
        {"regularizers": [DeepFeatureSeparation(), DeepFeatureSeparation()]},
        ValueError,
        "at most one `DeepFeatureSeparation`",
    ),
    ({"hard_negatives": {"wrong": "sound"}}, ValueError, "needs the modalities image, text"),
    ({"hard_negatives": ["wrong"]}, TypeError, "`hard_negatives` must be a dict"),
    ({"hard_negatives": {"image": "text"}}, ValueError, "must have names of new inputs"),
    ({"present": {"has": "sound"}}, ValueError, "`present` must be a dict"),
    ({"augmenters": AUGMENTERS, "in_modal_weight": -0.1}, ValueError, "`in_modal_weight` must be"),
    ({"augmenters": AUGMENTERS, "in_modal_weight": 1.1}, ValueError, "Received: .*=1.1"),
    ({"augmenters": AUGMENTERS, "in_modal_weight": float("nan")}, ValueError, "=nan"),
    ({"augmenters": AUGMENTERS, "in_modal_weight": "half"}, TypeError, "must be a number in"),
    (
        {"augmenters": AUGMENTERS, "in_modal_weight": {"image": 0.7, "text": 0.7}},
        ValueError,
        "a sum of at most 1",
    ),
    (
        {"augmenters": {"image": Shift()}, "in_modal_weight": {"text": 0.5}},
        ValueError,
        "only modalities that have a second view: image. Received: 'text'",
    ),
    ({"micro_batch_size": 0}, ValueError, "`micro_batch_size` must be `None` or a positive int"),
    ({"micro_batch_size": -1}, ValueError, "`micro_batch_size` must be"),
    ({"micro_batch_size": 2.0}, TypeError, "`micro_batch_size` must be"),
    ({"micro_batch_size": True}, TypeError, "`micro_batch_size` must be"),
    ({"teacher": 0.99}, TypeError, "`teacher` must be `None` or a .*MomentumTeacher"),
    (
        {"teacher": MomentumTeacher(), "augmenters": AUGMENTERS},
        ValueError,
        "`augmenters` must be empty if there is a `teacher`",
    ),
    (
        {"teacher": MomentumTeacher(), "hard_negatives": {"wrong": "text"}},
        ValueError,
        "`hard_negatives` must be empty if there is a `teacher`",
    ),
]


@pytest.mark.parametrize(("parts", "error", "message"), TOWERS)
def test_wrong_parts_of_towers_raise(parts, error, message):
    with pytest.raises(error, match=message):
        ContrastiveTrainer(towers(), **parts)


def test_towers_must_have_a_modality_with_a_free_name():
    with pytest.raises(ValueError, match="at least one modality"):
        ContrastiveTrainer({})
    with pytest.raises(ValueError, match="must not end in '_augmented' or '_independent'"):
        ContrastiveTrainer({"image": tower(6), "text_augmented": tower(5)})


COMPILE = [
    *(
        ({"loss": loss}, TypeError, "`loss` must be a contrastive loss")
        for loss in (None, keras.losses.MeanSquaredError(), InfoNCE, {"image": InfoNCE()})
    ),
    *(
        ({"loss": InfoNCE(reduction=reduction)}, ValueError, "`loss` must have a reduction")
        for reduction in (None, "none")
    ),
    ({"loss_weights": [2.0]}, ValueError, r"`loss_weights` must be `None`.*=\[2.0\]"),
    ({"loss_weights": {"image": 1.0}}, ValueError, "`loss_weights` must be `None`"),
    *(
        ({argument: [RecallAtK(1), metric]}, TypeError, f"`{argument}` must contain.*RecallAtK")
        for argument in ("metrics", "weighted_metrics")
        for metric in (
            abs,
            lambda ids, views: 0.0,
            RecallAtK,
            ["accuracy"],
            keras.metrics.SparseCategoricalAccuracy(),
            keras.metrics.TopKCategoricalAccuracy(),
            keras.metrics.MeanSquaredError(),
            keras.metrics.CosineSimilarity(),
            keras.metrics.Mean(),
            keras.metrics.AUC(),
            keras.metrics.MeanMetricWrapper(keras.losses.mean_squared_error, name="mine"),
        )
    ),
    *(
        ({argument: metrics}, TypeError, f"`{argument}` must be a list")
        for argument in ("metrics", "weighted_metrics")
        for metrics in (RecallAtK(1), "accuracy", {"image": [RecallAtK(1)]})
    ),
    *(
        (metrics, ValueError, "must be unique")
        for metrics in (
            {"metrics": [RecallAtK(1), RecallAtK(1)]},
            {"metrics": [RecallAtK(1)], "weighted_metrics": [RecallAtK(1)]},
            {"metrics": [RecallAtK(1, name="size")]},
            {"metrics": [RecallAtK(1, name="loss")]},
        )
    ),
]


@pytest.mark.parametrize(("arguments", "error", "message"), COMPILE)
def test_wrong_arguments_of_compile_raise(arguments, error, message):
    model = ContrastiveTrainer(towers(), regularizers=[MeanSquare(name="size")])
    with pytest.raises(error, match=message):
        model.compile("sgd", **{"loss": InfoNCE()} | arguments)


@pytest.mark.parametrize(("arguments", "error", "message"), COMPILE[5:9])
def test_a_fusion_trainer_refuses_the_same(arguments, error, message):
    with pytest.raises(error, match=message):
        fusion_trainer().compile("sgd", **{"loss": InfoNCE()} | arguments)


def test_metrics_of_the_user_are_accepted():
    class Constant(keras.metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            assert tuple(y_pred.shape) == (8, 2, 4)
            super().update_state(2.0)

    def first(ids, views):
        return views[:, 0, 0]

    model = ContrastiveTrainer(towers())
    wrapped = keras.metrics.MeanMetricWrapper(first, name="first")
    model.compile("sgd", InfoNCE(), metrics=(Constant(name="constant"), wrapped), run_eagerly=True)
    batch = {name: rows[:8] for name, rows in pairs().items()}
    logs = model.test_on_batch(batch, return_dict=True)
    assert logs["constant"] == 2
    assert logs["first"] == pytest.approx(
        float(keras.ops.mean(model(batch)["image"][:, 0])), rel=1e-5
    )


def test_soft_targets_require_info_nce():
    with pytest.raises(ValueError, match="`loss` must be `InfoNCE` if the teacher has soft"):
        trainer(NTXent(), teacher=MomentumTeacher(soft_targets=0.4))


def test_class_weights_raise_by_name_and_by_position():
    model = trainer()
    with pytest.raises(ValueError, match="`class_weight` must be `None`"):
        model.fit(pairs(), class_weight={0: 1.0}, verbose=0)
    with pytest.raises(ValueError, match="`class_weight` must be `None`"):
        model.fit(pairs(), None, 8, 1, 0, None, 0.0, None, True, {0: 1.0})


def test_fit_requires_compile():
    with pytest.raises(ValueError, match="compile"):
        ContrastiveTrainer(towers()).fit(pairs(), verbose=0)


def test_missing_inputs_are_named():
    with pytest.raises(ValueError, match="Add text"):
        trainer().fit({"image": pairs()["image"]}, verbose=0)
    with pytest.raises(TypeError, match="`x` must be a dict with the modalities image, text"):
        ContrastiveTrainer(towers())(pairs()["image"])
    with pytest.raises(ValueError, match="Add wrong_text"):
        trainer(hard_negatives={"wrong_text": "text"}).train_on_batch(pairs())
    with pytest.raises(ValueError, match="Add has_text"):
        trainer(present={"has_text": "text"}).train_on_batch(pairs())


def test_embeddings_of_different_sizes_are_reported_by_modality():
    model = ContrastiveTrainer({"image": tower(6, dim=4), "text": tower(5, dim=3)})
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    batch = {name: rows[:8] for name, rows in pairs().items()}
    with pytest.raises(ValueError, match=r"image \(8, 4\), text \(8, 3\)") as error:
        model.train_on_batch(batch)
    assert "y_pred" not in str(error.value)
    assert "Add" in str(error.value)


def test_wrong_ids_raise():
    stateful = trainer(GammaContrastive(num_items=24))
    for largest, message in ((24, "below `num_items`"), (2**31, "in "), (-1, "in ")):
        ids = np.append(np.arange(23), largest)
        with pytest.raises(ValueError, match=f"`y` must be {message}"):
            stateful.fit(pairs(), ids, verbose=0)
    with pytest.raises(TypeError, match="integer ids"):
        trainer().fit(pairs(), np.arange(24, dtype="float32"), verbose=0)


def test_rows_without_ids_must_match_the_number_of_items():
    model = trainer(GammaContrastive(num_items=23))
    with pytest.raises(ValueError, match=r"Received: num_items=23, 24 rows"):
        model.fit(pairs(), verbose=0)


def test_a_step_of_a_loss_with_items_requires_ids():
    with pytest.raises(ValueError, match="ids"):
        trainer(GammaContrastive(num_items=24)).train_on_batch(pairs())


def test_a_loss_with_state_cannot_change_its_number_of_directions():
    loss = GammaContrastive(num_items=24)
    trainer(loss)
    with pytest.raises(ValueError, match="2 directions"):
        trainer(loss, augmenters={"text": Shift()})
