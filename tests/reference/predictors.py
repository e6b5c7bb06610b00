"""BYOL, SimSiam and MoCo v3 with linear encoders and predictors, in float64 NumPy."""

import numpy as np

from tests.reference.moco import unit


def negative_cosine(predictions, targets):
    """Chen & He (2021), Eq. 1; that of Grill et al. (2020), Eq. 2, is twice this value plus 2."""
    return -float(np.mean([p @ t for p, t in zip(unit(predictions), unit(targets), strict=True)]))


def info_nce(predictions, targets, temperature=0.5):
    """The function `ctr` of Chen et al. (2021), Algorithm 1, without its factor."""
    losses = []
    for row, prediction in enumerate(unit(predictions)):
        logits = np.array([prediction @ target for target in unit(targets)]) / temperature
        losses.append(np.log(np.exp(logits).sum()) - logits[row])
    return float(np.mean(losses))


def train(weights, steps, momentum, learning_rate, contrast=negative_cosine):
    """Trains `[encoder, predictor]` with SGD on both views of each step, each an anchor in turn.

    Targets are embeddings of the encoder itself if `momentum` is `None`, as in SimSiam.
    Returns the losses, the weights, and the encoder of the targets in the last step.
    """
    weights = [weight.astype("float64") for weight in weights]
    slow, losses = weights[0], []
    for number, (first, second) in enumerate(steps):
        if momentum is None or not number:
            slow = weights[0]
        else:
            slow = momentum * slow + (1 - momentum) * weights[0]

        def loss(encoder, predictor, first=first, second=second, slow=slow):
            return (
                contrast(first @ encoder @ predictor, second @ slow)
                + contrast(second @ encoder @ predictor, first @ slow)
            ) / 2

        losses.append(loss(*weights))
        gradients = [np.zeros_like(weight) for weight in weights]
        for place, gradient in enumerate(gradients):
            for entry in np.ndindex(*gradient.shape):
                sides = []
                for side in (1e-5, -1e-5):
                    moved = [weight.copy() for weight in weights]
                    moved[place][entry] += side
                    sides.append(loss(*moved))
                gradient[entry] = (sides[0] - sides[1]) / 2e-5
        weights = [w - learning_rate * g for w, g in zip(weights, gradients, strict=True)]
    return losses, weights, slow
