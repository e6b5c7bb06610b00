"""Momentum teacher: a moving average of the weights of encoders and projectors."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._keras import replicated_weight, repr_from_config
from keras_contrastive._typing import Config, Layer, LayerArguments, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class MomentumTeacher(keras.layers.Layer):
    """Computes with a moving average of the weights of other layers, as in MoCo and ALBEF.

    Pass it to a trainer: `ContrastiveTrainer(encoder, augmenters=..., teacher=MomentumTeacher())`.
    The embeddings of the teacher are then the candidates of each anchor. No gradient reaches them.

    Each `update` computes `average = momentum * average + (1 - momentum) * weight`. Before the
    first update, the average equals the weight. A weight that is NaN or infinite leaves its average
    unchanged. The averages are non-trainable float32 weights of
    this layer, so they are saved and moved with the model. A frozen weight has an average as well,
    which equals it exactly.

    Args:
        momentum: Float in [0, 1), the fraction of the old average in the new one. MoCo uses 0.999,
            ALBEF 0.995.
        soft_targets: Float in [0, 1], the fraction of the targets in training that is the softmax
            of the teacher's similarities. It requires the loss `InfoNCE`.
        soft_target_steps: Non-negative int, over how many steps that fraction rises from 0.
        **kwargs: See `keras.layers.Layer`. `dtype` and `trainable` are ignored.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range.

    Reference:
        - [He et al., 2020](https://arxiv.org/abs/1911.05722), Eq. 2, for the momentum.
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Eq. 6, for the soft targets.

    Example:

    >>> encoder = keras.layers.Dense(1, kernel_initializer="ones")
    >>> encoder.build((None, 2))
    >>> teacher = MomentumTeacher(momentum=0.9)
    >>> teacher.follow([encoder])
    >>> teacher.update()
    >>> encoder.set_weights([np.array([[2.0], [3.0]]), np.zeros(1)])
    >>> teacher.update()
    >>> with teacher.in_place():
    ...     embedding = encoder(np.array([[1.0, 1.0]]))
    >>> round(float(embedding[0, 0]), 4), float(encoder(np.array([[1.0, 1.0]]))[0, 0])
    (2.3, 5.0)
    """

    def __init__(
        self,
        momentum: float = 0.99,
        soft_targets: float = 0.0,
        soft_target_steps: int = 0,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        arguments: dict[str, Any] = dict(kwargs)
        # In float32, small changes are not lost.
        arguments.update(dtype="float32", trainable=False)
        super().__init__(**arguments)
        hint = "It is the fraction of the old average in the new one."
        self.momentum = _checks.real("momentum", momentum, 0, 1, include_high=False, hint=hint)
        self.soft_targets = _checks.fraction("soft_targets", soft_targets)
        self.soft_target_steps = _checks.non_negative_int("soft_target_steps", soft_target_steps)
        self._followed = _Followed()

    def follow(self, layers: Sequence[Layer]) -> None:
        """Creates the averages of all floating-point weights of some layers.

        Moving statistics have averages too. The layers must be built.
        """
        layers = list({id(layer): layer for layer in layers}.values())
        weights = [w for layer in layers for w in layer.weights if "float" in w.dtype]
        self.step = replicated_weight(self, "step", dtype="int32")
        self.averages = [
            replicated_weight(self, f"average_{index}", weight.shape)
            for index, weight in enumerate(weights)
        ]
        self._followed.layers, self._followed.weights = layers, weights
        self.built = True

    @property
    def followed_weights(self) -> list[Any]:
        """The weights that the averages follow, in the order of `averages`."""
        return self._followed.weights

    def update(self) -> None:
        """Moves the averages toward the weights. Trainers call it once per training step."""
        started = self._has_started()
        fraction = ops.where(started, 1.0 - self.momentum, 1.0)
        for variable, (average, weight) in zip(self.averages, self._pairs(), strict=True):
            # As a difference, so that the average of a constant weight equals it exactly.
            moved = average + fraction * (weight - average)
            # A value that is not finite never enters an average that is.
            replaced = ops.logical_or(ops.isfinite(weight), ops.logical_not(started))
            replaced = ops.where(replaced, weight, average)
            variable.assign(ops.where(ops.isfinite(moved), moved, replaced))
        self.step.assign(self.step + 1)

    def values(self) -> list[Tensor]:
        """Returns the averages, or the weights themselves before the first update."""
        started = self._has_started()
        return [ops.where(started, average, weight) for average, weight in self._pairs()]

    def soft_target_fraction(self) -> float | Tensor:
        """Returns the fraction of the targets that the teacher gives in this step."""
        if not self.soft_targets or not self.soft_target_steps:
            return self.soft_targets
        # `update` has counted this step already.
        steps_before = ops.cast(self.step - 1, "float32")
        return self.soft_targets * ops.minimum(steps_before / self.soft_target_steps, 1.0)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Lets the layers compute with the averages inside a `with` block.

        Changes that the layers make to their own state inside the block are dropped.
        """
        values = {id(w): x for w, x in zip(self.followed_weights, self.values(), strict=True)}
        variables = {id(v): v for layer in self._followed.layers for v in layer.variables}
        mapping = [
            (v, ops.cast(values[key], v.dtype) if key in values else v.value)
            for key, v in variables.items()
        ]
        with keras.StatelessScope(state_mapping=mapping):
            yield

    def __repr__(self) -> str:
        return repr_from_config(self, "momentum")

    def _pairs(self) -> list[tuple[Tensor, Tensor]]:
        averages = [ops.convert_to_tensor(average) for average in self.averages]
        weights = [ops.cast(ops.stop_gradient(w), "float32") for w in self.followed_weights]
        return list(zip(averages, weights, strict=True))

    def _has_started(self) -> Tensor:
        return ops.convert_to_tensor(self.step) > 0

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "soft_targets": self.soft_targets,
            "soft_target_steps": self.soft_target_steps,
        }


class _Followed:
    """Holds layers and weights of other owners, so that Keras does not track them here."""

    def __init__(self) -> None:
        self.layers: Sequence[Layer] = []
        self.weights: list[Any] = []
