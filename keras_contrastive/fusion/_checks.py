"""Checks of the arguments of fusion models."""

from collections.abc import Collection
from typing import Any

from keras_contrastive import _checks
from keras_contrastive._tokens import POOLINGS
from keras_contrastive.fusion._matching import ImageTextMatching


def check_fusion_parts(
    encoders: Any,
    fusion: Any,
    padding_id: int,
    masked_language: Any = None,
    predictors: Any = None,
) -> None:
    """Raises unless there is one image and one text tower, and parts have the right kind."""
    if not isinstance(encoders, dict) or sorted(encoders) != ["image", "text"]:
        raise ValueError(
            "`encoders` must be a dict of two towers that return tokens, "
            f'`{{"image": ..., "text": ...}}`. Received: {names_or_type(encoders)}.'
        )
    if predictors is not None:
        raise ValueError(
            "`predictors` must be `None` in a `FusionTrainer`. "
            f"Received: predictors={predictors!r}. Use them in `ContrastiveTrainer`."
        )
    _checks.layer("fusion", fusion, "a `keras_contrastive.fusion.FusionEncoder`")
    if masked_language is not None:
        kind = "a `keras_contrastive.fusion.MaskedLanguage`"
        _checks.layer("masked_language", masked_language, kind)
    corruption = getattr(masked_language, "corruption", None)
    for name, part in (('encoders["text"]', encoders["text"]), ("masked_language", corruption)):
        part_padding_id = getattr(part, "padding_id", padding_id)
        if part_padding_id != padding_id:
            raise ValueError(
                f"`padding_id` must be the same in the model and in `{name}`. "
                f"Received: padding_id={padding_id} in the model, {part_padding_id} in `{name}`."
            )


def names_or_type(value: Any) -> str:
    """Returns the keys of a dict, or the type of anything else, for messages."""
    if isinstance(value, dict):
        return ", ".join(map(str, value)) or "an empty dict"
    return type(value).__name__


def check_pooling(pooling: Any, modalities: Collection[str] = ()) -> None:
    """Raises unless `pooling` is an option, or, if there are modalities, a dict of options."""
    by_modality = bool(modalities) and isinstance(pooling, dict)
    options = list(pooling.values()) if by_modality else [pooling]
    unknown = by_modality and not set(pooling) <= set(modalities)
    if unknown or any(not isinstance(option, str) or option not in POOLINGS for option in options):
        expected = ", ".join(map(repr, POOLINGS)) + ", or a dict by modality" * bool(modalities)
        raise ValueError(f"`pooling` must be one of {expected}. Received: pooling={pooling!r}.")


def check_matching(matching: Any) -> None:
    """Raises unless `matching` is a bool, `None` or an `ImageTextMatching`."""
    if not isinstance(matching, (bool, ImageTextMatching)) and matching is not None:
        raise TypeError(
            "`matching` must be `True`, `None` or a `keras_contrastive.fusion.ImageTextMatching`. "
            f"Received: matching={matching!r}."
        )


def check_num_images(num_images: Any, encoder_images: int) -> None:
    """Raises unless the fusion encoder reads this number of images, or one image at a time."""
    _checks.optional_positive_int("num_images", num_images)
    if num_images is not None and encoder_images not in (1, num_images):
        expected = "1 image" if num_images == 1 else f"1 or {num_images} images"
        raise ValueError(
            f"`fusion` must read {expected} with each text. "
            f"Received: a fusion encoder of {encoder_images} images."
        )
