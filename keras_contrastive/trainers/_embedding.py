"""EmbeddingModel: how a trainer turns inputs into embeddings."""

import contextlib
from typing import Any

import keras

from keras_contrastive._keras import evaluation_draws
from keras_contrastive._portable import PortableModel
from keras_contrastive._replicas import across_processes
from keras_contrastive._typing import Config, Layer, Layers, Shape, Structure, Tensor
from keras_contrastive.layers import MomentumTeacher, ViewRegularizer
from keras_contrastive.trainers._checks import check_inputs, check_some_inputs
from keras_contrastive.trainers._input_specs import specs_of, symbolic
from keras_contrastive.trainers._micro_batches import apply_in_micro_batches, fits_one_micro_batch
from keras_contrastive.trainers._second_views import (
    FIRST_VIEW,
    AugmentedViews,
    SecondViews,
    TeacherViews,
    second_view_names,
)


class EmbeddingModel(PortableModel):
    """Encoders, projectors, augmenters and a teacher as one model that returns embeddings.

    Subclasses can override the hooks `encode`, `project`, `embed_all`, `second_view` and
    `prepare_outputs`. With one encoder, the name of its modality is `"view_1"`.

    Args:
        encoders: See `ContrastiveTrainer`.
        augmenters: See `ContrastiveTrainer`.
        projectors: See `ContrastiveTrainer`.
        teacher: See `ContrastiveTrainer`.
        micro_batch_size: See `ContrastiveTrainer`.
        **kwargs: See `keras.Model`.
    """

    def __init__(
        self,
        encoders: Layers,
        augmenters: Layers | None = None,
        projectors: Layers | None = None,
        teacher: MomentumTeacher | None = None,
        micro_batch_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Without autocast: an augmenter gets the inputs as they are, for both views. Encoders cast.
        super().__init__(**{**kwargs, "autocast": False})
        self.encoders = encoders
        self.augmenters = _without_none(augmenters)
        self.projectors = projectors
        self.teacher = teacher
        self.micro_batch_size = micro_batch_size
        self.has_towers = isinstance(encoders, dict)
        self.modalities: tuple[str, ...] = tuple(encoders) if self.has_towers else (FIRST_VIEW,)
        self.second_view_names = second_view_names(encoders, self.augmenters, teacher)
        self._second_views: SecondViews = (
            AugmentedViews() if teacher is None else TeacherViews(teacher)
        )
        # Not as an attribute, which Keras would search for weights.
        self.__dict__["input_specs"] = {}

    def call(self, inputs: Structure, training: bool | None = None) -> Any:
        with across_processes() if training else contextlib.nullcontext():
            inputs = self.inputs_by_modality(inputs, complete=bool(training))
            modalities = {name: inputs[name] for name in self.modalities if name in inputs}
            for name, x in modalities.items():
                self.input_specs.setdefault(name, specs_of(x, self.variable_dtype))
            self._build_augmenters(inputs)
            if training and not self.has_towers:
                inputs = {FIRST_VIEW: self.augment(FIRST_VIEW, inputs[FIRST_VIEW])}
            embeddings, extras = self.embed_all(inputs, training)
            is_complete = len(modalities) == len(self.modalities)
            if self.teacher is not None and not self.teacher.built and is_complete:
                self.teacher.follow(self._parts_of_the_towers())
            self.build_predictors(embeddings)
        if not self.has_towers and not (training and extras):
            return embeddings[FIRST_VIEW]
        return {**embeddings, **extras} if training else embeddings

    # Hooks

    def embed_all(
        self, inputs: dict[str, Structure], training: bool | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Embeds all modalities. A hook for subclasses.

        Args:
            inputs: Inputs by modality. Outside of training, some modalities may be missing.
            training: Whether this is a training step.

        Returns:
            `(embeddings, extras)`: embeddings by name, and other tensors that `extra_losses` needs.
            In training, `call` returns both as one dict. Otherwise, it returns the embeddings.
        """
        features = {
            name: self.encode(name, inputs[name], training)
            for name in self.modalities
            if name in inputs
        }
        return self.embeddings_of(features, training), {}

    def encode(self, name: str, inputs: Structure, training: bool | None) -> Tensor:
        """Returns the features of a modality, `(batch, dim)`. A hook for subclasses."""
        encoder = self.encoders[name] if self.has_towers else self.encoders
        return self.apply_in_micro_batches(encoder, inputs, training)

    def project(self, name: str, features: Tensor, training: bool | None) -> Tensor:
        """Returns the embedding of features, `(batch, dim)`. A hook for subclasses."""
        projector = self.projectors
        if isinstance(projector, dict):
            projector = projector.get(name)
        return features if projector is None else projector(features, training=training)

    def second_view(
        self, name: str, inputs: Structure, training: bool | None
    ) -> tuple[Tensor, Tensor]:
        """Embeds the second view of a modality. A hook for subclasses.

        Returns:
            `(features, embedding)`, each `(batch, dim)`.
        """
        return self._second_views.embed(self, name, inputs, bool(training))

    def prepare_outputs(
        self, shapes: dict[str, Shape], features_shapes: dict[str, Shape] | None
    ) -> None:
        """Builds layers that depend on the shapes of embeddings. A hook for subclasses.

        `call` uses it, since Keras traces nothing else when it loads a model.
        """

    def add_features(
        self, embeddings: dict[str, Tensor], features: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Returns the embeddings and further outputs of `call`. A hook for subclasses."""
        return embeddings

    def build_predictors(self, embeddings: dict[str, Tensor]) -> None:
        """Builds layers that are applied to embeddings outside of `call`."""

    # Parts for hooks

    def embeddings_of(
        self, features: dict[str, Tensor], training: bool | None
    ) -> dict[str, Tensor]:
        """Projects features by modality, and adds the features of regularizers."""
        embeddings = {
            name: self.project(name, features[name], training)
            for name in self.modalities
            if name in features
        }
        if len(embeddings) < len(self.modalities):
            return self.add_features(embeddings, features)
        shapes = {name: embedding.shape for name, embedding in embeddings.items()}
        shapes |= {view: shapes[name] for name, view in self.second_view_names.items()}
        if not self.has_towers:
            self.prepare_outputs(shapes, None)
            return embeddings
        self.prepare_outputs(shapes, {name: x.shape for name, x in features.items()})
        return self.add_features(embeddings, features)

    def apply_in_micro_batches(
        self,
        layer: Layer,
        inputs: Structure,
        training: bool | None,
        keep_losses: bool = True,
    ) -> Tensor:
        """Calls a layer on `micro_batch_size` rows at a time in training. See `micro_batch_size`.

        Args:
            layer: A Keras layer or model that returns one tensor.
            inputs: A tensor or a structure of tensors, `(batch, ...)`.
            training: Whether this is a training step.
            keep_losses: Whether the losses that the layer adds become losses of the model. Pass
                False outside of `call`.
        """
        size = self.micro_batch_size
        if not training or size is None or fits_one_micro_batch(inputs, size):
            return layer(inputs, training=training)
        if not layer.built:
            layer(keras.tree.map_structure(lambda x: x[:1], inputs), training=False)
        outputs, activity_loss = apply_in_micro_batches(layer, inputs, size)
        if keep_losses:
            self.add_loss(activity_loss)
        return outputs

    def augment(self, name: str, inputs: Structure, training: bool | None = True) -> Structure:
        """Returns a random view of the inputs, or the inputs if the modality has no augmenter.

        An evaluation always draws the same, and does not change the draws of training.
        """
        augmenter = self.augmenters
        if self.has_towers:
            augmenter = (augmenter or {}).get(name)
        if augmenter is None:
            return inputs
        with contextlib.nullcontext() if training else evaluation_draws(augmenter):
            return augmenter(inputs, training=True)

    def embed(self, name: str, inputs: Structure, training: bool | None) -> Tensor:
        """Returns the embedding of a modality, `(batch, dim)`."""
        return self.project(name, self.encode(name, inputs, training), training)

    def inputs_by_modality(self, inputs: Structure, complete: bool = True) -> dict[str, Structure]:
        """Returns the inputs as a dict. Raises if a modality is missing.

        Args:
            inputs: The inputs of the model.
            complete: Whether all modalities are needed, or one is enough.
        """
        if not self.has_towers:
            return {FIRST_VIEW: inputs}
        if complete:
            check_inputs(inputs, self.modalities)
        else:
            check_some_inputs(inputs, self.modalities)
        return inputs

    def split_outputs(self, y_pred: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the embeddings and the extras of the outputs of `call`. See `embed_all`."""
        if not self.has_towers:
            outputs = dict(y_pred) if isinstance(y_pred, dict) else {FIRST_VIEW: y_pred}
            return {FIRST_VIEW: outputs.pop(FIRST_VIEW)}, outputs
        names = [
            name
            for name in y_pred
            if name in self.modalities or ViewRegularizer.is_independent(name)
        ]
        extras = {name: x for name, x in y_pred.items() if name not in names}
        return {name: y_pred[name] for name in names}, extras

    # Building

    def get_build_config(self) -> Config | None:
        if not self.input_specs:
            return super().get_build_config()
        return {"inputs": symbolic(self.input_specs)}

    def build_from_config(self, config: Config) -> None:
        if "inputs" not in config:  # a file of an earlier version
            super().build_from_config(config)
            return
        specs = keras.saving.deserialize_keras_object(config["inputs"])
        self(specs if self.has_towers else specs[FIRST_VIEW])

    def _build_augmenters(self, inputs: dict[str, Structure]) -> None:
        augmenters = self.augmenters if self.has_towers else {FIRST_VIEW: self.augmenters}
        for name, augmenter in (augmenters or {}).items():
            if augmenter is not None and not augmenter.built and name in inputs:
                # The scope drops the step that a call takes.
                with keras.StatelessScope():
                    augmenter(inputs[name], training=True)

    def _parts_of_the_towers(self) -> list[Layer]:
        parts: list[Layer] = []
        for layers in (self.encoders, self.projectors):
            parts += layers.values() if isinstance(layers, dict) else [layers]
        return [part for part in parts if part is not None]


def _without_none(layers: Layers | None) -> Layers | None:
    if not isinstance(layers, dict):
        return layers
    return {name: layer for name, layer in layers.items() if layer is not None}
