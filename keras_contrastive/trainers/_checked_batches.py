"""CheckedBatches: methods of a trainer that check one batch, or the inputs of `predict`."""

from typing import Any

from keras_contrastive.trainers import _doors as doors
from keras_contrastive.trainers._embedder_source import EmbedderSource


class CheckedBatches(EmbedderSource):
    """Checks data before Keras gets it."""

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns embeddings as `keras.Model.predict`: a dict by modality, or an array.

        `x` may contain some of the modalities only.
        """
        return super().predict(doors.prepare_predict(self, x), *args, **kwargs)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains on one batch as `keras.Model.train_on_batch`. `y` holds ids or is `None`."""
        bound = doors.bind(super().train_on_batch, x, y, *args, **kwargs)
        doors.prepare_batch(self, bound.arguments, training=True)
        return super().train_on_batch(*bound.args, **bound.kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch as `keras.Model.test_on_batch`. `y` holds ids or is `None`."""
        bound = doors.bind(super().test_on_batch, x, y, *args, **kwargs)
        doors.prepare_batch(self, bound.arguments, training=False)
        return super().test_on_batch(*bound.args, **bound.kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Returns embeddings of one batch as `keras.Model.predict_on_batch`."""
        return super().predict_on_batch(doors.prepare_predict(self, x))
