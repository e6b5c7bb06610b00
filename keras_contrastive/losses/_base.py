"""What all contrastive losses share: views, ids, temperature, weights, reduction, state."""

import itertools

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import Candidates, Contrast, as_views, normalize
from keras_contrastive._replicas import shared_batch, warn_if_local


class ContrastiveLoss(keras.losses.Loss):
    """Base class of the losses: it turns `y_true` and `y_pred` into directions, and reduces.

    A subclass implements `per_direction`. It may own Keras layers (`layers`), created by `build`;
    `ContrastiveTrainer` tracks them, so that they are trained and saved with the model.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities.
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine (embeddings are L2-normalized here) or the
            plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`: embeddings of earlier batches, which join the candidates.
        reduction: See `keras.losses.Loss`. `None` gives `(batch,)`, the mean over directions.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32. Defaults to `keras.config.floatx()`.

    Call arguments:
        y_true: Ids, targets or `None`; see `y_pred`. Two rows with the same id are the same item and
            never negatives of each other. Ids are integers in `[0, 2**31)`; JAX wraps larger ones
            before they can be seen here.
        y_pred: What is compared is decided by the shapes:

            * `(batch, dim)` with a float `y_true` of the same shape: predictions (the first view)
              and their targets (the second).
            * `(batch, dim)` with integer ids or labels `(batch,)`: one view; the positives are the
              other rows with the same id, and a row without one counts zero.
            * `(batch, views, dim)` with ids or `None`.
            * a dict, list or tuple of `(batch, dim)`, with ids or `None`. The views have the order of the entries,
              which matters for `symmetric=False` only; `jax.jit` sorts the keys of a dict.
        sample_weight: `(batch,)`, weighs the anchors.
        training: Whether this is a training step. A loss that owns layers needs to be told, as
            `ContrastiveTrainer` does; a plain `keras.Model` does not.
        directions: `None`, or a dict from directions to their weights, which sum to 1. A direction is a pair of view
            indices, those of the anchors and of their candidates. See `directions` for the default.
        hard_negatives: `None`, or a dict from view indices (or names, as in `y_pred`) to embeddings `(any, dim)`.
            They join the candidates of that view, for all anchors, and are nobody's positive.
        present: `None`, or a dict from view indices (or names, as in `y_pred`) to bool `(batch,)`, False where a row
            has no such view: it is then neither an anchor nor a candidate there, whatever finite numbers it holds. A
            queue remembers only rows that have all views.

    Raises:
        TypeError: Embeddings that are not floats, ids that are not integers.
        ValueError: Shapes that do not belong together, a temperature that is not positive,
            or state that nobody tracks.
    """

    def __init__(
        self,
        temperature=0.1,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name=None,
        dtype=None,
    ):
        asked = keras.backend.standardize_dtype(dtype or keras.config.floatx())
        dtype = asked if asked == "float64" else "float32"
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        _check_temperature(temperature)
        _check_memory(memory)
        self.temperature = temperature
        self.symmetric = symmetric
        self.normalize = normalize
        self.memory = memory
        # Keras reduces: weights, every `reduction`, and its own scaling by 1 / replicas.
        self._reducer = _AsItIs(reduction=reduction, dtype=dtype)

    all_views = (
        False  # whether an anchor's candidates are the rows of all views, or of the other one
    )

    @property
    def layers(self):
        """The layers that this loss owns, to be tracked by the model that is trained."""
        return [
            part for part in (self.temperature, self.memory) if isinstance(part, keras.layers.Layer)
        ]

    def directions(self, num_views):
        """The directions between so many views that are compared by default, and their equal weights."""
        pairs = itertools.combinations(range(num_views), 2)
        both = [
            direction
            for a, b in pairs
            for direction in ([(a, b), (b, a)] if self.symmetric else [(a, b)])
        ]
        return {direction: 1 / len(both) for direction in both}

    def build(self, directions=None):
        """Create the weights of the loss's layers, once; `ContrastiveTrainer.compile` calls it.

        Args:
            directions: The directions that will be compared; empty for a single view. By default those of two views.
        """
        directions = self.directions(2) if directions is None else directions
        if isinstance(self.temperature, keras.layers.Layer) and not self.temperature.built:
            self.temperature.build((None, self._num_directions(directions)))
        if self.memory is not None and not self.memory.built:
            self.memory.build(
                1 + max((view for direction in directions for view in direction), default=0)
            )

    def per_direction(self, contrast, ids, training):
        """The loss of each anchor in each direction.

        Args:
            contrast: A `keras_contrastive._engine.Contrast`.
            ids: int32 `(batch,)`, or `None` if all rows differ.
            training: True, False, or `None` where nobody says.

        Returns:
            `(batch, directions)`, in nats.
        """
        raise NotImplementedError

    def __call__(
        self,
        y_true,
        y_pred,
        sample_weight=None,
        training=None,
        directions=None,
        hard_negatives=None,
        present=None,
    ):
        losses = self.call(y_true, y_pred, training, directions, hard_negatives, present)
        return self.reduced(losses, sample_weight)

    def reduced(self, losses, sample_weight=None):
        """One number for the whole batch from the `(batch,)` losses of the rows here, as this loss reduces."""
        shared = None if self.reduction in (None, "none") else shared_batch(losses)
        if shared is not None:  # every replica computes the loss of the whole batch
            losses = shared.gather(losses)
            if sample_weight is not None:
                sample_weight = shared.gather(
                    ops.convert_to_tensor(sample_weight, dtype=self.dtype)
                )
        reduced = self._reducer(ops.zeros_like(losses), losses, sample_weight)
        # Keras itself divides means by the number of TensorFlow's replicas, and sums not.
        return reduced if shared is None or self.reduction != "sum" else reduced * shared.share

    def call(
        self, y_true, y_pred, training=None, directions=None, hard_negatives=None, present=None
    ):
        """The loss of each anchor, `(batch,)`, before weights and reduction."""
        if self.layers and training is None:
            owned = ", ".join(layer.name for layer in self.layers)
            raise ValueError(
                f"`{type(self).__name__}` owns layers ({owned}), which a plain `keras.Model` neither trains nor "
                "updates. Compile a `keras_contrastive.ContrastiveTrainer` with it, or call `build()` and say "
                "`training=True` or `False` in a loop of your own. Received: training=None."
            )
        unbuilt = [layer.name for layer in self.layers if not layer.built]
        if unbuilt:
            raise ValueError(
                f"The layers of this loss are not built: {', '.join(unbuilt)}. `ContrastiveTrainer.compile` does it; "
                "in a loop of your own, call `loss.build()` once, before anything is traced or optimized."
            )
        ids, views = as_views(y_true, y_pred)
        shared = shared_batch(views[0])
        if shared is None:
            warn_if_local()
        views = [self.comparable(view) for view in views]
        extra = self._hard_negatives(hard_negatives, y_pred, views)
        if self.memory is not None:
            remembered = self.memory.candidates(views)
            for own, candidates in zip(extra, remembered, strict=True):
                own.append(Candidates(ops.cast(candidates.embeddings, self.dtype), candidates.ids))
        if directions is None:
            directions = self.directions(len(views))
        else:
            _check_directions(directions, len(views))
        present = self._presence(present, y_pred, views)
        losses = self.of_views(views, directions, ids, extra, present, shared, training)
        if self.memory is not None and training:
            parts = views, ids, present
            if shared is not None:
                parts = keras.tree.map_structure(
                    lambda x: x if x is None else shared.gather(x), parts
                )
            self.memory.push(*parts)
        return losses

    def of_views(self, views, directions, ids, extra, present, shared, training):
        """The loss of each anchor, `(batch,)`, from comparable views and the weights of their directions."""
        contrast = Contrast(
            views, list(directions), ids, self.scale(), self.all_views, extra, present, shared
        )
        losses = self.per_direction(contrast, ids, training)  # (batch, directions)
        if not directions:
            return losses[:, 0]
        return ops.sum(
            losses * ops.convert_to_tensor(list(directions.values()), dtype=losses.dtype), axis=1
        )

    def comparable(self, embeddings):
        """Embeddings as this loss compares them: in its dtype, and normalized if it normalizes."""
        embeddings = ops.cast(embeddings, self.dtype)
        return normalize(embeddings) if self.normalize else embeddings

    def _hard_negatives(self, hard_negatives, y_pred, views):
        """A list of `Candidates` for each view."""
        names = list(y_pred) if isinstance(y_pred, dict) else list(range(len(views)))
        extra: list = [[] for _ in views]
        for name, embeddings in (hard_negatives or {}).items():
            if name not in names:
                raise ValueError(
                    f"`hard_negatives` must be a dict from views to embeddings. Expected some of {names}. "
                    f"Received: {name!r}."
                )
            embeddings = ops.convert_to_tensor(embeddings)
            if len(embeddings.shape) != 2 or embeddings.shape[1] != views[0].shape[1]:
                raise ValueError(
                    "Hard negatives must have the shape `(any, dim)`, with the `dim` of the views. "
                    f"Received: hard_negatives[{name!r}].shape={tuple(embeddings.shape)}, dim={views[0].shape[1]}."
                )
            shared = shared_batch(embeddings)
            embeddings = embeddings if shared is None else shared.gather(embeddings)
            if embeddings.shape[0] != 0:
                extra[names.index(name)].append(Candidates(self.comparable(embeddings)))
        return extra

    def _presence(self, present, y_pred, views):
        """Bool `(batch,)` for each view, or `None`."""
        names = list(y_pred) if isinstance(y_pred, dict) else list(range(len(views)))
        unknown = [name for name in present or () if name not in names]
        if unknown:
            raise ValueError(
                f"`present` must be a dict from views to booleans. Expected some of {names}. Received: {unknown}."
            )
        return [
            ops.cast(present[name], "bool") if name in (present or ()) else None for name in names
        ]

    def _num_directions(self, directions):
        return len(self.directions(2) if directions is None else directions) or 1

    def scale(self):
        """1 / temperature: a scalar tensor, or one for each direction."""
        if isinstance(self.temperature, keras.layers.Layer):
            return ops.cast(self.temperature.scale, self.dtype)
        return ops.convert_to_tensor(1.0 / self.temperature, dtype=self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": serialized(self.temperature),
            "symmetric": self.symmetric,
            "normalize": self.normalize,
            "memory": serialized(self.memory),
            "dtype": self.dtype,  # which `keras.losses.Loss` forgets
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{name: _deserialized(part) for name, part in config.items()})


class _AsItIs(keras.losses.Loss):
    def __init__(self, reduction, dtype):
        super().__init__(name="reduce", reduction=reduction, dtype=dtype)

    def call(self, y_true, y_pred):
        return y_pred


def value_with_gradient_of(value, surrogate):
    """The value, with the gradient of a surrogate."""
    return ops.stop_gradient(value) + (surrogate - ops.stop_gradient(surrogate))


def _check_directions(directions, num_views):
    views = set(range(num_views))
    pairs = list(directions) if isinstance(directions, dict) else []
    if not pairs or any(
        len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= views for pair in pairs
    ):
        raise ValueError(
            "`directions` must be a dict from pairs of different view indices, those of anchors and candidates, to "
            f"their weights; there are {num_views} views. Received: directions={directions}."
        )


def serialized(part):
    """A layer as its configuration; anything else as it is."""
    return (
        keras.saving.serialize_keras_object(part) if isinstance(part, keras.layers.Layer) else part
    )


def _deserialized(part):
    return keras.saving.deserialize_keras_object(part) if isinstance(part, dict) else part


def _check_memory(memory):
    if memory is not None and not (
        isinstance(memory, keras.layers.Layer) and hasattr(memory, "candidates")
    ):
        raise TypeError(
            "`memory` must be `None` or a `keras_contrastive.layers.EmbeddingQueue`. "
            f"Received: memory={memory!r}. A queue needs its size and the `dim` of the embeddings."
        )


def _check_temperature(temperature):
    if isinstance(temperature, keras.layers.Layer) and hasattr(type(temperature), "scale"):
        return
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float, np.number)):
        raise TypeError(
            "`temperature` must be a positive float or a `keras_contrastive.layers.LearnableTemperature`. "
            f"Received: temperature={temperature!r}."
        )
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"`temperature` must be positive and finite. Received: temperature={temperature}. "
            "Is this a logit scale? Then pass 1 / scale."
        )
