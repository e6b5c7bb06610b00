"""Weights of a loss in a training loop of one's own: as lists, and as arguments of a function."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_contrastive._typing import Layer, Tensor


class StatelessLoss:
    """Gives a loss the weights of its layers, and `stateless_call`, as Keras layers have them."""

    @property
    def layers(self) -> list[Layer]:
        """Layers that this loss owns. The model that is trained must track them."""
        raise NotImplementedError

    @property
    def trainable_variables(self) -> list[Any]:
        """Trainable weights of the layers, such as a learnable temperature. Call `build` first.

        In a loop of your own, optimize them together with those of the encoders. In PyTorch, the
        parameters are `[weight.value for weight in loss.trainable_variables]`. Constraints, such as
        the lowest temperature, are applied by Keras optimizers only.
        """
        return [weight for layer in self.layers for weight in layer.trainable_variables]

    @property
    def non_trainable_variables(self) -> list[Any]:
        """State of the layers, such as a queue or running partitions. Call `build` first."""
        return [weight for layer in self.layers for weight in layer.non_trainable_variables]

    def stateless_call(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, list[Tensor]]:
        """Computes the loss as a pure function of its weights. Use it inside `jax.jit`.

        Args:
            trainable_variables: Values for the weights of that name.
            non_trainable_variables: Values for the state of that name.
            *args: Call arguments of the loss, such as `y_true` and `y_pred`.
            **kwargs: Further call arguments, such as `training=True`.

        Returns:
            `(loss, non_trainable_variables)`: the loss, and the values of the state after the call.
            To keep them, assign them to `non_trainable_variables` or pass them to the next call.

        Example:

        >>> temperature = keras_contrastive.layers.LearnableTemperature(0.5)
        >>> loss = keras_contrastive.losses.InfoNCE(temperature)
        >>> loss.build()
        >>> log_scale = keras.ops.log(1.0)
        >>> z = keras.ops.eye(2)
        >>> value, state = loss.stateless_call([log_scale], [], None, (z, z), training=True)
        >>> round(float(value), 4)  # that of temperature 1
        0.3133
        """
        state = self.non_trainable_variables
        pairs = [
            *zip(self.trainable_variables, trainable_variables, strict=True),
            *zip(state, non_trainable_variables, strict=True),
        ]
        call: Any = self
        with keras.StatelessScope(state_mapping=pairs) as scope:
            value = call(*args, **kwargs)
        return value, [scope.get_current_value(weight) for weight in state]


def check_state_can_change(
    loss: str, layers: Sequence[Layer], tensor: Any, training: bool | None
) -> None:
    """Raises a `ValueError` if a traced JAX function would write tracers into the state of a loss.

    Args:
        loss: Name of the class, for the message.
        layers: The layers of the loss.
        tensor: An embedding.
        training: Whether the call changes the state.
    """
    if not training or not any(layer.non_trainable_variables for layer in layers):
        return
    if not any(kind.__name__ == "Tracer" for kind in type(tensor).__mro__):
        return
    with keras.StatelessScope(initialize_variables=False) as scope:
        is_stateless = scope.original_scope is not None
    if not is_stateless:
        raise ValueError(
            f"`{loss}` cannot change its state inside a function that JAX traces. Call "
            "`loss.stateless_call(trainable_variables, non_trainable_variables, y_true, y_pred, "
            "training=True)` there, which returns the new state. Or train with "
            "`keras_contrastive.ContrastiveTrainer`. Received: training=True, embeddings of type "
            f"{type(tensor).__name__}."
        )
