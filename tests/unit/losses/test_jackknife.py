"""The jackknife of the log-partition: its definition, and the bias that it removes."""

import functools
import itertools
import math

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import normalize
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import GammaContrastive, InfoNCE, NTXent
from keras_contrastive.losses._jackknife import jackknife
from tests.helpers.backend import gradients, to_numpy
from tests.helpers.engine import contrast_of
from tests.reference.differences import numeric_gradient
from tests.reference.losses import jackknifed


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_jackknife_equals_leaving_out_each_negative(rows):
    views = np.random.default_rng(rows).normal(size=(2, rows, 3)).astype("float32")
    units = [normalize(ops.convert_to_tensor(view)) for view in views]
    contrast = contrast_of(units, [(0, 1)], scale=1 / 0.5)
    log_mean = contrast.log_sum_negatives - ops.log(ops.maximum(contrast.num_negatives, 1))
    found = to_numpy(jackknife(contrast, log_mean) - contrast.positive_logit)[:, 0]
    expected = jackknifed(views, list(range(rows)), 0.5, symmetric=False)
    if rows > 1:  # otherwise there is no partition
        # The definition counts a mean over m - 1 negatives, which leaves log-means of other sizes
        # as they are.
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert np.all(
        np.isfinite(to_numpy(ops.where(contrast.valid, jackknife(contrast, log_mean), 0)))
    )


def test_correction_is_finite_for_one_dominating_negative():
    views = np.eye(4, 6, dtype="float32")
    views = [views, np.roll(views, 1, axis=0)]
    contrast = contrast_of(views, [(0, 1)], scale=1e3)
    corrected = to_numpy(jackknife(contrast, contrast.log_sum_negatives - math.log(3)))
    assert np.all(np.isfinite(corrected))
    assert np.all(corrected > 1e3 - math.log(3))


def test_jackknife_removes_most_of_the_bias_of_small_batches():
    # Every batch of three negatives drawn with replacement from six, each as likely as another.
    logits = np.random.default_rng(0).normal(size=6)
    truth = math.log(np.mean(np.exp(logits)))

    def log_mean(batch):
        return math.log(np.mean(np.exp(batch)))

    def corrected(batch):
        left_out = [log_mean(np.delete(batch, k)) for k in range(len(batch))]
        return len(batch) * log_mean(batch) - (len(batch) - 1) / len(batch) * sum(left_out)

    batches = [np.array(batch) for batch in itertools.product(logits, repeat=3)]
    plain_bias = np.mean([log_mean(batch) for batch in batches]) - truth
    corrected_bias = np.mean([corrected(batch) for batch in batches]) - truth
    assert plain_bias < 0
    assert abs(corrected_bias) < 0.35 * abs(plain_bias)


@pytest.mark.parametrize(
    "tiled",
    [
        pytest.param(False, id="one tile"),
        pytest.param(True, id="tiles", marks=pytest.mark.slow_to_compile),
    ],
)
@pytest.mark.parametrize(
    ("make", "queue"),
    [
        (functools.partial(InfoNCE, bias_correction="jackknife"), False),
        (functools.partial(InfoNCE, bias_correction="jackknife"), True),
        (functools.partial(NTXent, bias_correction="jackknife"), False),
        (functools.partial(NTXent, bias_correction="jackknife"), True),
        (functools.partial(GammaContrastive, include_positive=True), False),
    ],
    ids=["InfoNCE", "InfoNCE, queue", "NTXent", "NTXent, queue", "GammaContrastive"],
)
@pytest.mark.parametrize(("classes", "temperature"), [(2, 0.3), (3, 0.1)])
def test_each_positive_has_a_correction_of_its_own(
    make, classes, temperature, queue, tiled, tile_shape
):
    rng = np.random.default_rng(classes)
    labels = np.arange(12, dtype="int32") % classes
    x = (rng.normal(size=(classes, 6))[labels] + rng.normal(size=(12, 6))).astype("float32")
    extra = None
    loss = make(temperature=temperature)
    if queue:
        loss = make(temperature=temperature, memory=EmbeddingQueue(5, dim=6))
        loss.build(num_views=1, directions={})
        stored = rng.normal(size=(4, 6)).astype("float32")  # one place remains empty
        loss.memory.push([normalize(ops.convert_to_tensor(stored))], ops.arange(4, dtype="int32"))
        extra = {0: [(stored, range(4))]}
    if tiled:
        tile_shape((5, 4))
    (found,) = gradients(
        lambda x: loss(labels, x, training=True),
        x,
        variables=[v for layer in loss.layers for v in layer.variables],
    )

    def right(x):
        return jackknifed([x], labels, temperature, include_positive=True, extra=extra).mean()

    expected = numeric_gradient(right, x)
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < 1e-3


def test_correction_of_several_positives_is_finite_for_one_dominating_negative():
    views = np.eye(6, dtype="float32")[[0, 1, 1, 0, 2, 3]]
    contrast = contrast_of([views], ids=[0, 0, 1, 1, 2, 2], scale=1e3)
    corrected = to_numpy(jackknife(contrast, contrast.log_sum_negatives, with_positive=True))
    assert np.all(np.isfinite(corrected))
