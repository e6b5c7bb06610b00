"""Frozen encoders that decide which negatives are ignored, in the trainer."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.extend import Candidates
from keras_contrastive.layers import EmbeddingQueue, MomentumTeacher
from keras_contrastive.losses import InfoNCE, NTXent
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.towers import Shift, pairs, settle, tower, towers

ROWS = 12
MARGIN = ("absolute", 0.2)


def data():
    x = pairs(ROWS)
    return {**x, "wrong": np.roll(x["text"], 3, axis=0)}


def guides():
    return {"image": settle(tower(6), 7), "text": settle(tower(5), 8)}


def trainer(guides, loss=None, **kwargs):
    kwargs = {"hard_negatives": {"wrong": "text"}, **kwargs}
    model = ContrastiveTrainer(towers(), guides=guides, **kwargs)
    loss = loss or InfoNCE(0.2, ignore_above=MARGIN)
    model.compile(keras.optimizers.AdamW(0.1), loss, **COMPILE_LEAST)
    return model


def embedded(layers, x):
    names = {"image": "image", "text": "text", "wrong": "text"}
    return {
        name: ops.convert_to_numpy(layers[modality](x[name]))
        for name, modality in names.items()
        if modality in layers
    }


def expected_loss(model, x, guide_of_view):
    views, of_guides = embedded(model.encoders, x), embedded(model.guides, x)
    hard = Candidates(views.pop("wrong"), guide=of_guides["wrong"])
    by_view = {view: of_guides[guide] for view, guide in guide_of_view.items()}
    loss = InfoNCE(0.2, ignore_above=MARGIN)
    return float(loss(None, views, hard_negatives={"text": hard}, guides=by_view))


def test_guides_decide_which_negatives_are_ignored():
    model, x = trainer(guides()), data()
    found = model.evaluate(x, batch_size=ROWS, verbose=0)
    expected = expected_loss(model, x, {"image": "image", "text": "text"})
    assert found == pytest.approx(expected, rel=1e-5)
    views = embedded(model.encoders, x)
    hard = {"text": views.pop("wrong")}
    assert float(InfoNCE(0.2)(None, views, hard_negatives=hard)) > found + 1e-2


@pytest.mark.slow_to_compile
def test_one_guide_compares_the_rows_by_its_modality():
    model, x = trainer({"text": guides()["text"]}), data()
    found = model.evaluate(x, batch_size=ROWS, verbose=0)
    expected = expected_loss(model, x, {"image": "text", "text": "text"})
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow_to_compile
def test_guides_are_frozen_and_saved(tmp_path):
    x, model = data(), trainer(guides())
    model(pairs(1))
    before = [weight.numpy().copy() for weight in model.guides["text"].weights]
    assert not any(guide.trainable_variables for guide in model.guides.values())
    model.save(tmp_path / "model.keras")
    others = (
        keras.models.load_model(tmp_path / "model.keras"),
        trainer(guides(), micro_batch_size=4),
    )
    losses = [
        each.fit(x, batch_size=6, epochs=2, shuffle=False, verbose=0).history["loss"]
        for each in (model, *others)
    ]
    for other in losses[1:]:
        np.testing.assert_allclose(other, losses[0], rtol=1e-5)
    after = [ops.convert_to_numpy(weight) for weight in model.guides["text"].weights]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(new, old)
    assert set(model.predict(pairs(4), verbose=0)) == {"image", "text"}


@pytest.mark.slow_to_compile
def test_a_guide_of_one_encoder_ignores_similar_rows():
    x = pairs(ROWS)["image"]
    x[6:] = x[:6] + 1e-4  # the same images again
    guide = settle(tower(6), 7)
    model = ContrastiveTrainer(settle(tower(6)), keras.layers.GaussianNoise(0.0), guides=guide)
    model.compile("sgd", NTXent(0.2, ignore_above=("absolute", 0.01)), **COMPILE_LEAST)
    found = model.evaluate(x, np.arange(ROWS), batch_size=ROWS, verbose=0)
    right = model.evaluate(x, np.arange(ROWS) % 6, batch_size=ROWS, verbose=0)
    assert found == pytest.approx(right, rel=1e-4)
    model.compile("sgd", NTXent(0.2, ignore_above=("absolute", -5.0)), **COMPILE_LEAST)
    assert model.evaluate(x, np.arange(ROWS), batch_size=ROWS, verbose=0) > found + 1e-2


@pytest.mark.slow_to_compile
def test_absent_modalities_have_no_influence():
    x, has_text = data(), np.arange(ROWS) % 3 > 0
    found = []
    for placeholder in (np.nan, 1e3):
        x["text"][~has_text] = x["wrong"][~has_text] = placeholder
        model = trainer(guides(), present={"has_text": "text"})
        found.append(model.evaluate({**x, "has_text": has_text}, batch_size=ROWS, verbose=0))
    assert np.isfinite(found[0])
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.slow_to_compile
def test_a_row_without_the_guided_modality_ignores_nothing():
    x, has_text = data(), np.arange(ROWS) % 3 > 0
    x["text"][~has_text] = x["text"][1]  # a guide of these rows would find them equal
    model = trainer(
        {"text": guides()["text"]},
        NTXent(0.2, ignore_above=("absolute", 0.0)),
        present={"has_text": "text"},
        augmenters={"image": Shift(0.1)},
        hard_negatives={},
    )
    batches = []
    of_batch = model.loss.of_batch
    model.loss.of_batch = lambda batch, *args, **kwargs: (
        batches.append(batch) or of_batch(batch, *args, **kwargs)
    )
    del x["wrong"]
    model.run_eagerly = True
    model.test_on_batch({**x, "has_text": has_text})
    (batch,) = batches
    for view in ("image", "text", "image_augmented"):
        norms = np.linalg.norm(ops.convert_to_numpy(batch.guides[view]), axis=1)
        np.testing.assert_allclose(norms, has_text, atol=1e-5)


def test_encoders_and_guides_may_share_inputs_and_a_guide_may_serve_both():
    inputs = keras.Input((6,))
    encoder, guide = (keras.Model(inputs, keras.layers.Dense(4)(inputs)) for _ in range(2))
    model = ContrastiveTrainer(
        {"image": encoder, "other": encoder}, guides={"image": guide, "other": guide}
    )
    assert not guide.trainable_weights
    assert len(model.trainable_weights) == 2  # the encoder's


def test_wrong_guides_raise():
    own = towers()
    for wrong, error, message in (
        (tower(6), TypeError, "`guides` must be `None` or a dict of layers by modality"),
        ({"text": "bert"}, TypeError, "`guides` must be `None` or a dict of layers by modality"),
        ({"sound": tower(6)}, ValueError, "a layer for each of image, text, or for one of them"),
        ({"text": own["text"]}, ValueError, "other layers than `encoders`"),
        ({"text": keras.Sequential([own["text"]])}, ValueError, "other layers than `encoders`"),
    ):
        with pytest.raises(error, match=message):
            ContrastiveTrainer(own, guides=wrong)
    shared = keras.layers.Dense(4)
    for part in ({"projectors": {"text": shared}}, {"predictors": shared}):
        with pytest.raises(ValueError, match=f"other layers than `{next(iter(part))}`"):
            ContrastiveTrainer(own, guides={"text": keras.Sequential([shared])}, **part)
        assert shared.trainable
    with pytest.raises(TypeError, match="`guides` must be `None` or a layer"):
        ContrastiveTrainer(tower(6), keras.layers.Identity(), guides={"view_1": tower(6)})
    with pytest.raises(ValueError, match="`loss` must have `ignore_above`"):
        trainer(guides(), InfoNCE(0.2))
    queue = InfoNCE(ignore_above=MARGIN, memory=EmbeddingQueue(20, 4))
    with pytest.raises(ValueError, match="`memory` must be `None` if there are `guides`"):
        trainer(guides(), queue)
    with pytest.raises(ValueError, match=r"`guides` must have a layer.*Add a guide for text"):
        trainer({"image": guides()["image"]})
    teacher = MomentumTeacher(0.9, soft_targets=0.4)
    model = ContrastiveTrainer(towers(), teacher=teacher)
    with pytest.raises(ValueError, match="none may be ignored"):
        model.compile("sgd", InfoNCE(ignore_above=MARGIN))
