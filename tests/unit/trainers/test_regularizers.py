"""Regularizers get the views by name, are reported, and are trained."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import RetrievalEvaluation
from keras_contrastive.layers import BrownianBridge, DeepFeatureSeparation, GeometricConsistency
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import Alignment, ModalityGap
from tests.helpers.backend import COMPILE_LEAST
from tests.helpers.towers import Directions, MeanSquare, Shift, pairs, settle, tower, towers


@keras.saving.register_keras_serializable(package="tests")
class Names(keras.layers.Layer):
    """Notes the names of the views, while the step is traced."""

    def penalty(self, views):
        self.seen = sorted(views)
        return 0.0


def trainer(regularizers, encoders=None, augmenters=None, learning_rate=0.1):
    model = ContrastiveTrainer(
        encoders or towers(), augmenters=augmenters, regularizers=regularizers
    )
    model.compile(keras.optimizers.SGD(learning_rate), InfoNCE(), run_eagerly=True)
    return model


def test_penalty_is_added_to_the_loss_and_reported():
    x, encoders = pairs(), towers()
    model = trainer([MeanSquare(name="size")], encoders)
    embeddings = model.predict(x, verbose=0)
    size = np.mean(np.concatenate(list(embeddings.values()), axis=1) ** 2)
    contrast = float(ops.convert_to_numpy(InfoNCE()(None, embeddings)))
    logs = model.evaluate(x, verbose=0, return_dict=True)
    assert logs == pytest.approx({"loss": contrast + size, "size": size}, rel=1e-5)


@pytest.mark.slow_to_compile
def test_penalties_are_averaged_over_batches_and_reported_in_validation():
    model = trainer([MeanSquare(name="size")], learning_rate=0.0)
    history = model.fit(
        pairs(), batch_size=12, validation_data=(pairs(seed=1), None), verbose=0
    ).history
    assert set(history) == {"loss", "size", "val_loss", "val_size"}
    assert history["size"][0] == pytest.approx(
        model.evaluate(pairs(), verbose=0, return_dict=True)["size"], rel=1e-4
    )


def test_each_regularizer_is_reported():
    logs = trainer([MeanSquare(name="size"), Directions(name="directions")]).evaluate(
        pairs(), verbose=0, return_dict=True
    )
    assert set(logs) == {"loss", "size", "directions"}


@pytest.mark.slow_to_compile
def test_gradient_of_a_penalty_reaches_its_weights():
    model = trainer([Directions(name="directions")])
    model(pairs())
    regularizer = model.regularizers[0]
    before = [ops.convert_to_numpy(weight).copy() for weight in regularizer.trainable_weights]
    first = model.fit(pairs(), verbose=0).history["directions"][0]
    last = model.fit(pairs(), epochs=5, verbose=0).history["directions"][-1]
    assert len(before) == 2
    for old, new in zip(before, regularizer.trainable_weights, strict=True):
        assert np.abs(ops.convert_to_numpy(new) - old).min() > 0
    assert last < first


def test_gradient_of_a_penalty_reaches_the_encoder():
    x, encoder = {"image": pairs()["image"], "again": pairs()["image"]}, settle(tower(6))
    sizes = []
    for regularizers in ([], [MeanSquare()]):
        model = trainer(regularizers, {"image": settle(encoder), "again": encoder})
        model.fit(x, epochs=3, verbose=0)
        sizes.append(np.square(model.predict(x, verbose=0)["image"]).mean())
    assert sizes[1] < 0.99 * sizes[0]


def test_regularizers_get_modalities_and_augmented_views():
    names = Names()
    trainer([names], augmenters={"text": Shift()}).evaluate(pairs(), verbose=0)
    assert names.seen == ["image", "text", "text_augmented"]


def test_regularizers_get_both_views_of_one_encoder():
    names = Names()
    trainer([names], settle(tower(6)), Shift()).evaluate(pairs()["image"], verbose=0)
    assert names.seen == ["view_1", "view_2"]


def test_regularizers_are_built_with_augmented_views():
    model = trainer([Directions()], augmenters={"text": Shift()})
    model(pairs())
    assert sorted(model.regularizers[0].directions) == ["image", "text", "text_augmented"]


@pytest.mark.slow_to_compile
def test_view_regularizers_report_terms_and_return_features(tmp_path):
    x, augmenters = pairs(), {"image": Shift(0.5), "text": Shift(-0.25)}
    regularizers = [
        DeepFeatureSeparation(),
        BrownianBridge(t=(0.1, 0.4)),
        GeometricConsistency(weight=0.1),
    ]
    model = ContrastiveTrainer(towers(), augmenters=augmenters, regularizers=regularizers)
    model.compile(keras.optimizers.Adam(0.01), InfoNCE(), **COMPILE_LEAST)
    history = model.fit(x, epochs=3, batch_size=12, verbose=0).history
    assert set(history) == {
        "loss",
        "deep_feature_separation",
        *(
            f"deep_feature_separation_{term}"
            for term in ("orthogonality", "contrast", "uniformity")
        ),
        "brownian_bridge",
        "geometric_consistency",
        *(
            f"geometric_consistency_{term}"
            for term in ("cross_modal", "in_modal", "augmented", "augmented_pairs")
        ),
    }
    terms = sum(history[name][0] for name in history if name.startswith("deep_feature_separation_"))
    assert history["deep_feature_separation"][0] == pytest.approx(terms, rel=1e-4)
    assert history["loss"][-1] < history["loss"][0]
    predicted = model.predict(x, verbose=0)
    assert set(predicted) == {"image", "text", "image_independent", "text_independent"}
    assert predicted["image_independent"].shape == predicted["image"].shape
    assert int(ops.convert_to_numpy(regularizers[1].step)) == 6
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.predict(x, verbose=0)
    for name, rows in predicted.items():
        np.testing.assert_allclose(again[name], rows, rtol=1e-5, atol=1e-6)
    found, expected = (one.evaluate(x, verbose=0, return_dict=True) for one in (loaded, model))
    assert found == pytest.approx(expected, rel=1e-5)


def test_penalty_equals_that_of_the_layer():
    x, encoders = pairs(), towers()
    layer = GeometricConsistency()
    model = trainer([layer], encoders, augmenters={"image": Shift(0.5)})
    views = {name: encoders[name](x[name]) for name in encoders}
    views["image_augmented"] = encoders["image"](x["image"] + 0.5)
    logs = model.evaluate(x, verbose=0, return_dict=True)
    assert logs["geometric_consistency"] == pytest.approx(
        float(ops.convert_to_numpy(layer.penalty(views))), rel=1e-5
    )


@pytest.mark.slow_to_compile
def test_separation_can_use_features_before_the_projector():
    layer = DeepFeatureSeparation(source="features", depth=1)
    projectors = {name: settle(tower(4, dim=3)) for name in ("image", "text")}
    augmenters = {"image": Shift(0.5), "text": Shift(0.5)}
    model = ContrastiveTrainer(towers(), augmenters, projectors, regularizers=[layer])
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    model.fit(pairs(), verbose=0)
    assert tuple(layer.heads["image"].layers[0].kernel.shape) == (4, 3)
    assert model.predict(pairs(), verbose=0)["image_independent"].shape == (24, 3)


def test_retrieval_ignores_independent_features():
    model = ContrastiveTrainer(towers(), regularizers=[DeepFeatureSeparation(contrast=0.0)])
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    callback = RetrievalEvaluation(pairs(), k=(1,))
    logs = model.fit(pairs(), callbacks=[callback], verbose=0).history
    assert {name for name in logs if "_to_" in name and "independent" in name} == set()
    assert any(name.startswith("image_to_text") or "image_to_text" in name for name in logs)


def test_rows_without_a_modality_have_no_influence():
    x = pairs()
    there = np.arange(24) % 3 > 0
    x["text"][~there] = 9.0
    kept = {name: rows[there] for name, rows in x.items()}
    augmenters = {"text": Shift(0.5)}
    numbers = []
    for rows, present in (({**x, "has_text": there}, {"has_text": "text"}), (kept, None)):
        regularizers = [
            GeometricConsistency(name="geometry"),
            BrownianBridge(name="bridge"),
            DeepFeatureSeparation(uniformity=0.0, name="separation"),
        ]
        model = ContrastiveTrainer(
            towers(),
            augmenters,
            regularizers=regularizers,
            present=present,
            in_modal_weight=0.0,
        )
        model.compile("sgd", InfoNCE(symmetric=False, reduction="sum"), run_eagerly=True)
        model(rows)
        for regularizer in regularizers:
            settle(regularizer)
        numbers.append(model.evaluate(rows, verbose=0, return_dict=True))
    # An image without a text is separated all the same, from its own features.
    some = [
        name
        for name in numbers[0]
        if name.startswith(("bridge", "geometry")) or name.endswith("contrast")
    ]
    assert {name: numbers[0][name] for name in some} == pytest.approx(
        {name: numbers[1][name] for name in some}, rel=1e-4
    )
    # Without its text an image is no anchor, and its text no candidate.
    penalties = ("bridge", "geometry", "separation")
    contrast = [each["loss"] - sum(each[name] for name in penalties) for each in numbers]
    assert contrast[0] == pytest.approx(contrast[1], rel=1e-3)


def test_metrics_use_rows_with_all_modalities():
    x = pairs()
    there = np.arange(24) % 3 > 0
    x["text"][~there] = 9.0
    numbers = []
    for rows, present in (
        ({**x, "has_text": there}, {"has_text": "text"}),
        ({k: v[there] for k, v in x.items()}, None),
    ):
        model = ContrastiveTrainer(towers(), present=present)
        metrics, weighted = [ModalityGap(), Alignment()], [Alignment(name="weighted")]
        model.compile(
            "sgd", InfoNCE(), metrics=metrics, weighted_metrics=weighted, run_eagerly=True
        )
        weights = np.linspace(0.5, 2, 24)[there if present is None else slice(None)]
        logs = model.evaluate(
            rows, sample_weight=weights, batch_size=24, verbose=0, return_dict=True
        )
        numbers.append({name: logs[name] for name in ("modality_gap", "alignment", "weighted")})
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-5)
