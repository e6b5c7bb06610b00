"""What the callbacks of this room share: when they evaluate, where their numbers go, how a tower embeds."""

import keras


class CorpusEvaluation(keras.callbacks.Callback):
    """Evaluates at the end of epochs and adds its numbers to `logs`; a subclass implements `numbers`.

    Args:
        every: Evaluate at the end of each `every`-th epoch, and of no other.
        prefix: Start of the names.
        batch_size: Batch size of the embedding.
    """

    def __init__(self, every=1, prefix="val_", batch_size=256):
        super().__init__()
        if every < 1:
            raise ValueError(
                f"`every` must be a positive number of epochs. Received: every={every}."
            )
        self.every = every
        self.prefix = prefix
        self.batch_size = batch_size
        self._made = {}

    def numbers(self):
        """The numbers by their names, without the prefix."""
        raise NotImplementedError

    def evaluate(self):
        """The numbers of the model as it is now, as a dict."""
        return {f"{self.prefix}{name}": value for name, value in self.numbers().items()}

    def on_epoch_end(self, epoch, logs=None):
        if (epoch + 1) % self.every == 0 and logs is not None:
            logs.update(self.evaluate())

    def tower_output(self, x, modality=None, projected=True):
        """What one tower of a `ContrastiveTrainer` makes of its input, as an array `(rows, dim)`.

        Args:
            x: What the tower takes.
            modality: The name of the tower; `None` for a trainer with one encoder.
            projected: Whether the projector, if there is one, is applied.
        """
        key = id(self.model), modality, projected
        if key not in self._made:
            self._made[key] = _InARow(self._parts(modality, projected))
        return self._made[key].predict(x, batch_size=self.batch_size, verbose=0)

    def _parts(self, modality, projected):
        encoders = getattr(self.model, "encoders", None)
        if encoders is None:
            raise TypeError(
                f"`{type(self).__name__}` evaluates a `ContrastiveTrainer`. Received: `{type(self.model).__name__}`, "
                "which has no `encoders`. Pass `embed` for another model."
            )
        one = not isinstance(encoders, dict)
        if modality is not None if one else modality not in encoders:
            expected = "`None`, as there is one encoder" if one else f"one of {', '.join(encoders)}"
            raise ValueError(f"The modality must be {expected}. Received: {modality!r}.")
        layers = [encoders, self.model.projectors] if projected else [encoders]
        parts = [layer.get(modality) if isinstance(layer, dict) else layer for layer in layers]
        return [part for part in parts if part is not None]


class _InARow(keras.Model):
    """Layers one after the other, in inference; their weights are those of the model that is trained."""

    def __init__(self, parts):
        super().__init__(name="in_a_row")
        self.parts = parts

    def call(self, x, training=None):
        for part in self.parts:
            x = part(x, training=False)
        return x
