"""Losses with labels equal those of pytorch-metric-learning, with their gradients."""

import math

import numpy as np
import pytest

from keras_contrastive.layers import ClassProxies
from keras_contrastive.losses import ArcFace, Circle, CosFace, NormalizedSoftmax
from tests.helpers import normal
from tests.helpers.backend import value_and_gradients

pytestmark = pytest.mark.conformance

LABELS = np.array([2, 0, 2, 1, 3, 0, 4])
CLASSES, DIM = 5, 3
CASES = {
    "ArcFaceLoss": (lambda p: ArcFace(p, math.radians(28.6)), {}),
    "ArcFaceLoss, wide": (
        lambda p: ArcFace(p, math.radians(80), 0.5),
        {"margin": 80, "scale": 2},
    ),
    "CosFaceLoss": (lambda p: CosFace(p), {}),
    "NormalizedSoftmaxLoss": (lambda p: NormalizedSoftmax(p), {}),
    "ProxyNCALoss": (lambda p: NormalizedSoftmax(p, temperature=1 / 2), {}),
    "ProxyNCALoss, steep": (
        lambda p: NormalizedSoftmax(p, temperature=1 / 20),
        {"softmax_scale": 10},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_value_and_gradients_equal_pytorch_metric_learning(name):
    import torch
    from pytorch_metric_learning import losses as peers

    make, arguments = CASES[name]
    z, vectors = normal(len(LABELS), DIM), normal(CLASSES, DIM, seed=9)
    z[1] = -vectors[0] + 0.1  # an angle above pi - margin
    peer = getattr(peers, name.split(",")[0])(CLASSES, DIM, **arguments)
    weights = peer.proxies if hasattr(peer, "proxies") else peer.W
    is_transposed = weights.shape[0] == DIM
    weights.data = torch.tensor(vectors.T if is_transposed else vectors)
    inputs = torch.tensor(z, requires_grad=True)
    expected = peer(inputs, torch.tensor(LABELS))
    expected.backward()

    loss = make(ClassProxies(CLASSES, DIM))
    loss.build()

    def evaluate(z, vectors):
        return loss.stateless_call([vectors], [], LABELS, z, training=True)[0]

    value, found = value_and_gradients(evaluate, z, vectors)
    slope = weights.grad.numpy()
    assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(found[0], inputs.grad.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[1], slope.T if is_transposed else slope, rtol=1e-3, atol=1e-4)


def test_circle_equals_pytorch_metric_learning():
    import torch
    from pytorch_metric_learning import losses as peers

    z, labels = normal(8, 4), np.array([0, 1, 0, 2, 1, 0, 1, 2])
    inputs = torch.tensor(z, requires_grad=True)
    expected = peers.CircleLoss(m=0.25, gamma=20)(inputs, torch.tensor(labels))
    expected.backward()
    loss = Circle(gamma=20, margin=0.25)
    value, found = value_and_gradients(lambda z: loss(labels, z), z)
    assert value == pytest.approx(float(expected), rel=1e-5)
    np.testing.assert_allclose(found[0], inputs.grad.numpy(), rtol=1e-3, atol=1e-4)
