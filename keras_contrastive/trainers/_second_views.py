"""Second views of a modality: from augmenters, or from a teacher."""

import dataclasses
from typing import Any, Protocol

from keras import ops

from keras_contrastive._typing import Layers, Structure, Tensor
from keras_contrastive._view_names import AUGMENTED, INDEPENDENT
from keras_contrastive.layers import MomentumTeacher

RESERVED_SUFFIXES = (AUGMENTED, INDEPENDENT)
# The views of a single encoder.
FIRST_VIEW, SECOND_VIEW = "view_1", "view_2"


class SecondViews(Protocol):
    """Computes the second view of a modality."""

    def embed(
        self, model: Any, name: str, inputs: Structure, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Returns `(features, embedding)`, each `(batch, dim)`."""


@dataclasses.dataclass(frozen=True)
class AugmentedViews:
    """The encoder embeds an augmentation of the inputs."""

    def embed(
        self, model: Any, name: str, inputs: Structure, training: bool
    ) -> tuple[Tensor, Tensor]:
        features = model.encode(name, model.augment(name, inputs, training), training)
        return features, model.project(name, features, training)


@dataclasses.dataclass(frozen=True)
class TeacherViews:
    """A teacher embeds the inputs, or an augmentation if there is one encoder."""

    teacher: MomentumTeacher

    def embed(
        self, model: Any, name: str, inputs: Structure, training: bool
    ) -> tuple[Tensor, Tensor]:
        # Outside of `in_place`, which would drop the new state of the augmenter.
        return self.embed_augmented(model, name, model.augment(name, inputs, training), training)

    def embed_augmented(
        self, model: Any, name: str, inputs: Structure, training: bool
    ) -> tuple[Tensor, Tensor]:
        """Returns `(features, embedding)` of inputs as they are, each `(batch, dim)`."""
        with self.teacher.in_place():
            features = model.encode(name, inputs, training)
            embedding = model.project(name, features, training)
        return ops.stop_gradient(features), ops.stop_gradient(embedding)


def second_view_names(
    encoders: Layers, augmenters: Layers, teacher: MomentumTeacher | None
) -> dict[str, str]:
    """Returns the names of second views by modality, in the order of the modalities."""
    if not isinstance(encoders, dict):
        return {FIRST_VIEW: SECOND_VIEW}
    names = encoders if teacher is not None else augmenters or ()
    return {name: name + AUGMENTED for name in encoders if name in names}
