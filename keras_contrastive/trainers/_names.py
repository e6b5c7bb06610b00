"""Losses and metrics by name, as in `compile(loss="info_nce", metrics=["recall_at_1"])`."""

import difflib
import inspect
import re
from typing import Any

import keras

from keras_contrastive._keras import snake_case
from keras_contrastive.losses import ContrastiveLoss

_PREFIX = "keras_contrastive>"


def loss_from_name(name: str) -> ContrastiveLoss:
    """Returns the loss of this name with its default arguments.

    Raises:
        ValueError: If there is no such loss, or if it has arguments without a default.
    """
    classes = {
        snake_case(cls.__name__): cls for cls in _registered() if issubclass(cls, ContrastiveLoss)
    }
    required = {key: _required(cls) for key, cls in classes.items()}
    if required.get(name):
        call = f"kc.losses.{classes[name].__name__}({required[name][0]}=...)"
        raise ValueError(
            f"`loss` must be an object if it has required arguments. Received: loss={name!r}. "
            f"Pass `loss={call}`."
        )
    known = [key for key in classes if not required[key]]
    if name not in known:
        raise _unknown("loss", "a contrastive loss or the name of one", name, known)
    return classes[name]()


def metric_from_name(argument: str, name: str) -> keras.metrics.Metric:
    """Returns the metric of this name with its default arguments. `recall_at_5` has `k=5`.

    Args:
        argument: Name of the argument, for the message.
        name: The name.

    Raises:
        ValueError: If there is no such metric.
    """
    classes = {
        snake_case(cls.__name__): cls
        for cls in _registered()
        if issubclass(cls, keras.metrics.Metric) and hasattr(cls, "update_batch")
    }
    at_k = re.fullmatch(r"(\w+_at_)([1-9]\d*)", name)
    if at_k and f"{at_k[1]}k" in classes:
        return classes[f"{at_k[1]}k"](int(at_k[2]))
    if name in classes and not name.endswith("_at_k"):
        return classes[name]()
    known = [re.sub("_at_k$", "_at_1", key) for key in classes]
    raise _unknown(argument, "metrics that compare views or their names", name, known)


def _registered() -> list[Any]:
    """Returns the classes of the package that are registered for saving."""
    objects = keras.saving.get_custom_objects().items()
    return [cls for key, cls in objects if key.startswith(_PREFIX) and inspect.isclass(cls)]


def _required(cls: Any) -> list[str]:
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in kinds]


def _unknown(argument: str, expected: str, name: str, known: list[str]) -> ValueError:
    known = sorted(known)
    plain = {key.replace("_", ""): key for key in known}
    nearest = difflib.get_close_matches(name.lower().replace("_", ""), plain, n=1, cutoff=0.5)
    hint = f" Did you mean {plain[nearest[0]]!r}?" if nearest else ""
    return ValueError(
        f"`{argument}` must be {expected}: {', '.join(map(repr, known))}. "
        f"Received: {argument}={name!r}.{hint}"
    )
