"""Which views the trainer contrasts, and with which weights."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.towers import Shift, pairs, settle, tower, towers
from tests.reference.structures import PAPER


def loss_of(views, **kwargs):
    return float(ops.convert_to_numpy(InfoNCE(**kwargs)(None, list(views))))


def compiled(model, **kwargs):
    model.compile(**{"optimizer": "sgd", "loss": InfoNCE(), "run_eagerly": True} | kwargs)
    return model


def test_two_towers_are_contrasted_with_each_other():
    x, encoders = pairs(), towers()
    expected = loss_of([encoders["image"](x["image"]), encoders["text"](x["text"])])
    assert compiled(ContrastiveTrainer(encoders)).evaluate(x, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


def test_three_towers_are_contrasted_pair_by_pair():
    x = {**pairs(), "sound": pairs(seed=1)["text"]}
    encoders = {**towers(), "sound": settle(tower(5), seed=2)}
    image, text, sound = (encoders[name](x[name]) for name in ("image", "text", "sound"))
    expected = np.mean([loss_of([image, text]), loss_of([image, sound]), loss_of([text, sound])])
    assert compiled(ContrastiveTrainer(encoders)).evaluate(x, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )


def test_every_tower_is_trained():
    x = {**pairs(), "sound": pairs(seed=1)["text"]}
    model = compiled(ContrastiveTrainer({**towers(), "sound": settle(tower(5), seed=2)}))
    before = model.get_weights()
    model.fit(x, verbose=0)
    moved = [np.abs(new - old).max() for new, old in zip(model.get_weights(), before, strict=True)]
    assert len(moved) == 12
    assert min(moved) > 0


@pytest.mark.traced
def test_training_aligns_the_towers():
    x = pairs()
    model = compiled(
        ContrastiveTrainer(towers()),
        optimizer=keras.optimizers.Adam(0.03),
        metrics=[RecallAtK(1)],
        run_eagerly=False,
    )
    before = model.evaluate(x, verbose=0, return_dict=True)
    model.fit(x, epochs=20, batch_size=12, verbose=0)
    after = model.evaluate(x, verbose=0, return_dict=True)
    assert after["loss"] < before["loss"] - 1
    assert after["recall_at_1"] > before["recall_at_1"]


def test_two_names_can_share_one_encoder():
    x = {"left": pairs()["image"], "right": pairs(seed=1)["image"]}
    shared = settle(tower(6))
    model = compiled(ContrastiveTrainer({"left": shared, "right": shared}))
    assert len(model.trainable_weights) == 4
    expected = loss_of([shared(x["left"]), shared(x["right"])])
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()


def test_one_encoder_contrasts_two_augmentations_in_training():
    x, encoder = pairs()["image"], settle(tower(6))
    model = compiled(
        ContrastiveTrainer(encoder, augmenters=Shift(0.5)), optimizer=keras.optimizers.SGD(0.0)
    )
    expected = loss_of([encoder(x + 0.5), encoder(x + 0.5)])
    assert model.fit(x, batch_size=24, verbose=0).history["loss"][0] == pytest.approx(
        expected, rel=1e-5
    )


def test_one_encoder_contrasts_x_with_an_augmentation_in_evaluation():
    x, encoder = pairs()["image"], settle(tower(6))
    expected = loss_of([encoder(x), encoder(x + 0.5)])
    model = compiled(ContrastiveTrainer(encoder, augmenters=Shift(0.5)))
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_random_augmentations_differ_between_views_and_steps():
    x = pairs()["image"]
    encoder = settle(keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)]))
    augmenter = keras.layers.GaussianNoise(1.0, seed=0)
    model = compiled(
        ContrastiveTrainer(encoder, augmenters=augmenter), optimizer=keras.optimizers.SGD(0.0)
    )
    losses = [float(model.train_on_batch(x)) for _ in range(3)]
    assert len({round(loss, 4) for loss in losses}) == 3
    same_noise = loss_of([encoder(x), encoder(x)])
    assert min(losses) > same_noise + 0.1


def test_identity_augmenter_uses_the_dropout_of_the_encoder():
    x = pairs()["image"]
    encoder = keras.Sequential([settle(tower(6)), keras.layers.Dropout(0.5, seed=0)])
    model = compiled(
        ContrastiveTrainer(encoder, augmenters=keras.layers.Identity()),
        optimizer=keras.optimizers.SGD(0.0),
    )
    assert float(model.train_on_batch(x)) > loss_of([encoder(x), encoder(x)]) + 0.1


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_in_modal_weight_weighs_contrast_within_and_between_modalities(share):
    x, encoders = pairs(), towers()
    augmenters = {"image": Shift(0.5), "text": Shift(-0.25)}
    model = compiled(ContrastiveTrainer(encoders, augmenters=augmenters, in_modal_weight=share))
    image, text = encoders["image"](x["image"]), encoders["text"](x["text"])
    image_in_modal = loss_of([image, encoders["image"](x["image"] + 0.5)], symmetric=False)
    text_in_modal = loss_of([text, encoders["text"](x["text"] - 0.25)], symmetric=False)
    expected = (1 - share) * loss_of([image, text]) + share * (image_in_modal + text_in_modal) / 2
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_in_modal_weight_can_be_a_dict_by_modality():
    x, encoders = pairs(), towers()
    augmenters = {"image": Shift(0.5), "text": Shift(-0.25)}
    model = compiled(
        ContrastiveTrainer(encoders, augmenters=augmenters, in_modal_weight={"image": 0.3})
    )
    image, text = encoders["image"](x["image"]), encoders["text"](x["text"])
    in_modal = loss_of([image, encoders["image"](x["image"] + 0.5)], symmetric=False)
    expected = 0.7 * loss_of([image, text]) + 0.3 * in_modal
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_base_loss_equals_the_example_of_the_paper():
    """Jiang et al. (2023), Eqs. 3 and 5, on the views of the reference."""
    rows = {name: np.array(value, "float32") for name, value in PAPER.items()}
    encoders = {name: keras.layers.Identity() for name in ("image", "text")}
    augmenters = {name: Shift(rows[f"{name}_augmented"] - rows[name]) for name in encoders}
    model = ContrastiveTrainer(encoders, augmenters=augmenters)
    model.compile("sgd", InfoNCE(temperature=0.1), run_eagerly=True)
    # V to T, T to V, V to augmented V, T to augmented T
    terms = [
        0.002562770849599142,
        0.0024746615117005413,
        0.0008106536940193365,
        0.017273677986664755,
    ]
    value = model.evaluate({name: rows[name] for name in encoders}, verbose=0)
    assert value == pytest.approx(np.mean(terms), rel=1e-4)


def test_only_modalities_with_an_augmenter_have_a_second_view():
    x, encoders = pairs(), towers()
    model = compiled(ContrastiveTrainer(encoders, augmenters={"text": Shift(-0.25), "image": None}))
    image, text = encoders["image"](x["image"]), encoders["text"](x["text"])
    in_modal = loss_of([text, encoders["text"](x["text"] - 0.25)], symmetric=False)
    expected = (loss_of([image, text]) + in_modal) / 2
    assert model.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_one_modality_is_contrasted_with_its_augmentation():
    x, encoder = {"image": pairs()["image"]}, settle(tower(6))
    model = ContrastiveTrainer({"image": encoder}, augmenters={"image": Shift(0.0)})
    result = compiled(model, metrics=[RecallAtK(1)]).evaluate(x, verbose=0, return_dict=True)
    assert result["loss"] == pytest.approx(loss_of([encoder(x["image"])] * 2), rel=1e-5)
    assert result["recall_at_1"] == 1.0


def test_one_modality_without_augmenter_uses_labels():
    x, labels, encoder = {"image": pairs()["image"]}, np.arange(24) % 3, settle(tower(6))
    expected = float(ops.convert_to_numpy(InfoNCE()(labels, encoder(x["image"]))))
    model = compiled(ContrastiveTrainer({"image": encoder}))
    assert model.evaluate(x, labels, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_rows_with_equal_ids_are_not_negatives():
    x, ids = pairs(), np.repeat(np.arange(12), 2)
    encoders = towers()
    views = [encoders["image"](x["image"]), encoders["text"](x["text"])]
    expected = float(ops.convert_to_numpy(InfoNCE()(ids, views)))
    model = compiled(ContrastiveTrainer(encoders))
    assert model.evaluate(x, ids, verbose=0) == pytest.approx(expected, rel=1e-5)
    assert expected < model.evaluate(x, verbose=0) - 0.01


def test_shared_projector_follows_every_encoder():
    x, encoders, projector = pairs(), towers(), settle(tower(4, dim=3), seed=5)
    model = compiled(ContrastiveTrainer(encoders, projectors=projector))
    views = [projector(encoders[name](x[name])) for name in ("image", "text")]
    assert model.evaluate(x, verbose=0) == pytest.approx(loss_of(views), rel=1e-5)
    assert len(model.trainable_weights) == 12


def test_projector_of_a_modality_follows_its_encoder():
    x, encoders = pairs(), towers()
    projectors = {"text": settle(tower(4, dim=4), seed=5)}
    model = compiled(ContrastiveTrainer(encoders, projectors=projectors))
    views = [encoders["image"](x["image"]), projectors["text"](encoders["text"](x["text"]))]
    assert model.evaluate(x, verbose=0) == pytest.approx(loss_of(views), rel=1e-5)


def test_predict_returns_projected_embeddings():
    x, encoders, projector = pairs(), towers(), settle(tower(4, dim=3), seed=5)
    predictions = ContrastiveTrainer(encoders, projectors=projector).predict(
        x, batch_size=5, verbose=0
    )
    assert list(predictions) == ["image", "text"]
    for name in ("image", "text"):
        expected = ops.convert_to_numpy(projector(encoders[name](x[name])))
        np.testing.assert_allclose(predictions[name], expected, rtol=1e-5, atol=1e-6)


def test_predict_does_not_augment():
    x, encoder = pairs()["image"], settle(tower(6))
    predictions = ContrastiveTrainer(encoder, augmenters=Shift(9.0)).predict(x, verbose=0)
    np.testing.assert_allclose(predictions, ops.convert_to_numpy(encoder(x)), rtol=1e-5, atol=1e-6)


def test_inputs_can_have_other_keys():
    x = pairs()
    model = compiled(ContrastiveTrainer(towers()))
    expected = model.evaluate(x, verbose=0)
    assert model.evaluate({**x, "row": np.arange(24)}, verbose=0) == pytest.approx(
        expected, rel=1e-6
    )


def test_trainer_can_be_a_layer_of_a_functional_model():
    x, trainer = pairs(), ContrastiveTrainer(towers())
    inputs = {"image": keras.Input((6,), name="image"), "text": keras.Input((5,), name="text")}
    wrapped = keras.Model(inputs, trainer(inputs)["text"])
    result, expected = (
        ops.convert_to_numpy(embedding) for embedding in (wrapped(x), trainer(x)["text"])
    )
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)
