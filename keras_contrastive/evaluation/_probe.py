"""What the callbacks that probe features share."""

from keras import ops

from keras_contrastive.evaluation._callback import CorpusEvaluation


class ProbeEvaluation(CorpusEvaluation):
    """Probes the features of one tower at the end of epochs; a subclass has a `name` and implements `probe`."""

    name = ""

    def __init__(
        self,
        x,
        labels,
        new_x,
        new_labels,
        modality=None,
        projected=False,
        batch_size=256,
        every=1,
        prefix="val_",
        embed=None,
        **kwargs,
    ):
        super().__init__(every, prefix, batch_size)
        self.data = (x, labels, new_x, new_labels)
        self.modality = modality
        self.projected = projected
        self.embed = embed
        self.settings = kwargs

    def probe(self, features, labels, new_features, new_labels):
        """The numbers, by name."""
        raise NotImplementedError

    def numbers(self):
        x, labels, new_x, new_labels = self.data
        results = self.probe(self._features(x), labels, self._features(new_x), new_labels)
        return {f"{self.name}_{name}": value for name, value in results.items()}

    def _features(self, x):
        if self.embed is not None:
            return ops.convert_to_numpy(self.embed(self.model, x))
        return self.tower_output(x, self.modality, self.projected)
