"""Reference of iSogCLR: LibAUC's update of temperatures and averages, in float64.

The averages may be adjusted to a new temperature, to first order, as this package does.
"""

import numpy as np

from tests.reference.losses import directions


class ItemTemperatures:
    """Qiu et al., 2023, Alg. 1, as in `GCLoss_v2` of LibAUC, with state `(items, directions)`.

    `momentum` and `average_momentum` are shares of the old values: 1 - beta and 1 - gamma there.
    """

    def __init__(
        self, items, initial, lowest, highest, rho, learning_rate, momentum, average_momentum
    ):
        self.limits, self.rho, self.learning_rate = (lowest, highest), rho, learning_rate
        self.momentum, self.average_momentum = momentum, average_momentum
        self.temperatures = np.full((items, 2), float(initial))
        self.momenta = np.zeros((items, 2))
        self.averages = np.full((items, 2), np.nan)  # u
        self.slopes = np.zeros((items, 2))  # derivatives of log(u) with respect to the scale
        self.scales = np.zeros((items, 2))

    def step(self, views, ids, adjust=True):
        """Takes a step. Returns the weights of the logits' derivatives `(batch, directions)`."""
        weights = np.zeros((len(ids), 2))
        for d, (products, is_positive, is_negative) in enumerate(directions(views, ids, 1.0)):
            for i, item in enumerate(ids):
                h = products[i][is_negative[i]] - products[i][is_positive[i]]
                old = self.averages[item, d]
                tau = self.temperatures[item, d]
                exponentials = np.exp(h / tau)
                fresh = exponentials.mean()
                slope = (exponentials * h).mean() / fresh
                if np.isnan(old):
                    new, new_slope = fresh, slope
                else:
                    if adjust:
                        old *= np.exp(self.slopes[item, d] * (1 / tau - self.scales[item, d]))
                    kept = self.average_momentum * old
                    added = (1 - self.average_momentum) * fresh
                    new = kept + added
                    new_slope = (kept * self.slopes[item, d] + added * slope) / new
                self.averages[item, d] = new
                self.slopes[item, d], self.scales[item, d] = new_slope, 1 / tau
                shares = exponentials / new / len(h)
                weights[i, d] = shares.sum() * tau
                gradient = np.log(new) + self.rho - (shares * h / tau).sum()
                momentum = self.momentum * self.momenta[item, d] + (1 - self.momentum) * gradient
                self.momenta[item, d] = momentum
                moved = tau - self.learning_rate * momentum
                self.temperatures[item, d] = np.clip(moved, *self.limits)
        return weights
