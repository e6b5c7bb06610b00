"""Promises of all metrics of views: reference, batches, weights, `fit`, saving."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import metrics
from keras_contrastive._engine import Batch, normalize
from keras_contrastive.losses import InfoNCE
from keras_contrastive.metrics import (
    Alignment,
    EffectiveNegatives,
    EffectiveRank,
    EmbeddingStd,
    HardestNegative,
    ModalityGap,
    PositiveSimilarity,
    RecallAtK,
    Uniformity,
    ViewMetric,
)
from tests.helpers.backend import COMPILE_MOST, compiled, to_numpy
from tests.helpers.stateful import trainer
from tests.helpers.towers import pairs
from tests.helpers.views import IDS, WEIGHTS, measure, noisy_views
from tests.reference import pairs as reference_pairs
from tests.reference import recall, spread


@dataclasses.dataclass(frozen=True)
class Case:
    """A metric and its reference.

    Args:
        metric: The class.
        reference: Function of a list of batches `(views, ids, weights)`.
        options: Arguments of the constructor.
        depends_on_batches: Whether only rows of the same batch are compared.
    """

    metric: type
    reference: Callable
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    depends_on_batches: bool = False

    def make(self, **kwargs):
        return self.metric(**self.options, **kwargs)


def of_all_rows(reference, **options):
    """Returns a reference of batches from a reference of all views and weights."""

    def of_batches(batches):
        views = [np.concatenate(parts) for parts in zip(*(b[0] for b in batches), strict=True)]
        weights = [np.ones(len(b[0][0])) if b[2] is None else b[2] for b in batches]
        return reference(views, weights=np.concatenate(weights), **options)

    return of_batches


CASES = {
    "gap": Case(ModalityGap, of_all_rows(spread.modality_gap)),
    "alignment": Case(Alignment, of_all_rows(spread.alignment)),
    "alignment_1": Case(Alignment, of_all_rows(spread.alignment, alpha=1), {"alpha": 1}),
    "uniformity": Case(Uniformity, spread.uniformity, depends_on_batches=True),
    "uniformity_half": Case(
        Uniformity,
        lambda batches: spread.uniformity(batches, t=0.5),
        {"t": 0.5},
        depends_on_batches=True,
    ),
    "std": Case(EmbeddingStd, of_all_rows(spread.embedding_std)),
    "rank": Case(EffectiveRank, of_all_rows(spread.effective_rank)),
    "rank_1": Case(EffectiveRank, of_all_rows(spread.effective_rank, order=1), {"order": 1}),
    "positive": Case(PositiveSimilarity, reference_pairs.positive_similarity),
    "hardest": Case(HardestNegative, reference_pairs.hardest_negative, depends_on_batches=True),
    "negatives": Case(
        EffectiveNegatives,
        lambda batches: reference_pairs.effective_negatives(batches, temperature=0.2),
        {"temperature": 0.2},
        depends_on_batches=True,
    ),
    "recall": Case(RecallAtK, recall.recall_of_batches, depends_on_batches=True),
}
every_metric = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def near(value):
    return pytest.approx(value, rel=1e-5, abs=1e-5)


def all_metrics():
    return [case.make(name=name) for name, case in CASES.items()]


def test_every_metric_of_views_has_a_case():
    public = {getattr(metrics, name) for name in metrics.__all__}
    # The answer metric compares words, not views.
    assert {case.metric for case in CASES.values()} == {
        metric for metric in public - {ViewMetric} if metric.__name__ != "AnswerAccuracy"
    }


@every_metric
@pytest.mark.parametrize(
    ("num_views", "form"),
    [
        (2, lambda views: dict(zip(("image", "text"), views, strict=True))),
        (3, lambda views: np.stack(views, axis=1)),
    ],
    ids=["dict", "stack"],
)
def test_value_equals_the_reference(rng, case, num_views, form):
    views = noisy_views(rng, num_views)
    assert measure(case.make(), (IDS, form(views))) == near(case.reference([(views, IDS, None)]))


@every_metric
def test_target_embeddings_are_the_second_view(rng, case):
    views = noisy_views(rng)
    assert measure(case.make(), (views[1], views[0])) == near(case.reference([(views, None, None)]))


@every_metric
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_sample_weight(rng, case, shape):
    views = noisy_views(rng, 3, noise=1.5)
    value = case.reference([(views, IDS, WEIGHTS)])
    assert value != near(case.reference([(views, IDS, None)]))
    assert measure(case.make(), (IDS, views, WEIGHTS.reshape(shape))) == near(value)


@every_metric
def test_row_without_weight_is_ignored(rng, case):
    views, some = noisy_views(rng), WEIGHTS > 0
    value = measure(case.make(), (None, [view[some] for view in views], WEIGHTS[some]))
    assert measure(case.make(), (None, views, WEIGHTS)) == near(value)


@pytest.mark.slow_to_compile
@every_metric
def test_batches_of_different_sizes(rng, case):
    batches = [
        (noisy_views(rng), IDS, WEIGHTS),
        (noisy_views(rng, rows=1), None, None),
        (noisy_views(rng, rows=4, noise=2), None, None),
    ]
    metric = case.make()
    value = measure(metric, *((ids, views, weights) for views, ids, weights in batches))
    assert value == near(case.reference(batches))
    metric.reset_state()
    assert measure(metric) == 0.0
    assert measure(metric, (None, batches[2][0])) == near(case.reference(batches[2:]))


@every_metric
def test_update_batch_equals_update_state(rng, case):
    views = dict(zip(("image", "text"), noisy_views(rng), strict=True))
    metric = case.make()
    metric.update_batch(Batch.from_targets(IDS, views), WEIGHTS)
    assert float(metric.result()) == measure(case.make(), (IDS, views, WEIGHTS))


def test_metrics_share_the_normalized_views_of_a_batch(rng, monkeypatch):
    batch, calls = Batch.from_targets(None, noisy_views(rng)), []
    monkeypatch.setattr(
        "keras_contrastive._engine.batch.normalize", lambda x: calls.append(x) or normalize(x)
    )
    for metric in all_metrics():
        metric.update_batch(batch)
    assert len(calls) == 2  # one per view


@every_metric
def test_value_is_zero_without_rows_and_without_weight(rng, case):
    assert measure(case.make()) == 0.0
    assert measure(case.make(), (None, noisy_views(rng), np.zeros(7, "float32"))) == 0.0


@every_metric
def test_zero_rows_and_single_rows_are_finite(rng, case):
    assert np.isfinite(measure(case.make(), (None, [np.zeros((7, 4), "float32")] * 2)))
    assert np.isfinite(measure(case.make(), (None, noisy_views(rng, rows=1))))


@every_metric
def test_length_of_embeddings_does_not_matter(rng, case):
    views = noisy_views(rng)
    lengths = np.array([1e-9, 1e9, 1, 10, 100, 1e-3, 1e20], "float32")[:, None]
    scaled = measure(case.make(), (None, [views[0] * lengths, views[1]]))
    assert scaled == near(measure(case.make(), (None, views)))


@every_metric
def test_order_of_rows_and_views_does_not_matter(rng, case):
    views, order = noisy_views(rng, 3), rng.permutation(7)
    shuffled = [views[i][order] for i in (2, 0, 1)]
    assert measure(case.make(), (IDS[order], shuffled)) == near(measure(case.make(), (IDS, views)))


@every_metric
def test_half_precision_embeddings_are_measured_in_float32(rng, case):
    views = [ops.cast(view, "bfloat16") for view in noisy_views(rng)]
    exact = [to_numpy(ops.cast(view, "float32")) for view in views]
    assert measure(case.make(), (None, views)) == near(case.reference([(exact, None, None)]))


@every_metric
def test_dtype_is_the_dtype_of_the_result(rng, case):
    views = noisy_views(rng)
    metric = case.make(dtype="float16")
    metric.update_state(None, views)
    assert keras.backend.standardize_dtype(metric.result().dtype) == "float16"
    assert float(metric.result()) == pytest.approx(case.reference([(views, None, None)]), rel=3e-3)


@every_metric
def test_compiled_update_equals_the_reference(rng, case):
    views = noisy_views(rng, noise=1.5)
    metric = case.make()
    if isinstance(metric, ViewMetric):
        metric.build((None, 2, 4))
    state = [ops.convert_to_tensor(variable) for variable in metric.variables]
    update = compiled(lambda ids, stacked: metric.stateless_update_state(state, ids, stacked))
    after = update(
        ops.convert_to_tensor(IDS.astype("int32")), ops.convert_to_tensor(np.stack(views, axis=1))
    )
    assert float(metric.stateless_result(after)) == near(case.reference([(views, IDS, None)]))


@every_metric
def test_config_round_trip(case):
    metric = case.make(name="mine", dtype="float16")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(copy) is type(metric)
    assert (copy.name, copy.dtype) == ("mine", "float16")
    assert copy.get_config() == metric.get_config()
    assert metric.get_config().items() >= case.options.items()


VIEW_METRICS = [ModalityGap, Uniformity, EmbeddingStd, EffectiveRank]


@pytest.mark.parametrize("metric", VIEW_METRICS)
def test_views_of_another_shape_raise(rng, metric):
    metric = metric()
    metric.update_state(None, noisy_views(rng))
    for others in (noisy_views(rng, 3), noisy_views(rng, dim=5)):
        with pytest.raises(ValueError, match=r"must not change. Received: \(views, dim\)="):
            metric.update_state(None, others)


@pytest.mark.parametrize("name", ["uniformity", "std", "rank", "positive", "hardest", "negatives"])
def test_one_view_with_labels(rng, name):
    (rows,) = noisy_views(rng, 1)
    case = CASES[name]
    assert measure(case.make(), (IDS, rows)) == near(case.reference([([rows], IDS, None)]))


@every_metric
def test_one_view_without_labels_raises(rng, case):
    with pytest.raises(ValueError, match="single view without ids"):
        case.make().update_state(None, noisy_views(rng, 1)[0])


# In `fit` and `evaluate`


def batches_of(x, batch_size, model, ids=None, weights=None):
    """Returns the batches `(views, ids, weights)` that the metrics of a trained model get."""
    embeddings = [np.asarray(view) for view in model.predict(x, verbose=0).values()]
    starts = range(0, len(embeddings[0]), batch_size)
    return [
        (
            [view[start : start + batch_size] for view in embeddings],
            None if ids is None else ids[start : start + batch_size],
            None if weights is None else weights[start : start + batch_size],
        )
        for start in starts
    ]


def expected(batches):
    return {name: near(case.reference(batches)) for name, case in CASES.items()}


def reported(logs, prefix=""):
    return {name: logs[prefix + name] for name in CASES}


def last_epoch(history):
    return {name: values[-1] for name, values in history.history.items()}


WEIGHTED = ["alignment", "uniformity", "std", "negatives", "recall"]


@pytest.fixture(scope="module")
def trained():
    """A trainer with all metrics and some weighted metrics. Its weights do not change."""
    weighted = [CASES[name].make(name=f"weighted_{name}") for name in WEIGHTED]
    return trainer(InfoNCE(), learning_rate=0.0, metrics=all_metrics(), weighted_metrics=weighted)


def test_evaluate_reports_the_whole_pass(trained):
    x, ids = pairs(), np.arange(24, dtype="int32") // 2
    logs = trained.evaluate(x, ids, batch_size=7, verbose=0, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 7, trained, ids))


def test_weighted_metrics(trained):
    x, weights = pairs(), np.linspace(0, 2, 24).astype("float32")
    logs = trained.evaluate(x, sample_weight=weights, batch_size=12, verbose=0, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 12, trained))
    batches = batches_of(x, 12, trained, None, weights)
    for name in WEIGHTED:
        assert logs[f"weighted_{name}"] == near(CASES[name].reference(batches))


def test_fit_and_validation_report_the_whole_pass(trained):
    x, held_out = pairs(), pairs(rows=10, seed=1)
    arguments = {"validation_data": (held_out, None), "validation_batch_size": 7}
    history = trained.fit(x, batch_size=12, epochs=2, shuffle=False, verbose=0, **arguments)
    assert reported(last_epoch(history)) == expected(batches_of(x, 12, trained))
    assert reported(last_epoch(history), "val_") == expected(batches_of(held_out, 7, trained))


@pytest.mark.traced
def test_compiled_fit_reports_the_whole_pass():
    x = pairs()
    model = trainer(InfoNCE(), learning_rate=0.0, metrics=all_metrics(), **COMPILE_MOST)
    history = model.fit(x, batch_size=12, shuffle=False, verbose=0)
    assert reported(last_epoch(history)) == expected(batches_of(x, 12, model))


def test_loaded_model_reports_metrics(trained, tmp_path):
    trained.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = pairs()
    logs = loaded.evaluate(x, batch_size=12, verbose=0, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 12, trained))


def test_single_steps(trained):
    x = pairs(rows=7)
    trained.reset_metrics()
    for _ in range(2):
        logs = trained.test_on_batch(x, return_dict=True)
    assert reported(logs) == expected(batches_of(x, 7, trained) * 2)


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    x = pairs()
    model = trainer(InfoNCE(), metrics=all_metrics())
    logs = model.evaluate(x, batch_size=12, verbose=0, return_dict=True)
    embeddings = model.predict(x, verbose=0).values()
    batches = [([to_numpy(ops.cast(e, "float32")) for e in embeddings], None, None)]
    for name, case in CASES.items():
        if not case.depends_on_batches:
            # A compiled step may keep more than the three digits of bfloat16 before the metric.
            assert logs[name] == pytest.approx(case.reference(batches), rel=2e-2, abs=2e-2)


def test_plain_model_reports_metrics(rng):
    x, y = noisy_views(rng, rows=8)
    inputs = keras.Input((4,))
    outputs = keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(0.0), InfoNCE(), metrics=all_metrics())
    batches = [([x[:4], y[:4]], None, None), ([x[4:], y[4:]], None, None)]
    history = model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    assert reported(last_epoch(history)) == expected(batches)


def test_build_creates_all_variables(rng):
    metric = EffectiveRank()
    metric.build((None, 2, 4))
    variables = [id(variable) for variable in metric.variables]
    assert measure(metric) == 0.0
    metric.update_state(None, noisy_views(rng))
    assert [id(variable) for variable in metric.variables] == variables
