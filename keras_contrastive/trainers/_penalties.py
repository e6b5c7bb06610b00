"""Penalties of regularizers on the views of a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import Batch
from keras_contrastive._typing import Tensor
from keras_contrastive._view_names import AUGMENTED, INDEPENDENT
from keras_contrastive.layers import ViewRegularizer

_PENALTY = "penalty"


class Penalties:
    """Computes the penalties of regularizers and reports each one.

    Args:
        regularizers: Layers with a method `penalty(views)`.
        teacher: Whether the second views come from a teacher. No gradient reaches the features that
            a regularizer adds to them.
    """

    def __init__(self, regularizers: Sequence[Any], teacher: bool) -> None:
        self.regularizers = list(regularizers)
        self.teacher = teacher
        self._means = [_means_of(regularizer) for regularizer in regularizers]

    @property
    def means(self) -> list[keras.metrics.Mean]:
        """The metrics that report the penalties and their terms."""
        return [mean for means in self._means for mean in means.values()]

    def build(
        self,
        shapes: Mapping[str, Any],
        features_shapes: Mapping[str, Any] | None,
    ) -> None:
        """Builds the regularizers from shapes by view."""
        for regularizer in self.regularizers:
            if not regularizer.built:
                is_ours = isinstance(regularizer, ViewRegularizer)
                regularizer.build(*((shapes, features_shapes) if is_ours else (shapes,)))

    def extend(self, views: dict[str, Tensor], features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the views, and features that regularizers add to them."""
        for regularizer in self.regularizers:
            # Predictions of some modalities do not build it.
            if isinstance(regularizer, ViewRegularizer) and regularizer.built:
                views = regularizer.extended(views, features)
        return views

    def total(
        self,
        batch: Batch,
        names: Sequence[str],
        features: dict[str, Tensor],
        training: bool,
    ) -> Tensor:
        """Returns the sum of all penalties of the global batch, and reports each penalty.

        Args:
            batch: The views of the batch, and features that regularizers have added.
            names: The views of the batch, without added features. Layers that are not
                `ViewRegularizer`s get them.
            features: Outputs of the encoders by name, for views without added features.
            training: Whether this is a training step.
        """
        views_only = batch.select(names)
        views = self.extend(batch.views, features)
        if self.teacher:
            views = {
                name: ops.stop_gradient(view) if name.endswith(AUGMENTED + INDEPENDENT) else view
                for name, view in views.items()
            }
        batch = batch.with_views(views)
        total = ops.zeros(())
        for regularizer, means in zip(self.regularizers, self._means, strict=True):
            if isinstance(regularizer, ViewRegularizer):
                value, terms = regularizer.of_batch(batch, None, training)
            else:
                value, terms = regularizer.penalty(views_only.global_batch.views), {}
            for name, mean in means.items():
                mean.update_state(value if name == _PENALTY else terms[name])
            total += ops.cast(value, total.dtype)
        # Each replica computes the penalties of the global batch. They cost little.
        return total if batch.replicas is None else total * batch.replicas.loss_scale


def _means_of(regularizer: Any) -> dict[str, keras.metrics.Mean]:
    """Returns metrics for the penalty and, if there are several terms, for each term."""
    means = {_PENALTY: keras.metrics.Mean(name=regularizer.name)}
    terms = list(regularizer.term_weights) if isinstance(regularizer, ViewRegularizer) else []
    if len(terms) > 1:
        means |= {term: keras.metrics.Mean(name=f"{regularizer.name}_{term}") for term in terms}
    return means
