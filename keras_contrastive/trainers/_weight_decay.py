"""Weight decay of a trainer: the scalars of a loss stay out of it."""

from collections.abc import Sequence
from typing import Any

from keras_contrastive._typing import Layer


def keep_from_decay(optimizer: Any, layers: Sequence[Layer]) -> None:
    """Excludes the scalars of a loss from weight decay, and keeps all other exclusions.

    A scalar is a trainable weight with less than two axes, such as a temperature, a bias, or one
    temperature per direction. Weight decay would pull it toward a value without a meaning.

    `Optimizer.exclude_from_weight_decay` does not fit: it drops earlier exclusions, and raises if
    the optimizer is built, which it is if the model is compiled again with the same optimizer.

    Args:
        optimizer: A Keras optimizer, or one with an `inner_optimizer`, such as
            `LossScaleOptimizer`.
        layers: The built layers of the loss.
    """
    weights = [
        weight
        for layer in layers
        for weight in layer.trainable_weights
        if len(weight.shape) < 2  # also those of layers inside a layer
    ]
    while weights and optimizer is not None:
        excluded = {optimizer._var_key(weight) for weight in weights}
        excluded.update(getattr(optimizer, "_exclude_from_weight_decay", ()))
        optimizer._exclude_from_weight_decay = excluded
        optimizer._exclude_from_weight_decay_cache = {}
        optimizer = getattr(optimizer, "inner_optimizer", None)
