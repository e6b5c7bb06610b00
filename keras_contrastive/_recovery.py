"""A model keeps its weights if a step raises an error."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import keras

Method = TypeVar("Method", bound=Callable[..., Any])


def _documented_as(original: Any) -> Callable[[Method], Method]:
    """Gives a method the signature and the documentation of another one."""
    return cast(Callable[[Method], Method], functools.wraps(original))


class RecoveringModel(keras.Model):
    """A Keras model that can be used after an error of `fit`, `evaluate` or `predict`.

    * On JAX, Keras takes the values out of the variables before the first step, and has nothing to
      put back if that step raises.
    * On TensorFlow, a function whose tracing failed cannot create variables when it is called
      again.
    """

    @_documented_as(keras.Model.fit)
    def fit(self, *args: Any, **kwargs: Any) -> Any:
        with self._recovering():
            return super().fit(*args, **kwargs)

    @_documented_as(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        with self._recovering():
            return super().evaluate(*args, **kwargs)

    @_documented_as(keras.Model.predict)
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        with self._recovering():
            return super().predict(*args, **kwargs)

    @_documented_as(keras.Model.train_on_batch)
    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._recovering():
            return super().train_on_batch(*args, **kwargs)

    @_documented_as(keras.Model.test_on_batch)
    def test_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._recovering():
            return super().test_on_batch(*args, **kwargs)

    @_documented_as(keras.Model.predict_on_batch)
    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        with self._recovering():
            return super().predict_on_batch(*args, **kwargs)

    @contextlib.contextmanager
    def _recovering(self) -> Iterator[None]:
        try:
            yield
        except Exception:
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
