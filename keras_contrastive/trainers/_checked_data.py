"""CheckedData: the methods of a trainer that take data."""

from typing import Any

from keras_contrastive.trainers import _doors as doors
from keras_contrastive.trainers._callbacks import callbacks_of_fit
from keras_contrastive.trainers._embedder_source import EmbedderSource
from keras_contrastive.trainers._resume import TrainingProgress


class CheckedData(EmbedderSource):
    """Checks data before Keras gets it."""

    _progress: TrainingProgress

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains the model as `keras.Model.fit`.

        Row numbers are the ids if the loss has a queue or keeps state for `num_items` items, `y` is
        `None`, and `x` is arrays (of exactly that many rows).

        Callbacks of `keras_contrastive.evaluation` run before the others, and the progress bar
        shows their main measures. Callbacks with the mode `"auto"` that monitor a metric or a
        measure of this package get its mode. The logs of an epoch have the learnable `temperature`
        and `bias` of the loss.

        Args:
            x: For towers, a dict by modality of arrays with equal numbers of rows. For one encoder,
                its input. Or a data set with batches `x`, `(x, ids)` or `(x, ids, sample_weight)`.
            y: `None`, or integer ids or labels `(rows,)` of the rows of `x`, in `[0, 2**31)`. Rows
                with the same id belong together.
            *args, **kwargs: See `keras.Model.fit`.

        Returns:
            A `keras.callbacks.History`.

        Raises:
            TypeError, ValueError: If the data do not fit the model. The weights are unchanged.
        """
        with doors.errors_in_our_words():
            bound = doors.bind(super().fit, x, y, *args, **kwargs)
            arguments = bound.arguments
            arguments["callbacks"] = callbacks_of_fit(self, arguments)
            doors.prepare_fit(self, self._progress, arguments)
            return super().fit(*bound.args, **bound.kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates as `keras.Model.evaluate`. `y` holds integer ids `(batch,)` or is `None`."""
        with doors.errors_in_our_words():
            bound = doors.bind(super().evaluate, x, y, *args, **kwargs)
            doors.prepare_evaluate(self, bound.arguments)
            return super().evaluate(*bound.args, **bound.kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Returns embeddings as `keras.Model.predict`: a dict by modality, or an array.

        Args:
            x: The inputs of `fit`, or some of the modalities, or a data set of them. Ids and extra
                inputs are ignored.
            *args, **kwargs: See `keras.Model.predict`.

        Returns:
            Arrays `(rows, dim)`, as the encoders and projectors return them. The model that
            `embedder` returns scales them to unit length if the loss does.

        Raises:
            TypeError, ValueError: If the inputs do not fit the model.
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
