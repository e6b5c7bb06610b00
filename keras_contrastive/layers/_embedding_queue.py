"""A memory of past embeddings."""

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import EMPTY, NOBODY, Candidates


@keras.saving.register_keras_serializable(package="keras_contrastive")
class EmbeddingQueue(keras.layers.Layer):
    """The embeddings of the last batches, first in, first out, as further candidates for a loss.

    Give it to a loss: `InfoNCE(memory=EmbeddingQueue(4096, dim=128))`. `ContrastiveTrainer` keeps and saves it. A batch
    is compared with the queue as the batches before left it, and joins it afterward, in training only. No gradient
    reaches the queue. With ids, a remembered embedding is never a negative of its own item (and a positive of it, for
    losses that take several); without ids it is everybody's negative, its own item's too.

    What is remembered was made by older weights. That is harmless as long as the towers move slowly compared with
    `size / batch` steps: use a small learning rate or a short queue, and start it after the first epochs if need be.

    Args:
        size: Positive int, how many rows are remembered; the embeddings of all views of a row count as one.
        dim: Positive int, dimension of the embeddings.

    Raises:
        ValueError: `size` or `dim` is not a positive integer, or views of another `dim`.

    Reference:
        - [He et al., 2020](https://arxiv.org/abs/1911.05722), Sec. 3.2, the queue (its momentum encoder is not here).
        - [Wang et al., 2020](https://arxiv.org/abs/1912.06798), Sec. 3.3, cross-batch memory.

    Example:

    >>> loss = keras_contrastive.losses.InfoNCE(temperature=1.0, memory=EmbeddingQueue(3, dim=2))
    >>> loss.build()
    >>> embeddings = keras.ops.eye(2)
    >>> round(float(loss(None, (embeddings, embeddings), training=True)), 4)
    0.3133
    >>> round(float(loss(None, (embeddings, embeddings), training=True)), 4)  # two more candidates
    1.0064
    """

    def __init__(self, size, dim, **kwargs):
        for name, value in (("size", size), ("dim", dim)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value!r}."
                )
        for name in (
            "dtype",
            "trainable",
        ):  # float32 under every policy, as the losses compute, and never trained
            kwargs.pop(name, None)
        super().__init__(trainable=False, dtype="float32", **kwargs)
        self.size = int(size)
        self.dim = int(dim)

    def build(self, num_views=2):
        """Create the memory of so many views."""
        # After gathering, each replica pushes the same rows.
        state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        shape = (self.size, num_views, self.dim)
        self.embeddings = self.add_weight(
            name="embeddings", shape=shape, initializer="zeros", **state
        )
        empty = keras.initializers.Constant(EMPTY)
        self.ids = self.add_weight(
            name="ids", shape=(self.size,), dtype="int32", initializer=empty, **state
        )
        self.next_row = self.add_weight(
            name="next_row", shape=(), dtype="int32", initializer="zeros", **state
        )
        self.built = True

    def candidates(self, views):
        """What is remembered of each view, as a list of `Candidates`.

        Args:
            views: The views of the batch, a list of tensors `(batch, dim)`.
        """
        expected, found = self.embeddings.shape[1:], (len(views), views[0].shape[1])
        if found != tuple(expected):
            raise ValueError(
                f"This queue remembers {expected[0]} views of dimension {expected[1]}. "
                f"Received: {found[0]} views of dimension {found[1]}."
            )
        # Copies: the gradient needs them as they are now, and on PyTorch `push` changes the weights in place before it.
        return [
            Candidates(ops.copy(self.embeddings[:, view]), ops.copy(self.ids))
            for view in range(len(views))
        ]

    def push(self, views, ids, present=()):
        """Remember a batch, in the place of the oldest rows.

        Args:
            views: List of tensors `(batch, dim)`.
            ids: int32 `(batch,)`, or `None`.
            present: A list of bool `(batch,)` or `None`: only rows where all are True are remembered.
        """
        rows = ops.stop_gradient(ops.stack(views, axis=1))
        batch = ops.shape(rows)[0]
        ids = ops.full((batch,), NOBODY, dtype="int32") if ids is None else ids
        for there in present:
            if there is not None:
                ids = ops.where(there, ids, ops.full_like(ids, EMPTY))
        kept = ops.minimum(batch, self.size) if rows.shape[0] is None else min(batch, self.size)
        places = (self.next_row + ops.arange(kept, dtype="int32")) % self.size
        indices = ops.expand_dims(places, 1)
        newest = ops.cast(rows[batch - kept :], "float32")
        self.embeddings.assign(ops.scatter_update(self.embeddings, indices, newest))
        self.ids.assign(ops.scatter_update(self.ids, indices, ids[batch - kept :]))
        self.next_row.assign((self.next_row + kept) % self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "dim": self.dim}
