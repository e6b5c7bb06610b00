"""What the parts of the fusion model refuse."""

import math

import keras
import numpy as np

from keras_contrastive._checks import check_optional_sizes, is_number
from keras_contrastive._tokens import POOLINGS
from keras_contrastive.losses import InfoNCE


def check_weights(**weights):
    """Refuse what is no non-negative number, and nothing but zeros."""
    for name, weight in weights.items():
        if not is_number(weight) or not 0 <= weight < math.inf:
            raise ValueError(
                f"`{name}` must be a non-negative, finite number. Received: {name}={weight!r}."
            )
    if not any(weights.values()):
        raise ValueError(f"One of {', '.join(weights)} must be positive: nothing would be learned.")


def check_fusion_parts(encoders, fusion, padding_id, masked_language=None):
    """Refuse other towers than one of images and one of texts, and parts of other kinds."""
    if not isinstance(encoders, dict) or sorted(encoders) != ["image", "text"]:
        found = (
            ", ".join(map(str, encoders)) if isinstance(encoders, dict) else type(encoders).__name__
        )
        raise ValueError(
            '`encoders` must be a dict of two towers that yield tokens, `{"image": ..., "text": ...}`. '
            f"Received: {found}."
        )
    for name, part in (("fusion", fusion), ("masked_language", masked_language)):
        if not isinstance(part, keras.layers.Layer) and (part is not None or name == "fusion"):
            kind = "FusionEncoder" if name == "fusion" else "MaskedLanguage"
            raise TypeError(
                f"`{name}` must be a `keras_contrastive.fusion.{kind}`. Received: {name}={part!r}."
            )
    corruption = getattr(masked_language, "corruption", None)
    for name, part in (('encoders["text"]', encoders["text"]), ("masked_language", corruption)):
        found = getattr(part, "padding_id", padding_id)
        if found != padding_id:
            raise ValueError(
                f"`{name}` takes another id for padding than this model. Received: padding_id={padding_id}, and "
                f"there {found}."
            )


def check_momentum(momentum, soft_targets, soft_target_steps, others):
    """Refuse soft targets that nobody gives, and other sources of views besides slow encoders."""
    if not is_number(soft_targets) or not 0 <= soft_targets <= 1:
        raise ValueError(
            "`soft_targets` must be in [0, 1], the share of the targets that the slow encoders have. "
            f"Received: soft_targets={soft_targets!r}."
        )
    if (
        isinstance(soft_target_steps, bool)
        or not isinstance(soft_target_steps, (int, np.integer))
        or soft_target_steps < 0
    ):
        raise ValueError(
            f"`soft_target_steps` must be a number of steps. Received: soft_target_steps={soft_target_steps!r}."
        )
    if momentum is None:
        if soft_targets:
            raise ValueError(
                "`soft_targets` come from slow copies of the encoders: pass `momentum` as well, such as 0.995. "
                f"Received: soft_targets={soft_targets}, momentum=None."
            )
        return
    for name in ("augmenters", "hard_negatives"):
        if others.get(name):
            reason = (
                "the slow encoders make the augmented views; augment the data, or within the image tower"
                if name == "augmenters"
                else "the candidates are embeddings of the slow encoders"
            )
            raise ValueError(
                f"`{name}` cannot go together with `momentum`: {reason}. Received: {name}={others[name]!r}."
            )


def check_fusion_loss(loss, soft_targets):
    """Refuse soft targets for what is no cross-entropy of them."""
    if soft_targets and (not isinstance(loss, InfoNCE) or loss.all_views):
        raise ValueError(
            "`soft_targets` are the targets of a cross-entropy, which the loss `InfoNCE` is. "
            f"Received: loss={loss!r}. Pass `soft_targets=0.0` for any other loss."
        )


def check_pooling(pooling, modalities=()):
    """Refuse what is no way to make one vector of tokens, nor a dict of them by modality, if there are any."""
    ways = list(pooling.values()) if modalities and isinstance(pooling, dict) else [pooling]
    unknown = (
        [name for name in pooling if name not in modalities] if isinstance(pooling, dict) else []
    )
    if unknown or any(not isinstance(way, str) or way not in POOLINGS for way in ways):
        raise ValueError(
            f"`pooling` must be one of {', '.join(POOLINGS)}{', or a dict of them by modality' if modalities else ''}. "
            f"Received: pooling={pooling!r}."
        )


def check_special_ids(vocabulary_size, **ids):
    """Refuse what are not different ids of the vocabulary."""
    found = list(ids.values())
    whole = all(isinstance(id_, (int, np.integer)) and not isinstance(id_, bool) for id_ in found)
    if (
        not whole
        or len(set(found)) < len(found)
        or not all(0 <= id_ < vocabulary_size for id_ in found)
    ):
        told = ", ".join(f"{name}={id_!r}" for name, id_ in ids.items())
        raise ValueError(
            f"{', '.join(f'`{name}`' for name in ids)} must be different token ids, in [0, {vocabulary_size}), the "
            f"vocabulary. Received: {told}."
        )


def check_num_images(num_images, of_fusion):
    """Refuse other numbers of images than the fusion encoder reads, unless it reads one at a time."""
    check_optional_sizes(num_images=num_images)
    if num_images is not None and of_fusion not in (1, num_images):
        raise ValueError(
            f"The fusion encoder reads {of_fusion} images. Received: num_images={num_images}. Take an encoder that "
            "reads one image, or as many."
        )
