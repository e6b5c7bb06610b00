"""A model keeps its weights if a step raises an error."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import keras


def _recovering(name: str) -> Any:
    """Returns a method of `keras.Model` that puts the model in order if it raises an error."""

    @functools.wraps(getattr(keras.Model, name))
    def method(self: "RecoveringModel", *args: Any, **kwargs: Any) -> Any:
        with self._recover_after_errors():
            return getattr(super(RecoveringModel, self), name)(*args, **kwargs)

    return method


class RecoveringModel(keras.Model):
    """A Keras model that can be used after an error or an interrupt of `fit` and other methods.

    * On JAX, Keras takes the values out of the variables before the first step, and has nothing to
      put back if that step, or a callback of `evaluate` and `predict`, raises.
    * On TensorFlow, a function whose tracing failed cannot create variables when it is called
      again.
    """

    fit = _recovering("fit")
    evaluate = _recovering("evaluate")
    predict = _recovering("predict")
    train_on_batch = _recovering("train_on_batch")
    test_on_batch = _recovering("test_on_batch")
    predict_on_batch = _recovering("predict_on_batch")

    @contextlib.contextmanager
    def _recover_after_errors(self) -> Iterator[None]:
        try:
            yield
        except BaseException:  # also an interrupt
            self._put_back()
            # The next call traces its function anew.
            self.train_function = self.test_function = self.predict_function = None
            raise
        finally:
            self.__dict__.pop("_removed", None)

    def _put_back(self) -> None:
        sync = getattr(self, "jax_state_sync", None)
        if sync is not None:
            sync()  # the state after the last complete step, if there was one
        for variable, value in self.__dict__.get("_removed", ()):
            if variable._value is None and not value.is_deleted():
                variable._value = value

    def _purge_model_variables(self, **kinds: bool) -> None:
        # Keras calls this on JAX only.
        variables = [*self.variables, *self.metrics_variables]
        optimizer = getattr(self, "optimizer", None)  # absent before `compile`
        variables += [] if optimizer is None else optimizer.variables
        # Not as an attribute, which Keras would track as weights.
        self.__dict__["_removed"] = [(v, v._value) for v in variables if v._value is not None]
        super()._purge_model_variables(**kinds)
