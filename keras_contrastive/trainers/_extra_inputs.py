"""Extra inputs of a trainer: checks of their names, and attributes of the rows."""

from collections.abc import Mapping
from typing import Any

from keras_contrastive._typing import Layers, Structure, Tensor
from keras_contrastive.trainers._guides import guides_by_view
from keras_contrastive.trainers._hard_negatives import check_hard_negative_ids
from keras_contrastive.trainers._log_weights import check_log_weights, log_weights_by_view


def attributes_by_view(
    trainer: Any, inputs: Mapping[str, Structure], views: Mapping[str, Tensor]
) -> dict[str, Any]:
    """Returns the log-weights and guides of the rows of each view, for `Batch.from_targets`.

    Args:
        trainer: A trainer with `log_weights` and `guides`.
        inputs: Inputs by name.
        views: Embeddings by view.
    """
    second_views = trainer.second_view_names
    log_weights = log_weights_by_view(inputs, trainer.log_weights, second_views)
    guides = None
    if trainer.guides is not None:
        guides = guides_by_view(trainer, inputs, second_views)
    return {
        "log_weights": {name: x for name, x in log_weights.items() if name in views},
        "guides": guides,
    }


def check_extra_inputs(
    encoders: Layers, hard_negatives: Any, hard_negative_ids: Any, log_weights: Any, present: Any
) -> None:
    """Raises unless each argument maps names of new inputs to the parts that have them."""
    _check_modalities("hard_negatives", hard_negatives, encoders)
    check_hard_negative_ids(hard_negative_ids, hard_negatives)
    check_log_weights(log_weights, hard_negatives, encoders)
    _check_modalities("present", present, encoders)
    arguments = {
        "hard_negatives": hard_negatives,
        "hard_negative_ids": hard_negative_ids,
        "log_weights": log_weights,
        "present": present,
    }
    owners = dict.fromkeys(encoders, "encoders") if isinstance(encoders, dict) else {}
    for argument, names in arguments.items():
        for name in names or ():
            if name in owners:
                raise ValueError(
                    f"`{argument}` must have names of new inputs. Received: {name!r}, which is a "
                    f"name in `{owners[name]}` as well."
                )
            owners[name] = argument


def _check_modalities(argument: str, inputs: Any, encoders: Layers) -> None:
    """Raises if extra inputs belong to no modality."""
    if not inputs:
        return
    names = list(encoders) if isinstance(encoders, dict) else []
    if not isinstance(inputs, Mapping):
        raise TypeError(
            f"`{argument}` must be a dict from names of inputs to modalities. "
            f"Received: {argument}={inputs!r}."
        )
    if not set(inputs.values()) <= set(names):
        expected = f"the modalities {', '.join(names)}" if names else "a dict of encoders"
        raise ValueError(
            f"`{argument}` must be a dict from names of inputs to modalities. "
            f"Received: {argument}={inputs!r}. It needs {expected}."
        )
