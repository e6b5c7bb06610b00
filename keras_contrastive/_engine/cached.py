"""A cached property for objects that several replicas use at once."""

from collections.abc import Callable
from typing import Any


class LocklessCachedProperty:
    """`functools.cached_property` without a lock.

    Up to Python 3.11, all instances share that lock. Replicas of `tf.distribute` are threads that
    yield to each other inside a gather, so one replica could wait for a lock that another holds.
    """

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = vars(instance)[self.compute.__name__] = self.compute(instance)
        return value
