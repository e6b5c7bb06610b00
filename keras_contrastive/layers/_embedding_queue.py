"""A queue of the embeddings of past batches."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import MISSING_ID, NO_ITEM_ID, Candidates
from keras_contrastive._keras import replicated_weight, repr_from_config
from keras_contrastive._typing import Config, LayerArguments, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EmbeddingQueue(keras.layers.Layer):
    """Stores the embeddings of the last batches as further candidates of a loss.

    New embeddings replace the oldest ones. Pass the queue to a loss:
    `InfoNCE(memory=EmbeddingQueue(4096))`. `ContrastiveTrainer` tracks and saves it. Each batch is
    first compared with the stored embeddings and then, in training only, added to them. No gradient
    reaches the queue. Embeddings are stored in float32 under every dtype policy. A row with NaN or
    infinite embeddings is never a candidate.

    With ids, a stored embedding is never a negative of its own item. For losses with several
    positives it is a positive of its item. Without ids, a stored embedding is a negative of every
    anchor, even of its own item.

    Stored embeddings come from older weights. This does little harm if the encoders change slowly
    over `size / batch` steps. MoCo computes the stored embeddings with a slow copy of the encoders,
    the `teacher` of a trainer. Cross-batch memory waits with `warmup_steps` until weights change
    slowly. The trainer warns in `compile` if there is neither.

    Args:
        size: Positive int, number of stored rows. A row contains the embeddings of all views of an
            item.
        dim: Positive int, dimension of the embeddings. With `None`, a trainer finds it out. A loop
            of your own needs it.
        warmup_steps: Non-negative int. Embeddings of the first training steps are never candidates.
        batch_share: `None`, which counts a stored row as much as a row of the batch. Or a float in
            (0, 1), the share of the total weight of the negatives that those of the batch keep. At
            0.5, K stored rows have the log-weight log(m / K), where m is the number of other rows
            of the batch.
        log_weights: Whether log-weights of the rows are stored with them. It is required if a batch
            has `log_weights`, see `ContrastiveLoss`.
        **kwargs: See `keras.layers.Layer`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range, or if the views have another dimension.

    Reference:
        - [He et al., 2020](https://arxiv.org/abs/1911.05722), Sec. 3.2, the queue.
        - [Wang et al., 2020](https://arxiv.org/abs/1912.06798), Sec. 3.3, cross-batch memory and
          its warm-up.

    Example:

    >>> loss = keras_contrastive.losses.InfoNCE(temperature=1.0, memory=EmbeddingQueue(3, dim=2))
    >>> loss.build()
    >>> embeddings = keras.ops.eye(2)
    >>> round(float(loss(None, (embeddings, embeddings), training=True)), 4)
    0.3133
    >>> round(float(loss(None, (embeddings, embeddings), training=True)), 4)  # two more candidates
    1.0064
    """

    def __init__(
        self,
        size: int,
        dim: int | None = None,
        warmup_steps: int = 0,
        batch_share: float | None = None,
        log_weights: bool = False,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(**{**kwargs, "trainable": False, "dtype": "float32"})
        self.size = _checks.positive_int("size", size)
        self.dim = _checks.optional_positive_int("dim", dim)
        self.warmup_steps = _checks.non_negative_int("warmup_steps", warmup_steps)
        if batch_share is not None:
            batch_share = _checks.real(
                "batch_share", batch_share, 0, 1, include_low=False, include_high=False
            )
        self.batch_share: Any = batch_share
        self.log_weights = _checks.boolean("log_weights", log_weights)

    def build(self, num_views: int = 2) -> None:
        """Creates the weights for the given number of views. It needs `dim`."""
        if self.dim is None:
            raise ValueError(
                "`dim` must be a positive integer before a queue is built. Received: dim=None. "
                f"Pass it: `EmbeddingQueue({self.size}, dim=...)`."
            )
        # Each replica pushes the rows of all replicas, so that the weights stay equal.
        self.embeddings = replicated_weight(self, "embeddings", (self.size, num_views, self.dim))
        empty = keras.initializers.Constant(MISSING_ID)
        self.ids = replicated_weight(self, "ids", (self.size,), "int32", empty)
        self.next_row = replicated_weight(self, "next_row", (), "int32")
        if self.warmup_steps:
            self.step = replicated_weight(self, "step", (), "int32")
        if self.log_weights:
            shape = (self.size, num_views)
            self.stored_log_weights = replicated_weight(self, "log_weights", shape)
        self.built = True

    def candidates(self, views: Sequence[Tensor]) -> list[Candidates]:
        """Returns the stored embeddings of each view.

        Args:
            views: Views of the batch, float tensors `(batch, dim)`.

        Raises:
            ValueError: If the queue stores another number of views, or another dimension.
        """
        num_views, dim = self.embeddings.shape[1:]
        if (len(views), views[0].shape[1]) != (num_views, dim):
            raise ValueError(
                f"`views` must be {num_views} views of dimension {dim}, as in the queue. "
                f"Received: {len(views)} views of dimension {views[0].shape[1]}. Create the queue "
                f"with `dim={views[0].shape[1]}`, and build the loss with `num_views={len(views)}`."
            )
        # The gradient needs the values before `push`, which changes weights in place on PyTorch.
        return [
            Candidates(
                ops.copy(self.embeddings[:, view]),
                ops.copy(self.ids),
                log_weights=(
                    ops.copy(self.stored_log_weights[:, view]) if self.log_weights else None
                ),
            )
            for view in range(len(views))
        ]

    def log_weight_of_share(self, num_negatives: Tensor) -> Tensor:
        """Returns the log-weight of each stored row that leaves `batch_share` to the batch.

        Args:
            num_negatives: Integer scalar, the number of negatives of a row in the batch.
        """
        num_stored = ops.maximum(ops.sum(ops.cast(self.ids != MISSING_ID, "float32")), 1)
        num_negatives = ops.maximum(ops.cast(num_negatives, "float32"), 1)
        return ops.log((1 / self.batch_share - 1) * num_negatives / num_stored)

    def push(
        self,
        views: Sequence[Tensor],
        ids: Tensor | None,
        present: Sequence[Tensor | None] = (),
        log_weights: Sequence[Tensor | None] = (),
    ) -> None:
        """Stores a batch in place of the oldest rows.

        Args:
            views: Float tensors `(batch, dim)`.
            ids: int32 `(batch,)`, or `None`.
            present: For each view bool `(batch,)` or `None`. Only rows that have all views, with
                finite embeddings, are candidates.
            log_weights: For each view float `(batch,)` or `None` for 0.
        """
        rows = ops.stop_gradient(ops.stack(views, axis=1))  # (batch, views, dim)
        batch = ops.shape(rows)[0]
        ids = ops.full((batch,), NO_ITEM_ID, dtype="int32") if ids is None else ids
        for mask in present:
            if mask is not None:
                ids = ops.where(mask, ids, ops.full_like(ids, MISSING_ID))
        if self.warmup_steps:
            is_warm = ops.convert_to_tensor(self.step) >= self.warmup_steps
            ids = ops.where(is_warm, ids, ops.full_like(ids, MISSING_ID))
            self.step.assign(self.step + 1)
        count = ops.minimum(batch, self.size) if rows.shape[0] is None else min(batch, self.size)
        positions = (self.next_row + ops.arange(count, dtype="int32")) % self.size
        indices = ops.expand_dims(positions, 1)
        newest = ops.cast(rows[batch - count :], "float32")
        ids = ids[batch - count :]
        # NaN in the queue would make all later losses NaN.
        is_finite = ops.all(ops.all(ops.isfinite(newest), axis=2), axis=1)
        ids = ops.where(is_finite, ids, ops.full_like(ids, MISSING_ID))
        newest = ops.where(ops.reshape(is_finite, (-1, 1, 1)), newest, ops.zeros_like(newest))
        self.embeddings.assign(ops.scatter_update(self.embeddings, indices, newest))
        self.ids.assign(ops.scatter_update(self.ids, indices, ids))
        if self.log_weights:
            zeros = ops.zeros_like(rows[:, 0, 0])
            parts = [zeros if x is None else ops.cast(x, zeros.dtype) for x in log_weights]
            parts = parts or [zeros] * len(views)
            newest = ops.cast(ops.stack(parts, axis=1)[batch - count :], "float32")
            updated = ops.scatter_update(self.stored_log_weights, indices, newest)
            self.stored_log_weights.assign(updated)
        self.next_row.assign((self.next_row + count) % self.size)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "size": self.size,
            "dim": self.dim,
            "warmup_steps": self.warmup_steps,
            "batch_share": self.batch_share,
            "log_weights": self.log_weights,
        }

    def __repr__(self) -> str:
        return repr_from_config(self, first="size")
