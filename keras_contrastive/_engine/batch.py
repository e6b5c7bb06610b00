"""The data contract: shapes and dtypes of `y_true` and `y_pred` decide which rows are compared."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
from keras import ops

from keras_contrastive._engine.candidates import FIRST_PRIVATE_ID
from keras_contrastive._engine.normalize import normalize
from keras_contrastive._engine.row_attributes import (
    check_guides,
    check_log_weights,
    check_present,
)
from keras_contrastive._engine.targets import (
    as_embeddings,
    as_ids,
    as_weights,
    check_shapes,
    embeddings_and_targets,
    ids_of_averages,
)
from keras_contrastive._replicas import Replicas, current_replicas
from keras_contrastive._typing import ArrayLike, Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """The embeddings of one step, with everything that losses, metrics and regularizers ask about
    them.

    A step makes one `Batch`. Batches that are derived from it share its cache, so that each view is
    normalized once and gathered once. A batch belongs to one step: do not use it in several traced
    functions or gradient scopes.

    Args:
        views: Embeddings `(batch, dim)` by the user's names.
        ids: Integer ids, int32 `(batch,)`, or `None` if all rows are different items.
        present: Bool `(batch,)` by name, for the views that some rows lack.
        sample_weight: Weights of the rows, float `(batch,)`, or `None`.
        log_weights: Float `(batch,)` by name, added to the logits with the rows of that view as
            candidates.
        guides: Embeddings `(batch, guide_dim)` by name, of unit length and without a gradient, that
            decide which negatives an anchor ignores.
        replicas: How the global batch is spread over replicas. `None` if this process holds all of
            it.

    Example:

    >>> batch = Batch.from_targets(None, {"image": keras.ops.eye(2), "text": keras.ops.eye(2)})
    >>> batch.names
    ('image', 'text')
    >>> batch.ids is None, [int(row) for row in batch.rows]
    (True, [0, 1])
    """

    views: dict[str, Tensor]
    ids: Tensor | None = None
    present: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    sample_weight: Tensor | None = None
    replicas: Replicas | None = None
    log_weights: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    guides: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    _cache: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def from_targets(
        cls,
        y_true: ArrayLike | None,
        y_pred: ArrayLike,
        sample_weight: ArrayLike | None = None,
        present: Mapping[Any, ArrayLike] | None = None,
        across_replicas: bool = True,
        log_weights: Mapping[Any, ArrayLike] | None = None,
        guides: Mapping[Any, ArrayLike] | None = None,
    ) -> "Batch":
        """Makes a batch from the arguments of a Keras loss.

        | `y_pred` | `y_true` | views |
        | --- | --- | --- |
        | `(batch, dim)` | float `(batch, dim)` | two: predictions and targets |
        | `(batch, dim)` | integer `(batch,)` or `(batch, 1)` | one; positives have the same id |
        | `(batch, views, dim)` | integer ids or `None` | `views` |
        | dict, list or tuple of `(batch, dim)` | integer ids or `None` | one per entry, in order |

        Args:
            y_true: Ids, targets or `None`, see above. Ids are in `[0, 2**31)`.
            y_pred: Embeddings, see above. Keys of a dict become the names of the views.
            sample_weight: Weights of the rows, `(batch,)`, or `None`.
            present: `None`, or a dict from names or indices of views to bool `(batch,)`. It is
                False where a row lacks the view.
            across_replicas: Whether the rows are part of a global batch. If False, other replicas
                are ignored.
            log_weights: `None`, or a dict from names or indices of views to floats `(batch,)`,
                added to the logits with the rows of that view as candidates.
            guides: `None`, or a dict from names or indices of all views to embeddings
                `(batch, guide_dim)`, whose cosines decide which negatives an anchor ignores.

        Raises:
            TypeError: If embeddings are not floating point, or ids are not integers.
            ValueError: If shapes do not fit together, ids are out of range, or there is nothing to
                compare.
        """
        y_true = ids_of_averages(y_true)
        if isinstance(y_pred, Mapping):
            views = {name: as_embeddings(view, name) for name, view in y_pred.items()}
        elif isinstance(y_pred, (list, tuple)):
            views = {
                f"y_pred[{i}]": as_embeddings(view, f"y_pred[{i}]") for i, view in enumerate(y_pred)
            }
        else:
            views, y_true = embeddings_and_targets(y_true, y_pred)
        ids = None if y_true is None else as_ids(y_true)
        check_shapes(views, ids)
        names = list(views)
        num_rows = views[names[0]].shape[0]
        presence = check_present(present, names, num_rows)
        views = {name: zero_where_missing(view, presence.get(name)) for name, view in views.items()}
        weights = None if sample_weight is None else as_weights(sample_weight, num_rows)
        replicas = current_replicas(views[names[0]]) if across_replicas else None
        added = check_log_weights(log_weights, names, num_rows, present)
        guiding = check_guides(guides, names, num_rows)
        return cls(views, ids, presence, weights, replicas, added, guiding)

    # Rows

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the views, in order."""
        return tuple(self.views)

    @property
    def rows(self) -> Tensor:
        """Positions of the rows in the global batch, int32 `(batch,)`."""
        view = next(iter(self.views.values()))
        return self._once(("rows", id(view)), lambda: (view, self._positions(view)))[1]

    @property
    def row_ids(self) -> Tensor:
        """The ids, or the positions if there are no ids, int32 `(batch,)`."""
        return self.rows if self.ids is None else self.ids

    def complete(self, *names: str) -> Tensor | None:
        """Returns which rows have all the named views (default: all), bool `(batch,)`.

        Returns `None` if no row lacks any of them.
        """
        result = None
        for name in names or self.names:
            if name in self.present:
                mask = self.present[name]
                result = mask if result is None else ops.logical_and(result, mask)
        return result

    # Replicas

    def gather(self, x: Tensor | None) -> Tensor:
        """Returns the rows of all replicas for a tensor of local rows. `None` stays `None`."""
        replicas = self.replicas
        if x is None or replicas is None:
            return x
        # The local tensor is kept as well, so that its `id` is not reused.
        return self._once(("gathered", id(x)), lambda: (x, replicas.gather(x)))[1]

    def local(self, x: Tensor | None) -> Tensor:
        """Returns the rows of this replica for a tensor of global rows. `None` stays `None`."""
        return x if x is None or self.replicas is None else self.replicas.local(x)

    @property
    def global_batch(self) -> "Batch":
        """The batch of all replicas. It is this batch if no other replica exists."""
        if self.replicas is None:
            return self
        return Batch(
            {name: self.gather(view) for name, view in self.views.items()},
            self.gather(self.ids),
            {name: self.gather(mask) for name, mask in self.present.items()},
            self.gather(self.sample_weight),
            log_weights={name: self.gather(x) for name, x in self.log_weights.items()},
        )

    # Views

    def cast(self, dtype: str | None = None) -> "Batch":
        """Returns the batch with views in `dtype`. The default is float32 or wider."""
        return self._mapped("cast", dtype, lambda view, target: ops.cast(view, target))

    def unit(self, dtype: str | None = None) -> "Batch":
        """Returns the batch with views of unit length, by default in float32 or wider."""
        return self._mapped("unit", dtype, lambda view, target: normalize(ops.cast(view, target)))

    def select(self, names: Iterable[str]) -> "Batch":
        """Returns the same rows with some of the views, in the given order."""
        return self.with_views({name: self.views[name] for name in names})

    def with_views(
        self, views: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None
    ) -> "Batch":
        """Returns the same rows with other views.

        Args:
            views: Embeddings `(batch, dim)` by name.
            present: Bool `(batch,)` by name. By default, views keep the presence of their names.
        """
        presence = self.present if present is None else present
        kept, log_weights, guides = (
            {name: by_view[name] for name in views if name in by_view}
            for by_view in (presence, self.log_weights, self.guides)
        )
        parts: Any = {"present": kept, "log_weights": log_weights, "guides": guides}
        return dataclasses.replace(self, views=dict(views), **parts)

    def stop_gradient(self) -> "Batch":
        """Returns the batch with views that no gradient reaches."""
        return self.with_views({name: ops.stop_gradient(x) for name, x in self.views.items()})

    def as_single_view(self) -> "Batch":
        """Returns all views of all rows as the rows of one view, as supervised losses compare them.

        Rows of the same item have the same id. Without ids, each item gets a private one.
        """
        if len(self.views) == 1:
            return self
        count = len(self.views)
        ids = FIRST_PRIVATE_ID - 1 - self.rows if self.ids is None else self.ids
        views = {"views": ops.concatenate(list(self.views.values()))}
        present = {}
        if self.present:
            all_true = ops.ones_like(ids) > 0
            masks = [self.present.get(name, all_true) for name in self.views]
            present = {"views": ops.concatenate(masks)}
        log_weights = {}
        if self.log_weights:
            zeros = ops.zeros_like(next(iter(self.log_weights.values())))
            parts = [self.log_weights.get(name, zeros) for name in self.views]
            log_weights = {"views": ops.concatenate(parts)}
        replicas = None if self.replicas is None else current_replicas(views["views"])
        return Batch(views, ops.concatenate([ids] * count), present, None, replicas, log_weights)

    # Caching

    def _once(self, key: Any, compute: Callable[[], Any]) -> Any:
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def _positions(self, view: Tensor) -> Tensor:
        if self.replicas is not None:
            return self.replicas.rows
        return ops.arange(ops.shape(view)[0], dtype="int32")

    def _mapped(
        self, kind: str, dtype: str | None, function: Callable[[Tensor, str], Tensor]
    ) -> "Batch":
        def once(view: Tensor) -> Tensor:
            target = dtype or keras.backend.result_type(view.dtype, "float32")
            # The view is kept as well, so that its `id` is not reused.
            return self._once((kind, target, id(view)), lambda: (view, function(view, target)))[1]

        return self.with_views({name: once(view) for name, view in self.views.items()})


def zero_where_missing(view: Tensor, present: Tensor | None) -> Tensor:
    """Returns embeddings `(batch, dim)`, zero where a row lacks the view."""
    if present is None:
        return view
    return ops.where(ops.expand_dims(present, 1), view, ops.zeros_like(view))
