"""Temperatures of items and gradients equal those of iSogCLR in LibAUC."""

import numpy as np
import pytest

from keras_contrastive.layers import ItemTemperature
from keras_contrastive.losses import GlobalContrastive
from tests.conformance import peers
from tests.helpers import normal
from tests.helpers.backend import gradients, to_numpy

pytestmark = pytest.mark.conformance
# LibAUC does not adjust its averages to new temperatures, a difference of second order in the rate.
ROWS, RATE = 6, 1e-4


def test_three_steps_equal_those_of_libauc():
    import torch

    theirs = peers.module("libauc.losses.contrastive").GCLoss(
        "bimodal",
        **{
            "N": ROWS,
            "tau": 0.2,
            "gamma": 0.9,
            "enable_isogclr": True,
            "beta": 0.7,
            "rho": 0.5,
            "eta": RATE,
        },
        **{"tau_min": 0.1, "tau_max": 0.5},
    )
    temperature = ItemTemperature(0.2, 0.1, 0.5, rho=0.5, learning_rate=RATE, momentum=0.3)
    ours = GlobalContrastive(ROWS, temperature, momentum=0.1, max_weight=float("inf"))
    ours.build()
    ids = np.arange(ROWS)
    for seed in range(3):
        views = normal(2, ROWS, 4, seed=seed)
        inputs = [torch.tensor(view, requires_grad=True) for view in views]
        units = [torch.nn.functional.normalize(view, dim=1) for view in inputs]
        theirs(*units, torch.tensor(ids))[0].backward()
        found = gradients(lambda *z: ours(ids, z, training=True), *views)
        for view, gradient in zip(inputs, found, strict=True):
            expected = view.grad.numpy() / (ROWS - 1) / 0.2
            np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)
    moved = to_numpy(temperature.temperatures)[:-1] - 0.2
    inner = theirs.loss_fn
    expected = torch.cat([inner.learnable_tau_img, inner.learnable_tau_txt], 1).numpy() - 0.2
    assert np.abs(expected).min() > 0
    np.testing.assert_allclose(moved, expected, rtol=1e-2, atol=1e-7)
