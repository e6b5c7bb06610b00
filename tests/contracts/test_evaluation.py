"""Promises of all evaluation functions and callbacks."""

import dataclasses
import inspect
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer, evaluation
from keras_contrastive.evaluation import (
    CorpusEvaluation,
    KNNProbe,
    LinearProbe,
    ProbeEvaluation,
    RetrievalEvaluation,
    ZeroShotEvaluation,
    knn_probe,
    linear_probe,
    retrieval,
    zero_shot,
)
from keras_contrastive.losses import InfoNCE
from tests.helpers import towers

ROWS, NEW_ROWS, CLASSES = 24, 12, 3
LABELS = np.arange(ROWS) % CLASSES


@dataclasses.dataclass(frozen=True)
class Case:
    """An evaluation function.

    Args:
        function: The function.
        names: Names of its arguments: embeddings, their ids or labels, and the embeddings that they
            are compared with.
        arguments: Function from a random generator to arguments.
        measures: Names of the results.
        ignores_length: Whether embeddings are normalized.
    """

    function: Callable
    names: tuple[str, str, str]
    arguments: Callable
    measures: tuple[str, ...]
    ignores_length: bool = True


def clusters(rng, rows=ROWS, dim=5):
    centers = 2 * np.random.default_rng(9).normal(size=(CLASSES, dim))
    return (centers[LABELS[:rows]] + rng.normal(size=(rows, dim))).astype("float32")


def retrieval_arguments(rng):
    ids = np.arange(ROWS) // 2
    return {
        "queries": clusters(rng),
        "corpus": clusters(rng),
        "query_ids": ids,
        "corpus_ids": ids,
        "k": (1, 3),
    }


def zero_shot_arguments(rng):
    return {
        "embeddings": clusters(rng),
        "labels": LABELS,
        "classes": np.random.default_rng(9).normal(size=(CLASSES, 5)),
        "k": (1, 2),
    }


def probe_arguments(rng):
    return {
        "train_features": clusters(rng),
        "train_labels": LABELS,
        "test_features": clusters(rng, NEW_ROWS),
        "test_labels": LABELS[:NEW_ROWS],
        "k": (1, 2),
    }


def with_errors(*names):
    return tuple(part for name in names for part in (name, f"{name}_error"))


ACCURACIES = ("top_1_accuracy", "top_2_accuracy", "mean_class_accuracy")
PROBE_NAMES = ("test_features", "test_labels", "train_features")
CASES = {
    "retrieval": Case(
        retrieval,
        ("queries", "query_ids", "corpus"),
        retrieval_arguments,
        (
            *with_errors("hit_rate_at_1", "hit_rate_at_3", "recall_at_1", "recall_at_3"),
            *("median_rank", "mrr", "mrr_error"),
        ),
    ),
    "zero_shot": Case(
        zero_shot,
        ("embeddings", "labels", "classes"),
        zero_shot_arguments,
        ACCURACIES,
    ),
    "knn_probe": Case(knn_probe, PROBE_NAMES, probe_arguments, ACCURACIES),
    "linear_probe": Case(
        linear_probe,
        PROBE_NAMES,
        probe_arguments,
        (*ACCURACIES, "cross_entropy"),
        ignores_length=False,
    ),
}
every_function = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def test_each_public_function_and_callback_has_a_case():
    public = [getattr(evaluation, name) for name in evaluation.__all__]
    functions = {value for value in public if inspect.isfunction(value)}
    # Those that return other values than measures of embeddings.
    others = {evaluation.compare, evaluation.mine_hard_negatives, evaluation.search}
    assert {case.function for case in CASES.values()} == functions - others
    callbacks = {
        value for value in public if inspect.isclass(value) and issubclass(value, CorpusEvaluation)
    }
    cases = {type(make(towers.pairs())) for make in CALLBACKS.values()}
    assert cases == callbacks - {CorpusEvaluation, ProbeEvaluation}


# Functions


@every_function
def test_measures_are_floats_with_the_documented_names(case, rng):
    results = case.function(**case.arguments(rng))
    assert tuple(results) == case.measures
    assert {type(value) for value in results.values()} == {float}


@every_function
def test_tile_shape_does_not_change_results(case, rng, tile_shape):
    arguments = case.arguments(rng)
    expected = case.function(**arguments)
    tile_shape((6, 8))
    assert case.function(**arguments) == expected


@every_function
def test_order_of_rows_does_not_change_results(case, rng):
    arguments, order = case.arguments(rng), rng.permutation(NEW_ROWS)
    embeddings, ids, _ = case.names
    arguments |= {name: arguments[name][:NEW_ROWS] for name in (embeddings, ids)}
    shuffled = arguments | {name: arguments[name][order] for name in (embeddings, ids)}
    assert case.function(**shuffled) == pytest.approx(case.function(**arguments))


@every_function
def test_length_of_embeddings(case, rng):
    arguments = case.arguments(rng)
    scaled = arguments | {name: 1e-3 * arguments[name] for name in case.names[::2]}
    same = case.function(**scaled) == pytest.approx(case.function(**arguments))
    assert same == case.ignores_length


@every_function
def test_tensors_and_lists_are_accepted(case, rng):
    arguments = case.arguments(rng)
    embeddings, ids, others = case.names
    converted = {name: ops.convert_to_tensor(arguments[name]) for name in (embeddings, others)}
    converted[ids] = arguments[ids].tolist()
    # Zero-shot class embeddings are float64 in NumPy, and float32 as a tensor on some backends.
    assert case.function(**arguments | converted) == pytest.approx(case.function(**arguments))


@every_function
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_narrow_arrays_are_computed_in_float32(case, rng, dtype, as_tensor):
    arguments, narrow = case.arguments(rng), pytest.importorskip("ml_dtypes").bfloat16
    dtype = narrow if dtype == "bfloat16" else dtype
    for name in case.names[::2]:
        # A common offset, which normalized bfloat16 embeddings cannot hold.
        arguments[name] = (np.asarray(arguments[name]) + 10).astype(dtype)
    wide = {name: arguments[name].astype("float32") for name in case.names[::2]}
    if as_tensor:
        arguments |= {name: ops.convert_to_tensor(arguments[name]) for name in case.names[::2]}
    assert case.function(**arguments) == pytest.approx(case.function(**arguments | wide))


@every_function
@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64"])
def test_integers_are_numbers(case, rng, dtype):
    arguments = case.arguments(rng)
    rounded = {name: np.round(np.abs(5 * arguments[name])) for name in case.names[::2]}
    integers = {name: values.astype(dtype) for name, values in rounded.items()}
    integers[case.names[1]] = arguments[case.names[1]].astype(dtype)
    expected = case.function(**arguments | rounded)
    assert case.function(**arguments | integers) == pytest.approx(expected)


@every_function
def test_equal_embeddings_are_errors(case, rng):
    arguments = case.arguments(rng)
    equal = {name: np.ones_like(arguments[name]) for name in case.names[::2]}
    results = case.function(**arguments | equal)
    if case.function is linear_probe:  # It predicts the frequencies of the classes: all equal here.
        assert results["cross_entropy"] == pytest.approx(np.log(CLASSES), rel=1e-5)
    else:
        assert results[case.measures[0]] == 0.0


@every_function
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tiles", [(6, 8), None], indirect=True, ids=str)
def test_one_embedding_that_is_not_finite_makes_all_measures_nan(case, rng, value, tiles):
    arguments = case.arguments(rng)
    for name in case.names[::2]:
        rows = np.array(arguments[name])
        rows[1, 2] = value
        results = case.function(**arguments | {name: rows})
        assert tuple(results) == case.measures
        assert np.isnan(list(results.values())).all()


@every_function
def test_embeddings_that_are_not_a_matrix_raise(case, rng):
    for name in case.names[::2]:
        for wrong in (np.ones(4), np.ones((2, 3, 4, 5)), np.ones((0, 4))):
            with pytest.raises(ValueError, match=rf"`{name}` must have the shape \("):
                case.function(**case.arguments(rng) | {name: wrong})


class DataSet(keras.utils.PyDataset):
    """A data set that is no array."""


@every_function
@pytest.mark.parametrize(
    "wrong",
    [
        DataSet(),
        None,
        "a cat",
        ["a", "b"],
        [[1.0, 2.0], [3.0]],
        np.ones((4, 5), bool),
        np.ones((4, 5), complex),
        [[None, 1.0]],
    ],
    ids=["data set", "none", "string", "strings", "ragged", "bools", "complex", "objects"],
)
def test_embeddings_that_are_no_numbers_raise(case, rng, wrong):
    # Without a corpus, the queries are searched.
    names = [name for name in case.names[::2] if wrong is not None or name != "corpus"]
    for name in names:
        with pytest.raises(TypeError, match=rf"`{name}` must be an array.*Received: `"):
            case.function(**case.arguments(rng) | {name: wrong})


@every_function
def test_different_dimensions_raise(case, rng):
    arguments = case.arguments(rng)
    name, _, other = case.names
    expected = r"`\w+` and `\w+` must have the same last dimension. Received: "
    with pytest.raises(ValueError, match=expected):
        case.function(**arguments | {name: arguments[name][:, :2]})
    with pytest.raises(ValueError, match=expected):
        case.function(**arguments | {other: arguments[other][:, :2]})


@every_function
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda ids: ids / 2, TypeError, "be integers, one for each row of `{}`.*float64"),
        (
            lambda ids: ids[1:],
            ValueError,
            "have .* one integer for each row of `{}`. Received: shape",
        ),
        (
            lambda ids: ids[:, None],
            ValueError,
            "have .* one integer for each row of `{}`. Received: shape",
        ),
        (lambda ids: ids - 1, ValueError, r"be in \[0, 2\*\*31\)"),
        (lambda ids: ids + 2**31, ValueError, r"be in \[0, 2\*\*31\)"),
        (lambda ids: ids.astype(str), TypeError, r"be integers, .* strings\..*np.unique\(names"),
        (lambda ids: list(map(str, ids)), TypeError, r"be integers, .* strings\..*np.unique"),
        (lambda ids: ids > 1, TypeError, "be integers, .*dtype bool"),
        (lambda ids: ids[0], ValueError, "have the shape"),
        (lambda ids: [], TypeError, "be integers, one for each row of `{}`"),
        (lambda ids: ids[:0], ValueError, "have the shape"),
        (lambda ids: [ids, 1], TypeError, "be an array.* NumPy cannot convert"),
        (lambda ids: DataSet(), TypeError, "be integers, one for each row of `{}`.*dtype object"),
    ],
    ids=[
        *("float", "short", "matrix", "negative", "large", "strings", "list of strings", "bools"),
        *("scalar", "empty list", "empty array", "ragged", "data set"),
    ],
)
def test_invalid_ids_raise(case, rng, change, error, message):
    arguments = case.arguments(rng)
    embeddings, ids, _ = case.names
    with pytest.raises(error, match=f"`{ids}` must {message.format(embeddings)}"):
        case.function(**arguments | {ids: change(arguments[ids])})


@every_function
@pytest.mark.parametrize(
    ("k", "error"),
    [
        (5, TypeError),
        (None, TypeError),
        ("5", TypeError),
        ((1.5,), TypeError),
        ((1.0,), TypeError),
        ((True,), TypeError),
        (("5",), TypeError),
        ((0,), ValueError),
        ((1, -1), ValueError),
    ],
)
def test_invalid_k_raises(case, rng, k, error):
    with pytest.raises(error, match=r"`k` must be .* Received: k="):
        case.function(**case.arguments(rng) | {"k": k})


@every_function
@pytest.mark.parametrize("k", [[1, 2], np.array([1, 2]), (np.int64(1), np.uint8(2)), range(1, 3)])
def test_k_may_be_numpy_integers(case, rng, k):
    arguments = case.arguments(rng)
    results = case.function(**arguments | {"k": k})
    assert results == case.function(**arguments | {"k": (1, 2)})
    assert all(type(name) is str and "np." not in name for name in results)


# Callbacks

VECTORS = {"cat": [1.0, 0, 0, 0, 0], "dog": [0, 1.0, 0, 0, 0], "owl": [0, 0, 1.0, 0, 0]}


def tokenize(prompts):
    """Returns inputs of the text tower: the vector of the last word plus the number of words."""
    words = [prompt.split() for prompt in prompts]
    return np.array([np.add(VECTORS[w[-1]], len(w)) for w in words], "float32")


def make_zero_shot(x, **kwargs):
    templates = kwargs.pop("templates", ["{}", "the {}"])
    return ZeroShotEvaluation(
        x["image"], LABELS, list(VECTORS), tokenize, templates, **{"k": (1, 2)} | kwargs
    )


def make_probe(probe):
    def make(x, **kwargs):
        arguments = (x["text"], LABELS, x["text"][:NEW_ROWS], LABELS[:NEW_ROWS])
        return probe(*arguments, **{"modality": "text", "k": (1, 2)} | kwargs)

    return make


CALLBACKS = {
    "retrieval": lambda x, **kwargs: RetrievalEvaluation(x, **{"k": (1, 3)} | kwargs),
    "zero_shot": make_zero_shot,
    "knn": make_probe(KNNProbe),
    "linear": make_probe(LinearProbe),
}
every_callback = pytest.mark.parametrize("make", CALLBACKS.values(), ids=CALLBACKS)


def two_towers(seed=0):
    model = ContrastiveTrainer(
        towers.towers(seed), projectors={"text": towers.settle(towers.tower(4), seed + 2)}
    )
    model.compile(keras.optimizers.SGD(0.1), InfoNCE())
    return model


def expected_measures(model, x):
    """The measures of each callback, from the functions and the layers of the model."""
    image, text = model.encoders["image"], model.encoders["text"]
    features = ops.convert_to_numpy(text(x["text"]))

    def project(features):
        return ops.convert_to_numpy(model.projectors["text"](features))

    images, texts = ops.convert_to_numpy(image(x["image"])), project(features)
    prompts = tokenize([t.format(name) for name in VECTORS for t in ("{}", "the {}")])
    classes = project(text(prompts)).reshape(CLASSES, 2, -1)
    data = features, LABELS, features[:NEW_ROWS], LABELS[:NEW_ROWS]
    return {
        "retrieval": {
            f"{a}_to_{b}_{name}": value
            for a, b, queries, corpus in (
                ("image", "text", images, texts),
                ("text", "image", texts, images),
            )
            for name, value in retrieval(queries, corpus, k=(1, 3)).items()
        },
        "zero_shot": prefixed("zero_shot_", zero_shot(images, LABELS, classes, k=(1, 2))),
        "knn": prefixed("knn_", knn_probe(*data, k=(1, 2))),
        "linear": prefixed("linear_", linear_probe(*data, k=(1, 2))),
    }


def prefixed(prefix, measures):
    return {prefix + name: value for name, value in measures.items()}


def near(measures):
    return {name: pytest.approx(value, rel=1e-4) for name, value in measures.items()}


@pytest.fixture(scope="module")
def fitted():
    """A model trained with all callbacks, its data, its history and the logs of each epoch."""
    x, model, seen = towers.pairs(), two_towers(), []
    callbacks = [make(x) for make in CALLBACKS.values()]
    callbacks.append(CALLBACKS["knn"](x, freq=2, prefix="second/"))
    callbacks.append(
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(dict(logs)))
    )
    history = model.fit(x, epochs=3, batch_size=12, callbacks=callbacks, verbose=0).history
    return model, x, history, seen


@pytest.mark.parametrize("name", CALLBACKS)
def test_fit_reports_measures_of_the_current_model(fitted, name):
    model, x, history, _ = fitted
    expected = prefixed("val_", expected_measures(model, x)[name])
    assert {key: history[key][-1] for key in expected} == near(expected)
    assert {len(history[key]) for key in expected} == {3}


def test_logs_contain_no_other_measures(fitted):
    model, x, history, _ = fitted
    expected = {key for measures in expected_measures(model, x).values() for key in measures}
    reported = {key.removeprefix("val_") for key in history if key.startswith("val_")}
    assert reported == expected


def test_later_callbacks_see_the_measures_as_floats(fitted):
    _, _, history, seen = fitted
    for epoch, logs in enumerate(seen):
        measures = {key: value for key, value in logs.items() if key.startswith("val_")}
        assert measures == {key: history[key][epoch] for key in measures}
        assert {type(value) for value in measures.values()} == {float}


def test_freq_selects_the_epochs_and_prefix_starts_the_names(fitted):
    model, x, history, seen = fitted
    names = {f"second/{key}" for key in expected_measures(model, x)["knn"]}
    assert {key for key in history if key.startswith("second/")} == names
    for name in names:
        assert [np.isnan(logs[name]) for logs in seen] == [True, False, True]


@pytest.mark.parametrize("name", CALLBACKS)
def test_dry_run_lists_the_measures_and_some_are_main(fitted, name):
    model, x, _, _ = fitted
    callback = CALLBACKS[name](x, prefix="")
    callback.set_model(model)
    names = callback.dry_run()
    assert names == list(expected_measures(model, x)[name])
    main = [measure for measure in names if callback.is_main(measure)]
    assert 0 < len(main) < len(names)


@pytest.mark.parametrize("name", ["retrieval", "zero_shot", "knn"])
def test_a_callback_follows_its_model(name):
    x = towers.pairs()
    callback, values = CALLBACKS[name](x), []
    for model in (two_towers(), two_towers(seed=5)):
        callback.set_model(model)
        values.append(callback.evaluate())
        assert values[-1] == near(prefixed("val_", expected_measures(model, x)[name]))
    assert values[0] != values[1]


@pytest.mark.parametrize("name", CALLBACKS)
def test_one_embed_function_serves_every_callback(name):
    x, trainer = towers.pairs(), two_towers()

    def embed(model, x):
        if isinstance(x, dict):
            return {name: part_of(name, inputs) for name, inputs in x.items()}
        return trainer.encoders["text"](x)

    def part_of(name, inputs):
        features = trainer.encoders[name](inputs)
        return trainer.projectors["text"](features) if name == "text" else features

    callback = CALLBACKS[name](x, embed=embed)
    callback.set_model(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]))
    expected = prefixed("val_", expected_measures(trainer, x)[name])
    assert callback.evaluate() == near(expected)


@every_callback
def test_another_model_without_embed_raises(make):
    x = towers.pairs()
    callback = make(x)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    callback.set_model(model)
    getattr(callback, "queries", callback).x = x["image"]  # the input of this model
    with pytest.raises(TypeError, match=r"Received: .*Pass `embed` for"):
        callback.evaluate()


@pytest.mark.parametrize(
    "make",
    [
        lambda x: make_zero_shot(x, text="audio"),
        lambda x: make_zero_shot(x, image="audio"),
        lambda x: CALLBACKS["knn"](x, modality="audio"),
        lambda x: CALLBACKS["linear"](x, modality="audio"),
    ],
)
def test_unknown_modality_raises(make):
    callback = make(towers.pairs())
    callback.set_model(two_towers())
    with pytest.raises(
        ValueError, match=r"must be one of image, text\. Received: modality='audio'"
    ):
        callback.evaluate()


@every_callback
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"freq": 0}, ValueError, "`freq` must be a positive integer. Received: freq=0"),
        ({"freq": 1.5}, TypeError, "`freq` must be a positive integer. Received: freq=1.5"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be a positive integer"),
        ({"embed": "text"}, TypeError, "`embed` must be `None` or a function"),
        ({"freq": True}, TypeError, "`freq` must be a positive integer"),
        ({"batch_size": 2.0}, TypeError, "`batch_size` must be a positive integer"),
        ({"prefix": None}, TypeError, "`prefix` must be a string. Received: prefix=None"),
        ({"k": 5}, TypeError, r"`k` must be several positive integers.*Use `\(5,\)`"),
        ({"k": (0,)}, ValueError, "`k` must be a positive integer. Received: k=0"),
        ({"unknown": 3}, TypeError, "unknown"),
        ({"n_neighbours": 3}, TypeError, "n_neighbours"),
    ],
)
def test_invalid_arguments_raise_in_the_constructor(make, arguments, error, message):
    with pytest.raises(error, match=message):
        make(towers.pairs(), **arguments)


@every_callback
def test_numpy_scalars_are_accepted(make):
    numbers = {"freq": np.int64(2), "batch_size": np.uint8(16), "k": np.array([1, 2])}
    evaluation = make(towers.pairs(), **numbers)
    assert [type(value) for value in (evaluation.freq, evaluation.batch_size)] == [int, int]


class Endless(keras.utils.PyDataset):
    """A data set without an end."""

    num_batches = None


def probe_of(probe):
    return lambda inputs: probe(inputs, LABELS, towers.pairs()["text"], LABELS)


FROM_INPUTS = {
    "zero_shot": lambda inputs: make_zero_shot({"image": inputs}),
    "knn": probe_of(KNNProbe),
    "linear": probe_of(LinearProbe),
}


@pytest.mark.parametrize("make", FROM_INPUTS.values(), ids=FROM_INPUTS)
@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (iter([np.ones((5, 5))]), TypeError, "`x.*` must be a data set that can be read several"),
        (Endless(), ValueError, "`x.*` must be a data set that ends.*`num_batches`"),
        (
            None,
            TypeError,
            "`x.*` must be an array, or a dict or list of arrays. Received: `NoneType`",
        ),
        ([[1.0, 2.0], [3.0, 4.0]], TypeError, "`x.*` must be an array.*Received: `float`"),
        (np.float32(3.0), TypeError, "`x.*` must be an array.*Received: `float32`"),
        (np.ones((0, 5)), ValueError, "`x.*` must hold arrays with the same number of rows.*: 0"),
        ({}, ValueError, "`x.*` must hold arrays.*Received: no array"),
        ([np.ones((2, 3)), np.ones((3, 3))], ValueError, "`x.*` must hold arrays.*Received: 2, 3"),
        (
            np.ones((5, 5)),
            ValueError,
            r"`(labels|y_train)` must have the shape \(5,\).* row of `x.*`",
        ),
    ],
)
def test_inputs_that_are_no_arrays_raise_in_the_constructor(make, inputs, error, message):
    with pytest.raises(error, match=message):
        make(inputs)
