"""BatchStatistics, the base of losses that compare statistics of two views of the batch."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras import ops

from keras_contrastive._engine import Batch, Candidates
from keras_contrastive._typing import Directions, Reduction, Tensor
from keras_contrastive.losses._arguments import check_no_hard_negatives
from keras_contrastive.losses._base import ContrastiveLoss


class Rows(NamedTuple):
    """The rows of the global batch that have both views of a pair.

    Args:
        a: The first view, `(rows, dim)`.
        b: The second view, `(rows, dim)`.
        shares: Weights of the rows, `(rows, 1)`. Their sum is 1, or 0 if no row counts.
    """

    a: Tensor
    b: Tensor
    shares: Tensor

    @property
    def degrees(self) -> Tensor:
        """Divisor that makes a weighted variance unbiased: 1 - 1 / rows for equal weights."""
        return 1.0 - ops.sum(ops.square(self.shares))

    def mean(self, x: Tensor) -> Tensor:
        """Returns the weighted mean of rows `(rows, dim)`, `(1, dim)`."""
        return ops.sum(self.shares * x, axis=0, keepdims=True)

    def centered(self, x: Tensor) -> Tensor:
        """Returns rows minus their weighted mean."""
        return x - self.mean(x)

    def products(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns the weighted mean of the outer products of rows, `(dim, dim)`."""
        return ops.matmul(ops.transpose(self.shares * a), b)


class BatchStatistics(ContrastiveLoss):
    """Base class of losses of pairs of views that are functions of the whole batch.

    A subclass implements `of_rows`. The loss has one value, which is that of each row.

    Args:
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: See `ContrastiveLoss`.
    """

    fixed_arguments = ("temperature", "symmetric", "normalize", "memory")

    def __init__(
        self,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(
            1.0, symmetric=False, normalize=False, reduction=reduction, name=name, dtype=dtype
        )

    def of_rows(self, rows: Rows) -> Tensor:
        """Computes the loss of a pair of views, a scalar."""
        raise NotImplementedError(f"`{type(self).__name__}` must implement `of_rows(rows)`.")

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        if directions is not None:
            self._check_pairs(list(directions))
        super().build(directions, num_views)

    def _weighted_mean(
        self,
        batch: Batch,
        directions: Directions,
        extra: Mapping[str, list[Candidates]],
        training: bool | None,
    ) -> Tensor:
        self._check_pairs(list(directions))
        total: Any = 0.0
        for pair, weight in directions.items():
            rows = _rows_of_pair(batch, pair)
            value = self.of_rows(rows)
            # One row has no variance.
            value = ops.where(rows.degrees > 1e-6, value, ops.zeros_like(value))
            total = total + ops.cast(weight, value.dtype) * value
        return ops.zeros_like(batch.views[batch.names[0]][:, 0]) + total

    def _extra_candidates(
        self, hard_negatives: Mapping[Any, Any] | None, batch: Batch
    ) -> dict[str, list[Candidates]]:
        check_no_hard_negatives(type(self).__name__, hard_negatives)
        return {}

    def _check_pairs(self, directions: Sequence[tuple[str, str]]) -> None:
        if not directions:
            raise ValueError(
                f"`y_pred` must have at least two views, since `{type(self).__name__}` compares "
                "views of the same rows. Received: one view. Add an augmenter or another modality. "
                "If `y_true` holds labels, use `SupCon`."
            )


def off_diagonal_squares(matrix: Tensor) -> Tensor:
    """Returns the sum of the squares of the entries outside of the diagonal, a scalar."""
    others = 1.0 - ops.eye(matrix.shape[0], dtype=matrix.dtype)
    return ops.sum(ops.square(matrix * others))


def _rows_of_pair(batch: Batch, pair: tuple[str, str]) -> Rows:
    a, b = (batch.gather(batch.views[name]) for name in pair)
    weights = ops.ones_like(a[:, :1])
    if batch.sample_weight is not None:
        given = ops.cast(batch.gather(batch.sample_weight), a.dtype)
        weights = ops.reshape(given, (-1, 1))
    present = batch.complete(*pair)
    if present is not None:
        weights = weights * ops.cast(ops.expand_dims(batch.gather(present), 1), a.dtype)
    total = ops.sum(weights)
    is_some = total > 0
    return Rows(a, b, ops.where(is_some, weights / ops.where(is_some, total, 1.0), 0.0))
