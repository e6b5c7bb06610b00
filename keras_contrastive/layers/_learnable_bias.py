"""A bias of the logits that is trained with the towers."""

import keras


@keras.saving.register_keras_serializable(package="keras_contrastive")
class LearnableBias(keras.layers.Layer):
    """SigLIP's bias: one trained number, added to the logits.

    Give it to a loss: `SigmoidContrastive(bias=LearnableBias())`. `ContrastiveTrainer` trains and saves it.

    Args:
        initial: Float to start from.

    Reference:
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343), Sec. 3.2.

    Example:

    >>> bias = LearnableBias()
    >>> bias.build()
    >>> float(bias.bias)
    -10.0
    """

    def __init__(self, initial=-10.0, **kwargs):
        kwargs.pop("dtype", None)  # float32 under every policy, as the temperature
        super().__init__(dtype="float32", **kwargs)
        self.initial = initial

    def build(self, input_shape=None):
        self.bias = self.add_weight(
            name="bias",
            shape=(),
            initializer=keras.initializers.Constant(self.initial),
            autocast=False,
        )
        self.built = True

    def call(self, logits):
        """Logits with the bias."""
        return logits + keras.ops.cast(self.bias, logits.dtype)

    def get_config(self):
        return {**super().get_config(), "initial": self.initial}
