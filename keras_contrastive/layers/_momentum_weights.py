"""Slow copies of weights."""

import contextlib

import keras
from keras import ops

from keras_contrastive._checks import is_number


@keras.saving.register_keras_serializable(package="keras_contrastive")
class MomentumWeights(keras.layers.Layer):
    """A moving average of the weights of some layers, with which they can be called.

    With each `update`, `average = momentum * average + (1 - momentum) * weight`; before the first one the average is
    the weight. The copies are weights of this layer, so that they are saved, and move with the model; they are never
    trained. What does not move is met exactly: a frozen weight, whose copy is there if it is trained later.

    Args:
        momentum: In [0, 1), share of the old average in the new one.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        ValueError: `momentum` outside [0, 1).

    Reference:
        - [He et al., 2020](https://arxiv.org/abs/1911.05722), Eq. 2; ALBEF's momentum is 0.995.

    Example:

    >>> tower = keras.layers.Dense(1, kernel_initializer="ones")
    >>> tower.build((None, 2))
    >>> slow = MomentumWeights(momentum=0.9)
    >>> slow.follow([tower])
    >>> slow.update()
    >>> tower.set_weights([np.array([[2.0], [3.0]]), np.zeros(1)])
    >>> slow.update()
    >>> with slow.in_place():
    ...     of_slow = tower(np.array([[1.0, 1.0]]))
    >>> round(float(of_slow[0, 0]), 4), float(tower(np.array([[1.0, 1.0]]))[0, 0])
    (2.3, 5.0)
    """

    def __init__(self, momentum=0.995, **kwargs):
        for name in (
            "dtype",
            "trainable",
        ):  # in float32, small steps are not lost; and never trained
            kwargs.pop(name, None)
        super().__init__(trainable=False, dtype="float32", **kwargs)
        if not is_number(momentum) or not 0 <= momentum < 1:
            raise ValueError(
                "`momentum` must be in [0, 1), the share of the old average in the new one. "
                f"Received: momentum={momentum!r}."
            )
        self.momentum = float(momentum)
        self._followed = _Followed()

    def follow(self, layers):
        """Create the copies of all floating-point weights of these layers, moving statistics included.

        The layers must be built.
        """
        layers = [
            layer
            for place, layer in enumerate(layers)
            if all(layer is not other for other in layers[:place])
        ]
        weights = [
            weight for layer in layers for weight in layer.weights if "float" in weight.dtype
        ]
        # In a distributed step, each replica makes the same move.
        state = {
            "trainable": False,
            "autocast": False,
            "aggregation": "only_first_replica",
            "initializer": "zeros",
        }
        self.step = self.add_weight(name="step", shape=(), dtype="int32", **state)
        self.averages = [
            self.add_weight(name=f"average_{place}", shape=weight.shape, **state)
            for place, weight in enumerate(weights)
        ]
        self._followed.layers, self._followed.weights = layers, weights
        self.built = True

    def update(self):
        """Move the averages a little toward the weights as they are."""
        for average, value in zip(self.averages, self._moved(), strict=True):
            average.assign(value)
        self.step.assign(self.step + 1)

    def _moved(self):
        # As a difference, so that what stands still is met exactly.
        share = ops.where(self._begun(), 1.0 - self.momentum, 1.0)
        return [average + share * (weight - average) for average, weight in self._pairs()]

    def values(self):
        """The averages; the weights themselves before the first step. No gradient reaches them."""
        begun = self._begun()
        return [ops.where(begun, average, weight) for average, weight in self._pairs()]

    def _pairs(self):
        """Averages and weights, as tensors."""
        averages = map(ops.convert_to_tensor, self.averages)
        weights = (
            ops.cast(ops.stop_gradient(weight), "float32") for weight in self._followed.weights
        )
        return list(zip(averages, weights, strict=True))

    def _begun(self):
        return ops.convert_to_tensor(self.step) > 0

    @contextlib.contextmanager
    def in_place(self):
        """Within it, the layers compute with the averages; what they change of their own state is forgotten."""
        slow = dict(zip(map(id, self._followed.weights), self.values(), strict=True))
        variables = {id(v): v for layer in self._followed.layers for v in layer.variables}
        values = [
            (v, ops.cast(slow[key], v.dtype) if key in slow else v.value)
            for key, v in variables.items()
        ]
        with keras.StatelessScope(state_mapping=values):
            yield

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum}


class _Followed:
    """Layers and weights that belong to others, which Keras would track if they were held in a list."""

    def __init__(self):
        self.layers = []
        self.weights = []
