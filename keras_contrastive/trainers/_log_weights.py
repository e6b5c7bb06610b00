"""Log-weights of candidates: extra inputs of a trainer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from keras_contrastive._engine import check_finite, to_numpy
from keras_contrastive._typing import Layers, Structure, Tensor
from keras_contrastive.trainers._hard_negatives import has_one_for_each, num_per_row


def check_log_weights(log_weights: Any, hard_negatives: Any, encoders: Layers) -> None:
    """Raises unless `log_weights` maps names of new inputs to modalities or hard negatives."""
    if not log_weights:
        return
    modalities = list(encoders) if isinstance(encoders, dict) else []
    owners = [*modalities, *(hard_negatives or ())]
    expected = (
        "`log_weights` must be a dict from names of inputs to modalities, or to names of "
        f"`hard_negatives`. Received: log_weights={log_weights!r}."
    )
    if not isinstance(log_weights, Mapping):
        raise TypeError(expected)
    if not set(log_weights.values()) <= set(owners):
        known = f"the names {', '.join(owners)}" if owners else "a dict of encoders"
        raise ValueError(f"{expected} It needs {known}.")
    if len(set(log_weights.values())) < len(log_weights):
        raise ValueError(f"{expected} Each of them has log-weights from one input.")


def checked_log_weights(
    x: Structure,
    log_weights: Mapping[str, str],
    hard_negatives: Mapping[str, str],
    present: Mapping[str, str],
) -> Structure:
    """Checks log-weights in arrays, on the host. Returns `x` with them as float arrays.

    Args:
        x: Inputs by name.
        log_weights: Names of modalities or hard negatives by names of inputs.
        hard_negatives: Modalities by names of inputs.
        present: Modalities by names of inputs, which `checked_presence` has checked.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If a candidate has none, or those of rows that are present are not finite.
    """
    for name, owner in log_weights.items():
        count = 1
        if owner in hard_negatives:
            count = num_per_row(owner, x, hard_negatives[owner]) or 1
        values = to_numpy(x[name])
        if values.dtype.kind not in "iufV":  # V: bfloat16
            raise TypeError(
                f"`{name}` must hold log-weights, one number for each `{owner}`. Received: dtype "
                f"{values.dtype}."
            )
        if not has_one_for_each(values, count):
            raise ValueError(
                f"`{name}` must have one log-weight for each item of `{owner}`, which has {count} "
                f"for each row. Received: shape {values.shape}."
            )
        modality = hard_negatives.get(owner, owner)
        masks = [to_numpy(x[key]) > 0 for key, of in present.items() if of == modality]
        check_finite(name, values[np.all(masks, axis=0)] if masks else values)
        x = {**x, name: values.astype("float32") if values.dtype.kind in "iu" else values}
    return x


def log_weights_by_view(
    x: Structure, log_weights: Mapping[str, str], second_views: Mapping[str, str]
) -> dict[str, Tensor]:
    """Returns the log-weights of the rows of each view, `(batch,)`.

    Args:
        x: The inputs of a step.
        log_weights: See `checked_log_weights`.
        second_views: Names of second views by modality. They have the log-weights of the modality.
    """
    values = {
        owner: ops.reshape(x[name], (-1,)) for name, owner in log_weights.items() if name in x
    }
    second = {second_views[name]: x for name, x in values.items() if name in second_views}
    return {**values, **second}
