"""The base class of regularizers of multi-modal embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, as_presence, check_has_rows
from keras_contrastive._keras import repr_from_config
from keras_contrastive._typing import Config, Layer, LayerArguments, Shape, Tensor
from keras_contrastive._view_names import INDEPENDENT, modality_name
from keras_contrastive.layers._modality import (
    Modality,
    modalities_of,
    without_missing_rows,
)
from keras_contrastive.layers._view_checks import check_present, check_views, integer_ids


class ViewRegularizer(keras.layers.Layer):
    """Base class of penalties on the embeddings of a batch.

    A subclass implements `terms`, which returns the parts of the penalty by name. Each part has a
    weight and is reported.

    * In `ContrastiveTrainer(regularizers=[...])` the penalty is added to the loss. The logs contain
      it under the name of the layer. If the penalty has several terms, the logs contain each
      unweighted term as `"<layer>_<term>"`.
    * In a Functional model, the layer is called with a dict of views and returns it. `add_loss`
      adds the penalty.

    Views are a dict of tensors `(batch, dim)`. A modality has its own name, its augmented view is
    named `"<modality>_augmented"`. In self-supervision the modalities are `"view_1"` and
    `"view_2"`. All penalties are computed in float32 or wider, under every dtype policy.

    Args:
        term_weights: Dict from terms to non-negative weights. A term of weight 0 is neither
            computed nor reported.
        weight: Non-negative float, multiplies the whole penalty.
        normalize: Whether to scale views to unit length first.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        views: Dict of float tensors `(batch, dim)`.
        features: `None`, or a dict with the names of the views and the outputs of their encoders
            before the projectors, `(batch, any)`. Only some layers use it.
        ids: `None`, or integer ids `(batch,)`. Rows with the same id are the same item.
        present: `None`, or a dict from modalities to bool `(batch,)`, False where an item lacks the
            modality. The values of such a row have no influence, even if they are NaN.
        training: Whether this is a training step.

    Raises:
        TypeError: If `views` is not a dict of float tensors, or a weight is not a number.
        ValueError: If shapes of views differ, a required view is missing, or a weight is negative.

    Example:

    >>> class Distance(ViewRegularizer):
    ...     def __init__(self, weight=1.0, **kwargs):
    ...         super().__init__({"distance": 1.0}, weight, **kwargs)
    ...
    ...     def terms(self, modalities, ids=None, training=None):
    ...         a, b = modalities
    ...         return {"distance": keras.ops.mean(keras.ops.square(a.plain - b.plain))}
    >>> float(Distance().penalty({"image": keras.ops.eye(2), "text": -keras.ops.eye(2)}))
    2.0
    """

    def __init__(
        self,
        term_weights: Mapping[str, float],
        weight: float = 1.0,
        normalize: bool = True,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        # Without autocast: a view in float32 must not become float16.
        super().__init__(**{**kwargs, "autocast": False})
        self.weight = _checks.non_negative("weight", weight)
        self.normalize = normalize
        weights = {name: _checks.non_negative(name, value) for name, value in term_weights.items()}
        self.term_weights = {name: value for name, value in weights.items() if value}

    def build(
        self,
        views_shape: dict[str, Shape],
        features_shape: dict[str, Shape] | None = None,
        ids_shape: Shape | None = None,
        present_shape: dict[str, Shape] | None = None,
    ) -> None:
        """Creates the weights of the layer.

        Args:
            views_shape: Shapes by view.
            features_shape: `None`, or shapes of the features by view.
            ids_shape: Not used. Keras passes it.
            present_shape: Not used. Keras passes it.
        """
        self.built = True

    def terms(
        self, modalities: list[Modality], ids: Tensor | None = None, training: bool | None = None
    ) -> dict[str, Tensor]:
        """Returns the parts of the penalty, before their weights.

        Args:
            modalities: List of `Modality`.
            ids: int32 `(batch,)`, or `None`.
            training: Whether this is a training step. State may change only then.

        Returns:
            A dict with a scalar for each name in `term_weights`. A term is 0 if it has no data.
        """
        raise NotImplementedError

    def extended(
        self, views: dict[str, Tensor], features: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Returns the views and the features that this layer computes from them."""
        return views

    def output_heads(self, modalities: Sequence[str]) -> dict[str, tuple[str, Layer | None]]:
        """Returns the layers behind the features that `extended` adds to the modalities.

        An embedder of a trainer consists of them. Override it together with `extended`.

        Args:
            modalities: Names of the modalities.

        Returns:
            Dict from names of added features to `(source, layer)`. The layer gets the output of the
            encoder if `source` is `"features"`, and that of the projector if it is `"embedding"`.
            It is `None` before the regularizer is built.
        """
        return {}

    @staticmethod
    def is_independent(name: str) -> bool:
        """Returns whether a name is that of independent features, such as `image_independent`."""
        return name.endswith(INDEPENDENT)

    def of_batch(
        self,
        batch: Batch,
        features: dict[str, Tensor] | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the weighted penalty of the global batch and its unweighted terms.

        Each replica computes the same values. The layer must be built.

        Args:
            batch: Views by name, with ids and presence. Rows that lack a view must be zero in it.
            features: See the call arguments.
            training: Whether this is a training step.
        """
        present = batch.present
        features = features and without_missing_rows(features, present)
        views = self.extended(batch.views, features)
        # Rows of views with a mask of their own are zero already.
        unmasked = {name: view for name, view in views.items() if name not in present}
        views = {**views, **without_missing_rows(unmasked, present)}
        batch = batch.with_views(views)
        # Normalized before it is gathered, as in the losses: the cache of the batch serves both.
        batch = (batch.unit() if self.normalize else batch.cast()).global_batch
        terms = self.terms(modalities_of(batch), batch.ids, training)
        total = sum(weight * terms[name] for name, weight in self.term_weights.items())
        return ops.convert_to_tensor(self.weight * total, dtype="float32"), terms

    def penalty_and_terms(
        self,
        views: dict[str, Tensor],
        features: dict[str, Tensor] | None = None,
        ids: Tensor | None = None,
        present: dict[str, Tensor] | None = None,
        training: bool | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the weighted penalty and its unweighted terms. See the call arguments."""
        batch = self._checked_batch(views, ids, present)
        if not self.built:
            self.build(_shapes(views), _shapes(features or {}))
        return self.of_batch(batch, features, training)

    def penalty(
        self,
        views: dict[str, Tensor],
        features: dict[str, Tensor] | None = None,
        ids: Tensor | None = None,
        present: dict[str, Tensor] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Returns the weighted penalty, a scalar. See the call arguments."""
        return self.penalty_and_terms(views, features, ids, present, training)[0]

    def call(
        self,
        views: dict[str, Tensor],
        features: dict[str, Tensor] | None = None,
        ids: Tensor | None = None,
        present: dict[str, Tensor] | None = None,
        training: bool | None = None,
    ) -> dict[str, Tensor]:
        batch = self._checked_batch(views, ids, present)
        features = features and without_missing_rows(features, batch.present)
        extended = self.extended(batch.views, features)
        self.add_loss(self.of_batch(batch.with_views(extended), None, training)[0])
        # The given views are returned unchanged, also where a row lacks its modality.
        return {**extended, **views}

    def compute_output_spec(
        self,
        views: dict[str, Any],
        features: dict[str, Any] | None = None,
        ids: Any = None,
        present: dict[str, Any] | None = None,
        training: bool | None = None,
    ) -> dict[str, keras.KerasTensor]:
        # The shapes of outputs are known, so nothing is traced.
        check_views(views)
        return {name: keras.KerasTensor(view.shape, view.dtype) for name, view in views.items()}

    @staticmethod
    def _checked_batch(
        views: dict[str, Tensor], ids: Tensor | None, present: dict[str, Tensor] | None
    ) -> Batch:
        check_views(views)
        check_present(present, [name for name in views if name == modality_name(name)])
        tensors = {name: ops.convert_to_tensor(view) for name, view in views.items()}
        num_rows = next(iter(tensors.values())).shape[0]
        masks = {name: as_presence(name, x, num_rows) for name, x in (present or {}).items()}
        ids = None if ids is None else integer_ids(ids, num_rows)
        batch = Batch(without_missing_rows(tensors, masks), ids, masks)
        check_has_rows(batch.views, batch.replicas)
        return batch

    def get_config(self) -> Config:
        return {**super().get_config(), "weight": self.weight, "normalize": self.normalize}

    def __repr__(self) -> str:
        return repr_from_config(self)


def _shapes(tensors: dict[str, Tensor]) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}
