"""Checks of arguments. Each raises a clear error, or returns the value."""

import inspect
import math
import os
import warnings
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import keras
import numpy as np

_SMALLEST_DIVISOR = 1e-38  # float32 flushes smaller numbers to 0 or overflows


def is_integer(value: Any) -> bool:
    """Returns whether a value is an integer of Python or NumPy, and not a bool."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def is_number(value: Any) -> bool:
    """Returns whether a value is a real number of Python or NumPy, and not a bool."""
    real = isinstance(value, (int, float, np.integer, np.floating))
    return real and not isinstance(value, (bool, np.bool_))


def integer(name: str, value: Any, hint: str = "") -> int:
    """Returns an integer. Raises a `TypeError` for anything else."""
    if not is_integer(value):
        raise TypeError(_message(name, "an integer", value, hint))
    return int(value)


def positive_int(name: str, value: Any, hint: str = "") -> int:
    """Returns a positive integer. Raises a `TypeError` or a `ValueError` for anything else."""
    if not is_integer(value):
        raise TypeError(_message(name, "a positive integer", value, hint))
    if value < 1:
        raise ValueError(_message(name, "a positive integer", value, hint))
    return int(value)


def optional_positive_int(name: str, value: Any, hint: str = "") -> int | None:
    """Returns a positive integer or `None`."""
    if value is None:
        return None
    if not is_integer(value):
        raise TypeError(_message(name, "`None` or a positive integer", value, hint))
    if value < 1:
        raise ValueError(_message(name, "`None` or a positive integer", value, hint))
    return int(value)


def non_negative_int(name: str, value: Any, hint: str = "") -> int:
    """Returns an integer that is at least 0."""
    if not is_integer(value):
        raise TypeError(_message(name, "a non-negative integer", value, hint))
    if value < 0:
        raise ValueError(_message(name, "a non-negative integer", value, hint))
    return int(value)


def real(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    include_low: bool = True,
    include_high: bool = True,
    expected: str = "",
    hint: str = "",
) -> float:
    """Returns a finite number between `low` and `high`.

    Args:
        name: Name of the argument, for the message.
        value: The value to check.
        low: Lower limit.
        high: Upper limit.
        include_low: Whether `low` itself is allowed.
        include_high: Whether `high` itself is allowed.
        expected: Description of the expectation. By default it is derived from the limits.
        hint: A sentence that tells how to fix the value.

    Raises:
        TypeError: If the value is not a number.
        ValueError: If the value is not finite, or outside the limits.
    """
    expected = expected or _interval(low, high, include_low, include_high)
    if not is_number(value):
        raise TypeError(_message(name, expected, value, hint))
    number = float(value)
    above = number >= low if include_low else number > low
    below = number <= high if include_high else number < high
    if not (above and below and math.isfinite(number)):
        raise ValueError(_message(name, expected, value, hint))
    return number


def fraction(name: str, value: Any, hint: str = "") -> float:
    """Returns a number in [0, 1]."""
    return real(name, value, 0, 1, hint=hint)


def non_negative(name: str, value: Any, hint: str = "") -> float:
    """Returns a finite number that is at least 0."""
    return real(name, value, 0, expected="a non-negative, finite number", hint=hint)


def positive(name: str, value: Any, hint: str = "") -> float:
    """Returns a finite number above 0."""
    return real(name, value, 0, include_low=False, expected="a positive, finite number", hint=hint)


def divisor(name: str, value: Any, expected: str = "", hint: str = "") -> float:
    """Returns a positive, finite number whose reciprocal is finite in float32."""
    expected = expected or "a positive, finite number"
    value = real(name, value, 0, include_low=False, expected=expected, hint=hint)
    if value < _SMALLEST_DIVISOR:
        raise ValueError(
            f"`{name}` must be at least {_SMALLEST_DIVISOR:.0e}, so that float32 contains "
            f"1 / {name}. Received: {name}={value!r}."
        )
    return value


def float_dtype(name: str, value: Any) -> str:
    """Returns the name of a floating-point dtype."""
    try:
        dtype = keras.backend.standardize_dtype(value)
    except (TypeError, ValueError):
        dtype = ""
    if not dtype.startswith(("float", "bfloat")):
        raise ValueError(_message(name, "a floating-point dtype such as 'float32'", value, ""))
    return dtype


def boolean(name: str, value: Any) -> bool:
    """Returns a bool. Raises a `TypeError` for anything else."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(_message(name, "a bool", value, ""))
    return bool(value)


def one_of(name: str, value: Any, options: Collection[Any], hint: str = "") -> Any:
    """Returns one of several options. Raises a `ValueError` for anything else."""
    if not any(
        value is option or (type(value) is type(option) and value == option) for option in options
    ):
        raise ValueError(_message(name, f"one of {', '.join(map(repr, options))}", value, hint))
    return value


def layer(name: str, value: Any, kind: str = "a Keras layer", hint: str = "") -> Any:
    """Returns a Keras layer. Raises a `TypeError` for anything else."""
    if not isinstance(value, keras.layers.Layer):
        raise TypeError(_message(name, kind, value, hint))
    return value


def known_names(name: str, values: Iterable[Any], known: Collection[Any], what: str) -> None:
    """Raises a `ValueError` if one of the values is not a known name."""
    unknown = [value for value in values if value not in known]
    if unknown:
        raise ValueError(
            f"`{name}` must contain {what}: {', '.join(map(str, known)) or 'none'}. "
            f"Received: {', '.join(map(repr, unknown))}."
        )


def different_token_ids(vocabulary_size: int, **ids: Any) -> None:
    """Raises a `ValueError` unless all values are different ids of the vocabulary."""
    values = list(ids.values())
    valid = all(is_integer(value) and 0 <= value < vocabulary_size for value in values)
    if not valid or len(set(values)) < len(values):
        received = ", ".join(f"{name}={value!r}" for name, value in ids.items())
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in ids)} must be different token ids in "
            f"[0, {vocabulary_size}), the vocabulary. Received: {received}."
        )


def same_shape(shapes: Mapping[str, tuple[int | None, ...]], what: str, fix: str) -> None:
    """Raises a `ValueError` if known sizes of the shapes differ.

    Args:
        shapes: Shapes by the user's names.
        what: Subject of the message, such as "Embeddings of all modalities".
        fix: A sentence that tells how to fix it.
    """
    first = next(iter(shapes.values()), ())
    if any(len(shape) != len(first) or differ(shape, first) for shape in shapes.values()):
        raise ValueError(f"{what} must have the same shape. Received: {listing(shapes)}. {fix}")


def differ(shape: tuple[int | None, ...], other: tuple[int | None, ...]) -> bool:
    """Returns whether two shapes of equal rank have different known sizes."""
    pairs = zip(shape, other, strict=True)
    return any(a is not None and b is not None and a != b for a, b in pairs)


def listing(shapes: Mapping[str, tuple[int | None, ...]]) -> str:
    """Returns shapes by name as text, such as `image (8, 4), text (8, 3)`."""
    return ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())


def _interval(low: float, high: float, include_low: bool, include_high: bool) -> str:
    left = "[" if include_low and low > -math.inf else "("
    right = "]" if include_high and high < math.inf else ")"
    return f"a number in {left}{low}, {high}{right}"


def _message(name: str, expected: str, value: Any, hint: str) -> str:
    return f"`{name}` must be {expected}. Received: {name}={value!r}.{' ' + hint if hint else ''}"


def positive_ints(**sizes: Any) -> None:
    """Raises unless all values are positive integers."""
    for name, size in sizes.items():
        positive_int(name, size)


def optional_positive_ints(**sizes: Any) -> None:
    """Raises unless all values are positive integers or `None`."""
    for name, size in sizes.items():
        optional_positive_int(name, size)


def warn_of_a_logit_scale(name: str, temperature: float) -> None:
    """Warns if a temperature is so high that it is probably a logit scale."""
    if temperature > 2:
        warn(
            f"`{name}` is {temperature:.4g}, but temperatures are below 1 as a rule. At this value "
            "all candidates are almost equal, and little is learned. If it is a logit scale, pass "
            "1 / scale."
        )


def warn(message: str) -> None:
    """Warns at the line of the user's code that leads here. Python shows it once for each line."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_INTERNAL):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


_INTERNAL = tuple(os.path.dirname(str(module)) + os.sep for module in (__file__, keras.__file__))


def takes_log_weights(loss: Any, argument: str = "log_weights") -> None:
    """Raises a `ValueError` unless the logits of a loss can have log-weights."""
    if not loss.takes_log_weights:
        raise ValueError(
            f"`{argument}` must be `None` for this loss, which has no log-sum over candidates. "
            f"Received: loss={loss!r}. Use `InfoNCE`, `NTXent`, `SupCon`, or "
            "`DecoupledContrastive` without `weight_sigma`."
        )
