"""ContrastiveLoss, the base of all losses: views, ids, temperature, weights, reduction, state."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, Candidates, Contrast, check_has_rows
from keras_contrastive._keras import deserialize, repr_from_config, serialize, snake_case
from keras_contrastive._replicas import warn_if_local
from keras_contrastive._typing import ArrayLike, Config, Directions, Layer, Reduction, Tensor
from keras_contrastive.losses import _extra_candidates as candidates
from keras_contrastive.losses._arguments import (
    Identity,
    check_layers,
    check_memory,
    checked_ignore_above,
    checked_temperature,
    named_directions,
    sum_over_directions,
)
from keras_contrastive.losses._stateless import StatelessLoss, check_state_can_change


class ContrastiveLoss(StatelessLoss, keras.losses.Loss):
    """Base class of contrastive losses.

    It turns `y_true` and `y_pred` into a batch of views, compares the views in several directions,
    and reduces the losses of the anchors to a number. A subclass implements `per_direction`. It may
    own Keras layers (`layers`), which `build` builds and `ContrastiveTrainer` trains and saves.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities.
        symmetric: Whether both views of a pair are anchors in turn, or only the first view.
        normalize: Whether the similarity is the cosine, or the inner product of the embeddings as
            they are.
        memory: `None`, or a `kc.layers.EmbeddingQueue`: embeddings of earlier batches that join the
            candidates.
        ignore_above: `None`, `("absolute", margin)` or `("relative", margin)`. An anchor whose
            positive has the similarity s ignores negatives above s - margin, or above
            s - margin |s|, since they may be positives without the right id. It needs two views
            and a loss with `ignores_negatives`. If all are ignored, the loss of the anchor is 0.
        reduction: See `keras.losses.Loss`. `None` returns `(batch,)`, the mean over directions.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32. Defaults to `keras.config.floatx()`. With
            `"float64"`, JAX and PyTorch may still compute in float32: JAX does without
            `jax_enable_x64`, and operations of Keras do on PyTorch.

    Call arguments:
        y_true: Ids, targets or `None`; see `y_pred`. Rows with the same id are the same item and
            never negatives of each other. Ids are integers in `[0, 2**31)`. JAX wraps larger ids.
        y_pred: The shapes decide which rows are compared:

            * `(batch, dim)` with a float `y_true` of the same shape: predictions (the first view)
              and targets (the second).
            * `(batch, dim)` with integer ids or labels `(batch,)`: one view. Positives are the
              other rows with the same id. A row without a positive contributes zero loss.
            * `(batch, views, dim)` with ids or `None`.
            * A dict, list or tuple of `(batch, dim)`, with ids or `None`. The order of the entries
              matters only for `symmetric=False`. `jax.jit` sorts the keys of a dict.
        sample_weight: `(batch,)`, weighs the anchors.
        training: Whether this is a training step. A loss that owns layers requires it.
            `ContrastiveTrainer` passes it, and a plain `keras.Model` does not.
        directions: `None`, or a dict from directions to weights that sum to 1. A direction is a
            pair of view names or indices: the view of the anchors and that of the candidates. See
            `directions` for the default.
        hard_negatives: `None`, or a dict from view names or indices to embeddings `(any, dim)` or
            `(batch, n, dim)`, to pairs `(embeddings, ids)` with ids `(any,)` or `(batch, n)`, or to
            `kc.extend.Candidates`. They join the candidates of that view, for all anchors, and are
            never positives. An anchor leaves out those with its id, such as its own positive.
        present: `None`, or a dict from view names or indices to bool `(batch,)`. It is False where
            a row lacks that view. Such a row is neither an anchor nor a candidate there. A queue
            stores only rows that have all views.
        log_weights: `None`, or a dict from view names or indices to floats `(batch,)`, added to the
            logits with the rows of that view as candidates, the positive included. They have no
            gradient. For the logQ correction, pass -log(sampling probability). It needs a loss with
            a log-sum over candidates (`takes_log_weights`).
        guides: `None`, or a dict from names or indices of all views to embeddings
            `(batch, guide_dim)` of a frozen model. `ignore_above` then uses their cosines, and hard
            negatives need guides too (`kc.extend.Candidates`).

    Raises:
        TypeError: If embeddings are not floating point, or ids are not integers.
        ValueError: If shapes do not fit together, the temperature is not positive, or the loss has
            layers that no model tracks.
    """

    fixed_arguments: Sequence[str] = ()  # arguments of this class that a subclass sets itself
    per_item = False  # whether each item may have a temperature
    all_views = False  # whether candidates are the rows of all views, or of the other view only
    takes_log_weights = False  # whether the loss is a log-sum over candidates
    ignores_negatives = False  # whether the loss can leave out similar negatives

    def __init__(
        self,
        temperature: float | Layer = 0.1,
        *,
        symmetric: bool = True,
        normalize: bool = True,
        memory: Layer | None = None,
        ignore_above: tuple[Literal["absolute", "relative"], float] | None = None,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        requested = _checks.float_dtype("dtype", dtype or keras.config.floatx())
        dtype = requested if requested == "float64" else "float32"
        name = name or snake_case(type(self).__name__)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        check_memory(memory)
        self.temperature = checked_temperature(temperature, self.per_item)
        self.symmetric = symmetric
        self.normalize = normalize
        self.memory = memory
        self.ignore_above: Any = checked_ignore_above(self, ignore_above)
        # Keras reduces, so weights, reductions and the scaling by 1 / replicas are those of Keras.
        self._reducer = Identity(reduction=reduction, dtype=dtype)

    @property
    def layers(self) -> list[Layer]:
        """Layers that this loss owns. The model that is trained must track them."""
        return [x for x in (self.temperature, self.memory) if isinstance(x, keras.layers.Layer)]

    def directions(self, names: Sequence[str]) -> dict[tuple[str, str], float]:
        """Returns the directions that are compared by default, with equal weights.

        Args:
            names: Names of the views.
        """
        directions = []
        for a, b in itertools.combinations(names, 2):
            directions += [(a, b), (b, a)] if self.symmetric else [(a, b)]
        return {direction: 1 / len(directions) for direction in directions}

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        """Builds the layers of the loss. `ContrastiveTrainer.compile` calls it.

        Args:
            directions: The directions that will be compared, empty for a single view. The default
                is that of two views.
            num_views: Number of views in a batch. By default, the number of names in `directions`.
        """
        if directions is None:
            directions = self.directions(("0", "1"))
        if isinstance(self.temperature, keras.layers.Layer) and not self.temperature.built:
            self.temperature.build((None, self._num_directions(directions)))
        has_size = getattr(self.memory, "dim", 0) is not None  # else a trainer sets it later
        if self.memory is not None and not self.memory.built and has_size:
            self.memory.build(num_views or len(set(itertools.chain(*directions))) or 1)
        candidates.check_memory_fits(self)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        """Computes the loss of each anchor in each direction.

        Args:
            contrast: A `kc.extend.Contrast`: sums over the candidates of each anchor. Its `batch`
                has the ids and the views.
            training: True in a training step, False in evaluation, `None` if unspecified.

        Returns:
            `(batch, directions)`, in nats.
        """
        raise NotImplementedError(
            f"`{type(self).__name__}` must implement `per_direction(contrast, training)`."
        )

    def __call__(
        self,
        y_true: ArrayLike | None,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
        training: bool | None = None,
        directions: Mapping[Any, float] | None = None,
        hard_negatives: Mapping[Any, Any] | None = None,
        present: Mapping[Any, ArrayLike] | None = None,
        log_weights: Mapping[Any, ArrayLike] | None = None,
        guides: Mapping[Any, ArrayLike] | None = None,
    ) -> Tensor:
        by_view: Any = {"present": present, "log_weights": log_weights, "guides": guides}
        batch = Batch.from_targets(y_true, y_pred, sample_weight, **by_view)
        return self.of_batch(batch, directions, hard_negatives, training)

    def call(self, y_true: ArrayLike | None, y_pred: ArrayLike, **arguments: Any) -> Tensor:
        """Computes the loss of each anchor, `(batch,)`, before weights and reduction."""
        of_rows = ("present", "log_weights", "guides")
        by_view: Any = {name: arguments.pop(name, None) for name in of_rows}
        return self.per_anchor(Batch.from_targets(y_true, y_pred, **by_view), **arguments)

    def of_batch(
        self,
        batch: Batch,
        directions: Mapping[Any, float] | None = None,
        hard_negatives: Mapping[Any, Any] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Computes the reduced loss of a `kc.extend.Batch`. See the call arguments."""
        return self.reduce(self.per_anchor(batch, directions, hard_negatives, training), batch)

    def per_anchor(
        self,
        batch: Batch,
        directions: Mapping[Any, float] | None = None,
        hard_negatives: Mapping[Any, Any] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        """Computes the loss of each anchor of a batch, `(batch,)`, before weights and reduction."""
        self._check_layers(training)
        check_has_rows(batch.views, batch.replicas)
        view = batch.views[batch.names[0]]
        check_state_can_change(type(self).__name__, self.layers, view, training)
        if batch.replicas is None:
            warn_if_local()
        prepared = self.prepared(batch)
        extra = self._extra_candidates(hard_negatives, prepared)
        candidates.check_candidates(self, prepared, extra)
        if directions is None:
            directions = self.directions(batch.names)
        else:
            directions = named_directions(directions, batch.names)
        losses = self._weighted_mean(prepared, directions, extra, training)
        if self.memory is not None and training:
            candidates.push_rows(self.memory, prepared)
        return losses

    def prepared(self, batch: Batch) -> Batch:
        """Returns the batch as this loss compares it: in its dtype, normalized if it normalizes."""
        return batch.unit(self.dtype) if self.normalize else batch.cast(self.dtype)

    def reduce(self, losses: Tensor, batch: Batch) -> Tensor:
        """Reduces the losses `(batch,)` of the local rows with the weights of the batch.

        With replicas, each replica computes the reduced loss of the global batch.
        """
        if batch.replicas is None or self.reduction in (None, "none"):
            return self._reducer(losses, losses, batch.sample_weight)
        losses = batch.replicas.gather(losses)
        weights = batch.gather(batch.sample_weight)
        reduced = self._reducer(losses, losses, weights)
        # Keras divides means by the number of TensorFlow's replicas, but not sums.
        return reduced * batch.replicas.loss_scale if self.reduction == "sum" else reduced

    def scale(self) -> Tensor:
        """Returns 1 / temperature: a scalar, or one value per direction."""
        if isinstance(self.temperature, keras.layers.Layer):
            return ops.cast(self.temperature.scale, self.dtype)
        return ops.convert_to_tensor(1.0 / self.temperature, dtype=self.dtype)

    def batch_scale(self, batch: Batch, training: bool | None = None) -> Tensor:
        """Returns the scale of a batch, also one per row `(batch, directions)`."""
        return self.scale()

    def get_config(self) -> Config:
        config = {
            **super().get_config(),
            "temperature": serialize(self.temperature),
            "symmetric": self.symmetric,
            "normalize": self.normalize,
            "memory": serialize(self.memory),
            **({"ignore_above": self.ignore_above} if self.ignores_negatives else {}),
            "dtype": self.dtype,  # missing in the config of `keras.losses.Loss`
        }
        return {name: part for name, part in config.items() if name not in self.fixed_arguments}

    @classmethod
    def from_config(cls, config: Config) -> "ContrastiveLoss":
        return cls(**{name: deserialize(part) for name, part in config.items()})

    def __repr__(self) -> str:
        return repr_from_config(self)

    def _weighted_mean(
        self,
        batch: Batch,
        directions: Directions,
        extra: Mapping[str, list[Candidates]],
        training: bool | None,
    ) -> Tensor:
        """Returns the mean of the losses over the directions, `(batch,)`."""
        scale = self.batch_scale(batch, training)
        contrast = Contrast(batch, [*directions], scale, self.all_views, extra, self.ignore_above)
        losses = self.per_direction(contrast, training)  # (batch, directions)
        if not directions:
            return losses[:, 0]
        return sum_over_directions(losses, list(directions.values()))

    def _extra_candidates(
        self, hard_negatives: Mapping[Any, Any] | None, batch: Batch
    ) -> dict[str, list[Candidates]]:
        return candidates.extra_candidates(self, hard_negatives, batch)

    def _num_directions(self, directions: Directions | None) -> int:
        directions = self.directions(("0", "1")) if directions is None else directions
        return len(directions) or 1

    def _check_layers(self, training: bool | None) -> None:
        check_layers(type(self).__name__, self.layers, training)
