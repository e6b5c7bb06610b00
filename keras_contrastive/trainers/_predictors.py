"""PredictingModel: predictions as anchors, and targets that no gradient reaches."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch
from keras_contrastive._typing import Directions, Layers, Structure, Tensor
from keras_contrastive.trainers._absent_rows import fill_absent_rows
from keras_contrastive.trainers._embedding import EmbeddingModel
from keras_contrastive.trainers._second_views import FIRST_VIEW, SECOND_VIEW, TeacherViews

PREDICTED, TARGET = "_predicted", "_target"
# What `call` returns in training besides the embedding: the inputs that the teacher embeds as well.
_FIRST_INPUTS = "view_1_inputs"


class SecondEmbeddings(NamedTuple):
    """The embeddings of the second views of a step.

    Args:
        views: Embeddings by view.
        features: Outputs of the encoders by view.
        anchors: Embeddings of the encoders for views that a teacher embeds.
        targets: Embeddings of a teacher for views that an encoder embeds.
    """

    views: dict[str, Tensor]
    features: dict[str, Tensor]
    anchors: dict[str, Tensor]
    targets: dict[str, Tensor]


class PredictingModel(EmbeddingModel):
    """Adds predictors to an embedding model.

    Subclasses can override the hooks `prediction` and `target`.

    Args:
        encoders: See `ContrastiveTrainer`.
        predictors: See `ContrastiveTrainer`.
        **kwargs: See `EmbeddingModel`.
    """

    def __init__(self, encoders: Layers, predictors: Layers | None = None, **kwargs: Any) -> None:
        super().__init__(encoders, **kwargs)
        self.predictors = predictors

    @property
    def swaps_views(self) -> bool:
        """Whether encoder and teacher embed the same two augmentations, and swap their roles."""
        return self.predictors is not None and self.teacher is not None and not self.has_towers

    @property
    def num_compared_views(self) -> int | None:
        """Number of views that the loss gets, or `None` if they are those of the directions."""
        if self.predictors is not None:
            return None
        return len(self.modalities) + len(self.second_view_names)

    def embed_all(
        self, inputs: dict[str, Structure], training: bool | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        embeddings, extras = super().embed_all(inputs, training)
        if training and self.swaps_views:
            extras = {**extras, _FIRST_INPUTS: inputs[FIRST_VIEW]}
        return embeddings, extras

    # Hooks

    def prediction(self, view: str, embedding: Tensor, training: bool | None) -> Tensor:
        """Returns the prediction of an embedding, an anchor `(batch, dim)`. A hook for subclasses.

        Args:
            view: The name of a modality. With one encoder, `"view_1"` or `"view_2"`.
            embedding: `(batch, dim)`.
            training: Whether this is a training step.
        """
        predictor = self.predictors
        if isinstance(predictor, dict):
            predictor = predictor.get(view)
        return embedding if predictor is None else predictor(embedding, training=training)

    def target(self, view: str, embedding: Tensor) -> Tensor:
        """Returns the target of predictions, `(batch, dim)`. A hook for subclasses.

        No gradient reaches the encoders through a target.

        Args:
            view: The name of the view.
            embedding: `(batch, dim)`, of the teacher if there is one.
        """
        return ops.stop_gradient(embedding)

    # Parts of a step

    def second_embeddings(
        self,
        inputs: dict[str, Structure],
        extras: dict[str, Any],
        directions: Directions,
        training: bool,
    ) -> SecondEmbeddings:
        """Embeds the second views of all modalities.

        Args:
            inputs: Inputs by modality.
            extras: The extras of `embed_all`.
            directions: The directions of the loss.
            training: Whether this is a training step.
        """
        result = SecondEmbeddings({}, {}, {}, {})
        if self.teacher is None or not self.swaps_views:
            for name, view in self.second_view_names.items():
                result.features[view], result.views[view] = self.second_view(
                    name, inputs[name], training
                )
            return result
        teacher = TeacherViews(self.teacher)
        first = extras.get(_FIRST_INPUTS, inputs[FIRST_VIEW])
        second = self.augment(FIRST_VIEW, inputs[FIRST_VIEW], training)
        result.features[SECOND_VIEW], result.views[SECOND_VIEW] = teacher.embed_augmented(
            self, FIRST_VIEW, second, training
        )
        if (SECOND_VIEW + PREDICTED, FIRST_VIEW + TARGET) in directions:
            result.anchors[SECOND_VIEW] = self.embed(FIRST_VIEW, second, training)
            result.targets[FIRST_VIEW] = teacher.embed_augmented(self, FIRST_VIEW, first, training)[
                1
            ]
        return result

    def compared(
        self, batch: Batch, second: SecondEmbeddings, directions: Directions, training: bool
    ) -> Batch:
        """Returns the batch that the loss gets: outputs of the predictors, and targets.

        Args:
            batch: The views of the batch.
            second: The result of `second_embeddings`.
            directions: The directions of the loss.
            training: Whether this is a training step.
        """
        views, present = {}, {}
        for name in dict.fromkeys(name for pair in directions for name in pair):
            if name.endswith(PREDICTED):
                view = name.removesuffix(PREDICTED)
                embedding = second.anchors.get(view, batch.views[view])
                if view in batch.present:
                    # Batch normalization of the predictor must not see the zeros of absent rows.
                    embedding = fill_absent_rows(embedding, batch.present[view])
                views[name] = self.prediction(view, embedding, training)
                _check_sizes(view, embedding, views[name])
            else:
                view = name.removesuffix(TARGET)
                views[name] = self.target(view, second.targets.get(view, batch.views[view]))
            if view in batch.present:
                present[name] = batch.present[view]
        return batch.with_views(views, present)

    def build_predictors(self, embeddings: dict[str, Tensor]) -> None:
        """Builds the predictors for embeddings by modality."""
        predictors = self.predictors if isinstance(self.predictors, dict) else {}
        if self.predictors is not None and not predictors:
            predictors = {self.modalities[0]: self.predictors}
        for name, predictor in predictors.items():
            if predictor is not None and not predictor.built and name in embeddings:
                predictor(embeddings[name], training=False)


def _check_sizes(name: str, embedding: Tensor, prediction: Tensor) -> None:
    if len(prediction.shape) != 2 or prediction.shape[1] != embedding.shape[1]:
        raise ValueError(
            "`predictors` must return vectors of the size of the embeddings. Received: the "
            f"prediction of {name} {tuple(prediction.shape)}, its embedding "
            f"{tuple(embedding.shape)}. End the predictor in `Dense({embedding.shape[1]})`."
        )


def predicted_directions(directions: Directions) -> Directions:
    """Returns directions from predictions to targets, with the same weights."""
    return {(a + PREDICTED, b + TARGET): weight for (a, b), weight in directions.items()}


def check_predictors(predictors: Any, encoders: Layers, teacher: Any, hard_negatives: Any) -> None:
    """Raises unless predictors are layers that fit the other arguments of the trainer."""
    if predictors is None:
        return
    is_by_modality = isinstance(predictors, dict)
    for layer in predictors.values() if is_by_modality else [predictors]:
        if not isinstance(layer, keras.layers.Layer):
            raise TypeError(
                "`predictors` must be a Keras layer or model, or a dict of them by modality. "
                f"Received: predictors={predictors!r}."
            )
    if is_by_modality:
        if not predictors:
            raise ValueError(
                "`predictors` must have a layer for some modality. Received: predictors={}. "
                "Pass `None`."
            )
        if not isinstance(encoders, dict):
            raise TypeError(
                "`predictors` must be a layer if there is one encoder. "
                f"Received: predictors={predictors!r}."
            )
        _checks.known_names("predictors", predictors, encoders, "only modalities of `encoders`")
    if hard_negatives:
        raise ValueError(
            "`hard_negatives` must be empty if there are `predictors`, whose targets are the "
            f"candidates. Received: hard_negatives={hard_negatives!r}."
        )
    if getattr(teacher, "soft_targets", 0):
        raise ValueError(
            "`teacher` must have no soft targets if there are `predictors`. "
            f"Received: teacher={teacher!r}. Pass `MomentumTeacher(soft_targets=0.0)`."
        )
