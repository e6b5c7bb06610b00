"""What holds for all measures of a pass, each against its reference: batches, weights, `fit`, saving."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import metrics
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import (
    Alignment,
    EffectiveRank,
    EmbeddingStd,
    ModalityGap,
    Uniformity,
)
from tests.helpers.backend import COMPILE_MOST, compiled, to_numpy
from tests.helpers.stateful import trainer
from tests.helpers.towers import pairs
from tests.helpers.views import IDS, WEIGHTS, measure, noisy_views
from tests.reference import spread


def whole(reference, **options):
    """A reference that does not see batches, as a function of `(views, ids, weights)` of each."""

    def of_batches(batches):
        views = [
            np.concatenate(parts) for parts in zip(*(views for views, _, _ in batches), strict=True)
        ]
        weights = [
            np.ones(len(views[0])) if weights is None else weights for views, _, weights in batches
        ]
        return reference(views, weights=np.concatenate(weights), **options)

    return of_batches


# Makers, and what the metric is after batches.
CASES = {
    "gap": (ModalityGap, whole(spread.modality_gap)),
    "alignment": (Alignment, whole(spread.alignment)),
    "alignment_1": (
        lambda **kwargs: Alignment(alpha=1, **kwargs),
        whole(spread.alignment, alpha=1),
    ),
    "alignment_3": (
        lambda **kwargs: Alignment(alpha=3, **kwargs),
        whole(spread.alignment, alpha=3),
    ),
    "uniformity": (Uniformity, spread.uniformity),
    "uniformity_half": (
        lambda **kwargs: Uniformity(t=0.5, **kwargs),
        lambda b: spread.uniformity(b, t=0.5),
    ),
    "std": (EmbeddingStd, whole(spread.embedding_std)),
    "rank": (EffectiveRank, whole(spread.effective_rank)),
    "rank_1": (
        lambda **kwargs: EffectiveRank(order=1, **kwargs),
        whole(spread.effective_rank, order=1),
    ),
}
every_metric = pytest.mark.parametrize(("make", "reference"), CASES.values(), ids=CASES)
NEAR = {"rel": 1e-5, "abs": 1e-5}


def near(value):
    return pytest.approx(value, **NEAR)


def made():
    return [make(name=name) for name, (make, _) in CASES.items()]


def test_every_metric_of_a_pass_has_a_case():
    public = {getattr(metrics, name) for name in metrics.__all__}
    assert {type(metric) for metric in made()} == public - {metrics.RecallAtK, metrics.ViewMetric}


@every_metric
@pytest.mark.parametrize("form", ["stack", "dict", "list", "tuple"])
@pytest.mark.parametrize("num_views", [2, 3])
def test_every_form_of_views(rng, make, reference, num_views, form):
    views = noisy_views(rng, num_views)
    y_pred = {
        "stack": np.stack(views, axis=1),
        "dict": {f"view {i}": view for i, view in enumerate(views)},
        "list": views,
        "tuple": tuple(views),
    }[form]
    assert measure(make(), (None, y_pred)) == near(reference([(views, None, None)]))


@every_metric
def test_target_embeddings_are_the_second_view(rng, make, reference):
    views = noisy_views(rng)
    assert measure(make(), (views[1], views[0])) == near(reference([(views, None, None)]))


@every_metric
def test_ids_never_make_a_row_another_item(rng, make, reference):
    views = noisy_views(rng, 3)
    assert measure(make(), (IDS, views)) == near(reference([(views, IDS, None)]))


@every_metric
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_sample_weight(rng, make, reference, shape):
    views = noisy_views(rng, 3)
    value = reference([(views, IDS, WEIGHTS)])
    assert value != near(reference([(views, IDS, None)]))
    assert measure(make(), (IDS, views, WEIGHTS.reshape(shape))) == near(value)


@every_metric
def test_a_row_without_weight_is_not_there(rng, make, reference):
    views = noisy_views(rng)
    some = WEIGHTS > 0
    without = measure(make(), (None, [view[some] for view in views], WEIGHTS[some]))
    assert measure(make(), (None, views, WEIGHTS)) == near(without)


@every_metric
def test_batches_of_unequal_size(rng, make, reference):
    batches = [(noisy_views(rng, rows=7), IDS, WEIGHTS), (noisy_views(rng, rows=1), None, None)]
    batches += [
        (noisy_views(rng, rows=4, noise=2), None, None),
        (noisy_views(rng, rows=2), np.array([3, 3]), None),
    ]
    metric = make()
    value = measure(metric, *((ids, views, weights) for views, ids, weights in batches))
    assert value == near(reference(batches))
    metric.reset_state()
    assert measure(metric) == 0.0
    assert measure(metric, (None, batches[2][0])) == near(reference(batches[2:3]))


@every_metric
def test_nothing_was_seen(make, reference):
    assert measure(make()) == 0.0


@every_metric
def test_nothing_weighs(rng, make, reference):
    assert measure(make(), (None, noisy_views(rng), np.zeros(7, "float32"))) == 0.0


@every_metric
def test_dead_embeddings_are_finite(make, reference):
    assert np.isfinite(measure(make(), (None, [np.zeros((4, 3), "float32")] * 2)))


@every_metric
def test_one_row_is_finite(rng, make, reference):
    assert np.isfinite(measure(make(), (None, noisy_views(rng, rows=1))))


@every_metric
def test_length_of_the_embeddings_does_not_matter(rng, make, reference):
    views = noisy_views(rng)
    lengths = np.array([1e-9, 1e9, 1, 10, 100, 1e-3, 1e20], "float32")[:, None]
    assert measure(make(), (None, [views[0] * lengths, views[1]])) == near(
        measure(make(), (None, views))
    )


@every_metric
def test_order_of_rows_and_of_views_does_not_matter(rng, make, reference):
    views, order = noisy_views(rng, 3), rng.permutation(7)
    shuffled = [views[i][order] for i in (2, 0, 1)]
    assert measure(make(), (IDS[order], shuffled)) == near(measure(make(), (IDS, views)))


@every_metric
def test_half_precision_embeddings_are_measured_in_float32(rng, make, reference):
    views = [ops.cast(view, "bfloat16") for view in noisy_views(rng)]
    exact = [to_numpy(ops.cast(view, "float32")) for view in views]
    assert measure(make(), (None, views)) == near(reference([(exact, None, None)]))


@every_metric
def test_dtype_is_that_of_the_result(rng, make, reference):
    views = noisy_views(rng)
    metric = make(dtype="float16")
    metric.update_state(None, views)
    assert keras.backend.standardize_dtype(metric.result().dtype) == "float16"
    assert float(metric.result()) == pytest.approx(reference([(views, None, None)]), rel=3e-3)


@every_metric
def test_a_compiled_step_measures_the_same(rng, make, reference):
    views, more = noisy_views(rng), noisy_views(rng, rows=3)
    metric = make()
    metric.update_state(IDS, views)  # the state is there before a program is traced
    metric.reset_state()
    state = [ops.convert_to_tensor(variable) for variable in metric.variables]
    update = compiled(lambda ids, stacked: metric.stateless_update_state(state, ids, stacked))
    after = update(
        ops.convert_to_tensor(IDS.astype("int32")), ops.convert_to_tensor(np.stack(views, axis=1))
    )
    assert float(metric.stateless_result(after)) == near(reference([(views, IDS, None)]))
    again = update(
        ops.convert_to_tensor(np.arange(3, dtype="int32")),
        ops.convert_to_tensor(np.stack(more, axis=1)),
    )
    assert float(metric.stateless_result(again)) == near(reference([(more, None, None)]))


@every_metric
def test_config_round_trip(make, reference):
    metric = make(name="mine", dtype="float16")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert (copy.name, copy.dtype) == ("mine", "float16")
    assert copy.get_config() == metric.get_config()


@pytest.mark.parametrize("make", [ModalityGap, Uniformity, EmbeddingStd, EffectiveRank])
def test_views_of_another_shape_are_refused(rng, make):
    metric = make()
    metric.update_state(None, noisy_views(rng))
    for others in (noisy_views(rng, 3), noisy_views(rng, dim=5)):
        with pytest.raises(
            ValueError, match=r"views of one number and dimension. Received: \(views, dim\)="
        ):
            metric.update_state(None, others)


@pytest.mark.parametrize("make", [Uniformity, EmbeddingStd, EffectiveRank])
def test_one_view_with_labels(rng, make):
    (rows,) = noisy_views(rng, 1)
    reference = dict(CASES.values())[make]
    assert measure(make(), (IDS, rows)) == near(reference([([rows], IDS, None)]))


# In `fit` and `evaluate`


def batches_of(x, batch_size, model, ids=None, weights=None):
    """What the metrics of a trained model see."""
    embeddings = [np.asarray(view) for view in model.predict(x, verbose=0).values()]
    rows = len(embeddings[0])
    cuts = [slice(start, start + batch_size) for start in range(0, rows, batch_size)]
    return [
        (
            [e[cut] for e in embeddings],
            None if ids is None else ids[cut],
            None if weights is None else weights[cut],
        )
        for cut in cuts
    ]


def expected(batches):
    return {name: near(reference(batches)) for name, (_, reference) in CASES.items()}


def reported(logs, prefix=""):
    return {name: logs[prefix + name] for name in CASES}


def test_evaluate_reports_the_whole_pass():
    x, ids = pairs(), np.arange(24, dtype="int32") // 2
    model = trainer(InfoNCE(), metrics=made())
    for batch_size in (7, 24):  # with and without a last batch of another size
        logs = model.evaluate(x, ids, batch_size=batch_size, verbose=0, return_dict=True)
        assert reported(logs) == expected(batches_of(x, batch_size, model, ids))


@pytest.mark.parametrize("options", [{}, COMPILE_MOST], ids=["auto", "compiled"])
def test_fit_and_validation_report_the_whole_pass(options):
    x, held_out = pairs(), pairs(rows=10, seed=1)
    model = trainer(InfoNCE(), learning_rate=0.0, metrics=made(), **options)
    history = model.fit(
        x,
        batch_size=6,
        epochs=2,
        shuffle=False,
        verbose=0,
        validation_data=(held_out, None),
        validation_batch_size=5,
    ).history
    for epoch in range(2):
        logs = {name: values[epoch] for name, values in history.items()}
        assert reported(logs) == expected(batches_of(x, 6, model))
        assert reported(logs, "val_") == expected(batches_of(held_out, 5, model))


def test_weighted_metrics():
    x, weights = pairs(), np.linspace(0, 2, 24).astype("float32")
    model = trainer(InfoNCE(), weighted_metrics=made())
    logs = model.evaluate(x, sample_weight=weights, batch_size=9, verbose=0, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 9, model, None, weights))


def test_a_loaded_model_goes_on_measuring(tmp_path):
    x = pairs()
    model = trainer(InfoNCE(), metrics=made())
    model.fit(x, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    logs = loaded.evaluate(x, batch_size=8, verbose=0, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 8, model))
    loaded.optimizer.learning_rate = 0.0
    history = loaded.fit(x, batch_size=7, shuffle=False, verbose=0).history
    assert reported({name: values[0] for name, values in history.items()}) == expected(
        batches_of(x, 7, loaded)
    )


def test_single_steps():
    x = pairs()
    model = trainer(InfoNCE(), learning_rate=0.0, metrics=made())
    for _ in range(2):
        logs = model.train_on_batch(x, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 24, model) * 2)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    x = pairs()
    model = trainer(InfoNCE(), metrics=made())
    logs = model.evaluate(x, batch_size=7, verbose=0, return_dict=True)
    embeddings = model.predict(x, verbose=0).values()
    batches = [([to_numpy(ops.cast(e, "float32")) for e in embeddings], None, None)]
    for name, (_, reference) in CASES.items():
        if not name.startswith("uniformity"):  # which depends on the batches
            # A compiled step keeps more digits than bfloat16's three between the tower and the metric.
            assert logs[name] == pytest.approx(reference(batches), rel=2e-2, abs=2e-2)


def test_a_plain_model_reports_them(rng):
    x, y = noisy_views(rng)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), InfoNCE(), metrics=made())
    batches = [([x[:4], y[:4]], None, None), ([x[4:], y[4:]], None, None)]
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history
    assert reported({name: values[0] for name, values in history.items()}) == expected(batches)
    assert reported(model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)) == expected(
        batches
    )


def test_built_before_the_first_step_nothing_is_added(rng):
    metric = EffectiveRank()
    metric.build((None, 2, 4))
    variables = list(metric.variables)
    assert measure(metric) == 0.0
    metric.update_state(None, noisy_views(rng))
    assert [id(variable) for variable in metric.variables] == [
        id(variable) for variable in variables
    ]
