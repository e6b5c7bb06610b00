"""The gradient of the jackknife at any temperature, where one negative may be nearly the whole sum.

The reference leaves out each negative in float64.
"""

import functools

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import normalize
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import DecoupledContrastive, GammaContrastive, InfoNCE, NTXent
from tests.helpers.backend import FASTEST, gradients
from tests.reference.differences import numeric_gradient
from tests.reference.losses import jackknifed

ROWS, DIM = 9, 5
TEMPERATURES = [
    1e-2,
    *(pytest.param(value, marks=pytest.mark.slow_to_compile) for value in (1e-3, 0.1, 1.0)),
]
corrected = {"bias_correction": "jackknife"}
# A loss, and the options of the reference.
LOSSES = {
    "InfoNCE": (functools.partial(InfoNCE, **corrected), {"include_positive": True}),
    "NTXent": (
        functools.partial(NTXent, **corrected),
        {"include_positive": True, "all_views": True},
    ),
    "DecoupledContrastive": (
        functools.partial(DecoupledContrastive, all_views=False, **corrected),
        {},
    ),
    "GammaContrastive": (GammaContrastive, {}),
    "GammaContrastive, positive included": (
        functools.partial(GammaContrastive, include_positive=True),
        {"include_positive": True},
    ),
}
LABELS = np.arange(ROWS, dtype="int32") % 3


def relative_error(loss, arguments, views, ids, temperature, extra=None):
    """The largest error of a gradient, as a share of the largest component."""
    found = gradients(
        lambda *z: loss(ids, list(z) if len(z) > 1 else z[0], training=True),
        *views,
        variables=[v for layer in loss.layers for v in layer.variables],
        **FASTEST,
    )
    labels = range(ROWS) if ids is None else ids
    errors = []
    for which, gradient in enumerate(found):

        def value(x, which=which):
            moved = [x if i == which else view for i, view in enumerate(views)]
            return jackknifed(moved, labels, temperature, extra=extra, **arguments).mean()

        expected = numeric_gradient(value, views[which], step=1e-4 * min(temperature, 0.1))
        errors.append(np.abs(gradient - expected).max() / np.abs(expected).max())
    return max(errors)


def rounding(temperature):
    """The relative error of an exponential whose logit is rounded to float32."""
    return 5e-7 / temperature


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", LOSSES)
def test_gradient_of_pairs_is_that_of_leaving_out_each_negative(name, temperature, rng):
    make, arguments = LOSSES[name]
    views = list(rng.normal(size=(2, ROWS, DIM)).astype("float32"))
    error = relative_error(make(temperature=temperature), arguments, views, None, temperature)
    assert error < 3e-6 + rounding(temperature)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("name", [n for n in LOSSES if n != "NTXent"])
def test_gradient_of_several_positives_is_that_of_leaving_out_each_negative(name, temperature, rng):
    make, arguments = LOSSES[name]
    view = rng.normal(size=(ROWS, DIM)).astype("float32")
    error = relative_error(make(temperature=temperature), arguments, [view], LABELS, temperature)
    assert error < 1e-4 + rounding(temperature)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("temperature", [1e-2, 0.1])
@pytest.mark.parametrize("single", [False, True], ids=["pairs", "labels"])
def test_gradient_with_a_queue_is_that_of_leaving_out_each_negative(single, temperature, rng):
    make, arguments = LOSSES["InfoNCE"]
    views = list(rng.normal(size=(1 if single else 2, ROWS, DIM)).astype("float32"))
    stored = rng.normal(size=(len(views), 4, DIM)).astype("float32")
    loss = make(temperature=temperature, memory=EmbeddingQueue(4, DIM))
    loss.build([] if single else None)
    loss.memory.push(
        [normalize(ops.convert_to_tensor(rows)) for rows in stored], ops.arange(4, dtype="int32")
    )
    extra = {view: [(rows, range(4))] for view, rows in enumerate(stored)}
    ids = LABELS if single else np.arange(ROWS, dtype="int32")
    error = relative_error(loss, arguments, views, ids, temperature, extra)
    assert error < 1e-4 + rounding(temperature)


@pytest.mark.slow_to_compile
@pytest.mark.parametrize("positive", [-0.5, 0.0, 0.99])
@pytest.mark.parametrize("gap", [0.0, 1e-3, 0.3, 1.0])
def test_gradient_where_one_or_two_negatives_are_the_whole_sum(gap, positive):
    # The second negative follows the first at a distance, in units of the temperature.
    temperature = 0.01

    def unit(cosine, axis):
        return np.eye(DIM)[0] * cosine + np.eye(DIM)[axis] * np.sqrt(1 - cosine**2)

    a = np.array([unit(1.0, 1), unit(-0.2, 2), unit(-0.3, 3), unit(-0.4, 4)])
    b = np.array([unit(positive, 1), unit(0.9, 2), unit(0.9 - gap * temperature, 3), unit(0, 4)])
    views = [view.astype("float32") for view in (a, b)]
    for name in ("InfoNCE", "DecoupledContrastive"):
        make, arguments = LOSSES[name]
        loss = make(temperature=temperature, symmetric=False)
        found = gradients(lambda a, b, loss=loss: loss(None, (a, b)), *views, **FASTEST)[1]
        expected = numeric_gradient(
            lambda b, arguments=arguments: jackknifed(
                (views[0], b), range(4), temperature, symmetric=False, **arguments
            ).mean(),
            views[1],
        )
        # Where the positive is recognized, a gradient of 1 / temperature nearly cancels.
        size = max(np.abs(expected).max(), 0.01 / temperature)
        np.testing.assert_allclose(found, expected, rtol=0, atol=rounding(temperature) * size)
