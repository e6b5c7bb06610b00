"""Evaluation functions of random and degenerate inputs: the float64 reference, NaN, or an error."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from keras_contrastive import config
from keras_contrastive.evaluation import knn_probe, linear_probe, retrieval, zero_shot
from tests.reference import classification
from tests.reference import retrieval as searches

ROWS, OTHERS, DIM, CLASSES = 9, 7, 3, 3
TILES = st.sampled_from([None, (4, 3)])
# Rows of these lengths keep their direction.
EXPONENTS = st.integers(-9, 29)
NOT_FINITE = st.sampled_from([np.nan, np.inf, -np.inf, 1e300])
K = (1, 2, 5)


@st.composite
def rows(draw, count):
    """Rows with ties, zero rows, equal rows and rows of very different lengths."""
    entry = st.integers(-2, 2)
    row = st.tuples(*[entry] * DIM)
    vectors = np.array(draw(st.lists(row, min_size=count, max_size=count)), "float64")
    lengths = draw(st.lists(EXPONENTS, min_size=count, max_size=count))
    return vectors * 10.0 ** np.array(lengths)[:, None]


@st.composite
def spread_rows(draw, count):
    """Rows without ties."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return rng.normal(size=(count, DIM)) * 10.0 ** draw(EXPONENTS)


def labels(count):
    return st.lists(st.integers(0, CLASSES - 1), min_size=count, max_size=count).map(np.array)


@pytest.fixture(autouse=True, scope="module")
def _tiles():
    yield
    config.set_tile_shape(None)


def near(expected, rel=1e-6):
    return {
        name: pytest.approx(float(value), rel=rel, abs=1e-12, nan_ok=True)
        for name, value in expected.items()
    }


@given(rows(ROWS), rows(OTHERS), labels(ROWS), TILES)
def test_retrieval(queries, corpus, ids, tiles):
    config.set_tile_shape(tiles)
    corpus_ids = np.arange(OTHERS) % CLASSES
    arguments = queries, corpus, ids, corpus_ids
    assert retrieval(*arguments, k=K) == near(searches.retrieval(*arguments, K))


@given(rows(ROWS), labels(ROWS), TILES)
def test_retrieval_without_the_query(vectors, ids, tiles):
    config.set_tile_shape(tiles)
    arguments = vectors, vectors, ids, ids
    if min(np.bincount(ids)[np.unique(ids)]) == 1:
        with pytest.raises(ValueError, match="each id at least twice"):
            retrieval(*arguments, exclude_self=True)
    else:
        expected = searches.retrieval(*arguments, K, exclude_self=True)
        assert retrieval(*arguments, k=K, exclude_self=True) == near(expected)


@given(rows(ROWS), labels(ROWS), rows(CLASSES), TILES)
def test_zero_shot(embeddings, true_labels, classes, tiles):
    config.set_tile_shape(tiles)
    arguments = embeddings, true_labels, classes, K
    assert zero_shot(*arguments) == near(classification.zero_shot(*arguments))


@given(
    spread_rows(OTHERS),
    labels(OTHERS),
    spread_rows(ROWS),
    labels(ROWS),
    st.integers(1, 2 * OTHERS),
    st.one_of(st.none(), st.floats(-320, 2).map(lambda exponent: 10**exponent)),
    TILES,
)
def test_knn_probe(features, known, new_features, new, neighbors, temperature, tiles):
    config.set_tile_shape(tiles)
    assume(temperature is None or temperature > 0)
    arguments = features, known, new_features, new, neighbors, temperature, K
    # The reference divides by the temperature, so it is finite for normal numbers only.
    low = temperature is not None and temperature < 1e-7
    expected = classification.knn_probe(*arguments[:5], 1e-7 if low else temperature, K)
    assert knn_probe(*arguments) == near(expected)


@given(spread_rows(OTHERS), labels(OTHERS), spread_rows(ROWS), labels(ROWS), st.integers(-2, 2))
def test_linear_probe(features, known, new_features, new, exponent):
    features, new_features = (x / np.abs(x).max() for x in (features, new_features))
    arguments = features, known, new_features, new, 10.0**exponent, K
    if len(np.unique(known)) == 1:
        with pytest.raises(ValueError, match="at least two classes"):
            linear_probe(*arguments)
        return
    theirs = LogisticRegression(C=10.0**exponent, solver="newton-cholesky", tol=1e-10)
    theirs.fit(features, known)
    found = linear_probe(*arguments)
    assert found["top_1_accuracy"] == pytest.approx(theirs.score(new_features, new))
    probabilities = theirs.predict_proba(new_features)
    columns = [list(theirs.classes_).index(x) if x in theirs.classes_ else None for x in new]
    chosen = [p[c] if c is not None else 0.0 for p, c in zip(probabilities, columns, strict=True)]
    with np.errstate(divide="ignore"):
        assert found["cross_entropy"] == pytest.approx(-np.log(chosen).mean(), rel=1e-3)


FUNCTIONS = {
    "retrieval": lambda a, b, y: retrieval(a, b, y, y, k=K),
    "zero_shot": lambda a, b, y: zero_shot(a, y, b[:CLASSES], K),
    "zero_shot of templates": lambda a, b, y: zero_shot(a, y, np.stack([b, b], axis=1), K),
    "knn_probe": lambda a, b, y: knn_probe(a, y, b, y, k=K),
    "knn_probe of few shots": lambda a, b, y: knn_probe(a, y, b, y, shots=(1, 2), draws=2),
    "linear_probe": lambda a, b, y: linear_probe(a, y, b, y, k=K),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@given(st.data(), TILES)
def test_values_that_are_not_finite_make_all_measures_nan(function, data, tiles):
    config.set_tile_shape(tiles)
    vectors = [np.array(data.draw(rows(ROWS))) for _ in range(2)]
    known = np.arange(ROWS) % CLASSES
    expected = function(*vectors, known)
    place = data.draw(st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, DIM - 1)))
    vectors[place[0]][place[1:]] = data.draw(NOT_FINITE)
    found = function(*vectors, known)
    assert tuple(found) == tuple(expected)
    assert np.isnan(list(found.values())).all()
