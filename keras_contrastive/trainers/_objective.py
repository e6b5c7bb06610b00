"""ObjectiveModel: how a trainer turns embeddings into a loss and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, zero_where_missing
from keras_contrastive._replicas import across_processes, num_processes, torch_processes
from keras_contrastive._typing import ArrayLike, Directions, Layer, Layers, Shape, Structure, Tensor
from keras_contrastive._view_names import INDEPENDENT
from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.trainers._absent_rows import fill_absent_rows, presence_by_modality
from keras_contrastive.trainers._checks import check_in_modal_weight, check_inputs
from keras_contrastive.trainers._directions import modal_directions
from keras_contrastive.trainers._extra_inputs import attributes_by_view
from keras_contrastive.trainers._guides import build_guides, frozen
from keras_contrastive.trainers._hard_negatives import hard_candidates
from keras_contrastive.trainers._loss_layers import build_loss
from keras_contrastive.trainers._penalties import Penalties
from keras_contrastive.trainers._predictors import (
    PredictingModel,
    SecondEmbeddings,
    predicted_directions,
)
from keras_contrastive.trainers._soft_targets import soft_target_difference
from keras_contrastive.trainers._view_metrics import ViewMetrics


class ObjectiveModel(PredictingModel):
    """Adds the loss of a step to an embedding model: contrast, penalties, and extra losses.

    Subclasses can override the hook `extra_losses`. See `PredictingModel` for the others.

    Args:
        encoders: See `ContrastiveTrainer`, also for the other arguments.
        regularizers: Layers with a method `penalty(views)`.
        hard_negatives: Modalities by names of inputs.
        hard_negative_ids: Names of hard negatives by names of inputs.
        log_weights: Modalities or names of hard negatives by names of inputs.
        present: Modalities by names of inputs.
        in_modal_weight: Weight of the contrast between modalities and their second views.
        guides: Frozen encoders.
        **kwargs: See `PredictingModel`.
    """

    # Factor of the contrastive loss. Subclasses can change it.
    contrast_weight: float = 1.0

    def __init__(
        self,
        encoders: Any,
        regularizers: Sequence[Layer] = (),
        hard_negatives: Mapping[str, str] | None = None,
        hard_negative_ids: Mapping[str, str] | None = None,
        log_weights: Mapping[str, str] | None = None,
        present: Mapping[str, str] | None = None,
        in_modal_weight: float | Mapping[str, float] = 0.5,
        guides: Layers | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoders, **kwargs)
        check_in_modal_weight(in_modal_weight, self.second_view_names)
        self.regularizers = list(regularizers)
        self.hard_negatives = dict(hard_negatives or {})
        self.hard_negative_ids = dict(hard_negative_ids or {})
        self.log_weights, self.present = dict(log_weights or {}), dict(present or {})
        self.in_modal_weight = in_modal_weight
        trained = {"projectors": self.projectors, "predictors": self.predictors}
        self.guides = frozen(guides, encoders, regularizers=self.regularizers, **trained)
        self._penalties = Penalties(self.regularizers, teacher=self.teacher is not None)
        self._penalty_means = self._penalties.means
        self.embedding_dim: int | None = None
        self._extra_weights: dict[str, float] = {}
        self._extra_means: dict[str, keras.metrics.Mean] = {}
        self._view_metrics = ViewMetrics(name="view_metrics")

    @property
    def extra_inputs(self) -> tuple[str, ...]:
        """Names of inputs besides the modalities, which `predict` does not need."""
        return (*self.hard_negatives, *self.hard_negative_ids, *self.log_weights, *self.present)

    # Outputs

    def call(self, inputs: Structure, training: bool | None = None) -> Any:
        inputs, present = self._fill_absent_rows(inputs)
        build_guides(self, inputs)
        outputs = super().call(inputs, training)
        for modality, mask in present.items():
            for name in (modality, modality + INDEPENDENT):
                if name in outputs:
                    outputs[name] = zero_where_missing(outputs[name], mask)
        return outputs

    def prepare_outputs(
        self, shapes: dict[str, Shape], features_shapes: dict[str, Shape] | None
    ) -> None:
        num_views = len(self.modalities) if len(self.modalities) > 1 else len(shapes)
        self.embedding_dim = shapes[self.modalities[0]][-1]
        self._view_metrics.build_for((None, num_views, self.embedding_dim))
        memory = getattr(self.loss, "memory", None)
        if memory is not None and not memory.built:
            build_loss(self, self.loss)
        self._penalties.build(shapes, features_shapes)

    def add_features(
        self, embeddings: dict[str, Tensor], features: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        return self._penalties.extend(embeddings, features) if self.regularizers else embeddings

    # Hooks

    def extra_losses(
        self, batch: Batch, extras: dict[str, Tensor], x: Structure, training: bool
    ) -> dict[str, Tensor]:
        """Computes further losses of a step. A hook for subclasses.

        The trainer multiplies each loss with its weight, adds it to the total, and reports it.

        Args:
            batch: The views of the batch: the modalities, then the second views.
            extras: The extras of `embed_all` in training, else an empty dict.
            x: The inputs of the step.
            training: Whether this is a training step.

        Returns:
            Scalars of the global batch, by the names of `declare_losses`.
        """
        return {}

    def declare_losses(self, weights: Mapping[str, float]) -> None:
        """Declares what is reported besides the loss. Subclasses call it in their constructor.

        Args:
            weights: Weights of the scalars of `extra_losses`, by name. A scalar of weight 0 is only
                reported. The name `"contrast"` reports the contrastive loss.
        """
        self._extra_weights |= weights
        for name in weights:
            self._extra_means[name] = keras.metrics.Mean(name=name)

    # Loss and metrics

    def compute_loss(
        self,
        x: Structure = None,
        y: ArrayLike | None = None,
        y_pred: Any = None,
        sample_weight: ArrayLike | None = None,
        training: bool = True,
    ) -> Tensor:
        """Returns the loss of the global batch: contrast, penalties, and losses of the encoders.

        It also updates the metrics, which need all views.
        """
        if self.loss is None:
            raise ValueError(
                "`loss` must be a contrastive loss. Received: loss=None. "
                "Call `compile(loss=keras_contrastive.losses.InfoNCE())` first."
            )
        with across_processes():
            if training and num_processes() > 1:
                torch_processes.average_gradients(self.optimizer)
            # Losses of layers in `call` only: backends differ in which later ones they keep.
            inputs = (x, None, None, None, training)
            layer_losses = super().compute_loss(*inputs) if self.losses else 0.0
            embeddings, extras = self.split_outputs(y_pred)
            x, _ = self._fill_absent_rows(x)
            directions = self.direction_weights()
            batch, second = self._batch(
                x, y, embeddings, sample_weight, extras, directions, training
            )
            compared = batch
            if self.predictors is not None:
                compared = self.compared(batch, second, directions, training)
            total = self._contrast(compared, directions, x, training)
            if self.regularizers:
                seen = batch.with_views({**embeddings, **batch.views})
                # With one encoder, `call` returns no features of the first view.
                features = second.features if self.has_towers else {}
                penalty = self._penalties.total(seen, batch.names, features, training)
                total += ops.cast(penalty, total.dtype)
            total += ops.cast(layer_losses, total.dtype)
            measured = self.modalities if len(self.modalities) > 1 else batch.names
            self._view_metrics.update(batch.select(measured), self.loss.scale)
            return self._add_extra_losses(total, batch, extras, x, training)

    def direction_weights(self, loss: ContrastiveLoss | None = None) -> Directions:
        """Returns the weights of the directions, by (view of anchors, view of candidates)."""
        loss = self.loss if loss is None else loss
        teacher = self.teacher is not None and not self.swaps_views
        directions = modal_directions(
            loss, self.modalities, self.second_view_names, self.in_modal_weight, teacher
        )
        return directions if self.predictors is None else predicted_directions(directions)

    def _batch(
        self,
        x: Structure,
        y: ArrayLike | None,
        embeddings: dict[str, Tensor],
        sample_weight: ArrayLike | None,
        extras: dict[str, Tensor],
        directions: Directions,
        training: bool,
    ) -> tuple[Batch, SecondEmbeddings]:
        """Returns the batch, zero in rows that lack a view, and the second views."""
        if training and self.teacher is not None:
            self.teacher.update()
        inputs = self.inputs_by_modality(x)
        second = self.second_embeddings(inputs, extras, directions, training)
        views = {name: embeddings[name] for name in self.modalities} | second.views
        if self.present or self.log_weights:
            check_inputs(x, (*self.modalities, *self.log_weights, *self.present))
        present = presence_by_modality(inputs, self.present)
        present |= {self.second_view_names.get(name, name): mask for name, mask in present.items()}
        more = attributes_by_view(self, inputs, views)
        return Batch.from_targets(y, views, sample_weight, present, **more), second

    def _fill_absent_rows(self, x: Structure) -> tuple[Structure, dict[str, Tensor]]:
        """Replaces inputs of rows that lack a modality. Returns them, and which rows have it."""
        if not self.present or not isinstance(x, dict):
            return x, {}
        present = presence_by_modality(x, self.present)
        owners = {**{name: name for name in self.modalities}, **self.hard_negatives}
        filled = {
            name: fill_absent_rows(x[name], present[modality])
            for name, modality in owners.items()
            if name in x and modality in present
        }
        return {**x, **filled}, present

    def _contrast(
        self, batch: Batch, directions: Directions, x: Structure, training: bool
    ) -> Tensor:
        if not self.contrast_weight:
            return ops.zeros(())
        soft_targets = None
        if training and self.teacher is not None and self.teacher.soft_targets:
            # Before the loss, which adds this batch to its queue.
            soft_targets = soft_target_difference(
                self.loss, batch, directions, self.second_view_names
            )
            fraction = self.teacher.soft_target_fraction()
            soft_targets = ops.cast(fraction, soft_targets.dtype) * soft_targets
        value = self.loss.of_batch(
            batch,
            directions=directions or None,
            hard_negatives=hard_candidates(self, batch, x, training),
            training=bool(training),
        )
        if soft_targets is not None:
            value += self.loss.reduce(soft_targets, batch)
        if "contrast" in self._extra_means:
            replicas = batch.replicas
            reported = value if replicas is None else value / replicas.loss_scale
            self._extra_means["contrast"].update_state(reported)
        return self.contrast_weight * value

    def _add_extra_losses(
        self, total: Tensor, batch: Batch, extras: dict[str, Tensor], x: Structure, training: bool
    ) -> Tensor:
        losses = self.extra_losses(batch, extras, x, bool(training))
        _checks.known_names(
            "extra_losses", losses, self._extra_means, "only names of `declare_losses`"
        )
        for name, value in losses.items():
            self._extra_means[name].update_state(value)
            if self._extra_weights[name]:
                # Each replica computes the loss of the global batch. The scale counts it once.
                scale = 1.0 if batch.replicas is None else batch.replicas.loss_scale
                total += ops.cast(self._extra_weights[name] * scale * value, total.dtype)
        return total

    def compute_metrics(
        self,
        x: Structure,
        y: ArrayLike | None,
        y_pred: Any,
        sample_weight: ArrayLike | None = None,
    ) -> dict[str, Tensor]:
        """Returns the metrics. `compute_loss` updates them."""
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Tensor]:
        """Returns the metrics of all processes by name."""
        if num_processes() == 1:
            return super().get_metrics_result()
        variables = [v for v in self.metrics_variables if v.dtype.startswith("float")]
        local = [ops.copy(v.value) for v in variables]
        # Metrics are ratios of sums, so means over the processes give the same values as sums.
        for variable, mean in zip(variables, torch_processes.mean(local), strict=True):
            variable.assign(mean)
        try:
            return super().get_metrics_result()
        finally:
            for variable, value in zip(variables, local, strict=True):
                variable.assign(value)
