"""Matryoshka, a loss whose leading dimensions are embeddings of their own."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch, check_has_rows
from keras_contrastive._keras import repr_from_config
from keras_contrastive._typing import Config, Directions, Layer, Tensor
from keras_contrastive.losses._base import ContrastiveLoss
from keras_contrastive.losses._hard_negatives import hard_negatives_by_view, local_hard_negatives


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Matryoshka(ContrastiveLoss):
    """Computes the mean of a loss over embeddings that are truncated to several sizes.

    The first dimensions of an embedding then serve as a smaller embedding, which takes less memory
    and time in a search. Use it if embeddings will be stored. `trainer.embedder(truncate=64)` keeps
    the first 64 dimensions. Include the full size in `dims` if it is used as well.

    Each size takes one pass of the inner loss, one after the other, so memory does not grow with
    the square of the batch.

    Args:
        loss: A `ContrastiveLoss` without state, such as `InfoNCE()` or `SupCon()`. If it
            normalizes, each truncated embedding has unit length. Its learnable temperature is
            shared by all sizes.
        dims: Sequence of distinct positive ints, at most the size of the embeddings.
        weights: `None` for equal weights, or positive floats, one for each of `dims`. They are
            divided by their sum. (The loss of sentence-transformers is the sum.)
        name: Name of the loss.

    Call arguments: see `ContrastiveLoss`.

    Returns:
        Loss in nats, reduced as the inner loss reduces.

    Raises:
        TypeError: If `loss` is not a `ContrastiveLoss`, or `dims` and `weights` are not sequences
            of numbers.
        ValueError: If `loss` has class vectors, or a queue, `num_items` or other state, since all
            sizes would share it, or `dims` or `weights` are out of range.

    Reference:
        - [Kusupati et al., 2022](https://arxiv.org/abs/2205.13147), Eq. 1.

    Example:

    >>> z = keras.ops.array([[1.0, 0.0], [1.0, 1.0]])
    >>> info_nce = keras_contrastive.losses.InfoNCE(temperature=1.0)
    >>> loss = Matryoshka(info_nce, dims=(1, 2))
    >>> round(float(loss(None, (z, z))), 4)  # mean of log(2), if cut to 1 dimension, and 0.5574
    0.6253
    """

    def __init__(
        self,
        loss: ContrastiveLoss,
        dims: Sequence[int],
        weights: Sequence[float] | None = None,
        name: str | None = None,
    ) -> None:
        _check_loss(loss)
        self.loss = loss
        self.dims = _checked_dims(dims)
        self.weights = _checked_weights(weights, len(self.dims))
        super().__init__(
            loss.temperature,
            symmetric=loss.symmetric,
            normalize=loss.normalize,
            reduction=loss.reduction,
            name=name,
            dtype=loss.dtype,
        )
        self.all_views = loss.all_views
        self.takes_log_weights = loss.takes_log_weights
        self.ignores_negatives = loss.ignores_negatives
        self.ignore_above = loss.ignore_above

    @property
    def layers(self) -> list[Layer]:
        return self.loss.layers

    def directions(self, names: Sequence[str]) -> dict[tuple[str, str], float]:
        return self.loss.directions(names)

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        self.loss.build(directions, num_views)
        # Scalars count steps. Anything else is state of items, which the sizes would overwrite.
        stateful = [layer for layer in self.layers if layer is not self.temperature]
        if any(weight.shape for layer in stateful for weight in layer.non_trainable_weights):
            raise _state_error(self.loss, "non-trainable weights")

    def per_anchor(
        self,
        batch: Batch,
        directions: Mapping[Any, float] | None = None,
        hard_negatives: Mapping[Any, Any] | None = None,
        training: bool | None = None,
    ) -> Tensor:
        self._check_layers(training)
        check_has_rows(batch.views, batch.replicas)
        _check_sizes(self.dims, batch)
        # The gradients of all sizes are added in this dtype, and rounded to a lower one at the end.
        batch = batch.cast(self.dtype)
        hard = {
            key: local_hard_negatives(key, given, batch)
            for key, given in hard_negatives_by_view(hard_negatives).items()
        }
        hard = {
            key: dataclasses.replace(part, embeddings=ops.cast(part.embeddings, self.dtype))
            for key, part in hard.items()
        }
        weights = np.ones(len(self.dims)) if self.weights is None else np.array(self.weights)
        total: Any = 0.0
        for dim, weight in zip(self.dims, weights / weights.sum(), strict=True):
            views = {name: view[:, :dim] for name, view in batch.views.items()}
            shorter = {
                key: dataclasses.replace(part, embeddings=part.embeddings[:, :dim])
                for key, part in hard.items()
            }
            losses = self.loss.per_anchor(batch.with_views(views), directions, shorter, training)
            total = total + ops.cast(weight, losses.dtype) * losses
        return total

    def scale(self) -> Tensor:
        return self.loss.scale()

    def get_config(self) -> Config:
        return {
            "loss": keras.saving.serialize_keras_object(self.loss),
            "dims": list(self.dims),
            "weights": None if self.weights is None else list(self.weights),
            "name": self.name,
        }

    def __repr__(self) -> str:
        return repr_from_config(self, "loss")


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, ContrastiveLoss):
        raise TypeError(
            "`loss` must be a contrastive loss, such as `keras_contrastive.losses.InfoNCE()`. "
            f"Received: loss={loss!r}."
        )
    if hasattr(loss, "proxies"):
        raise ValueError(
            "`loss` must compare rows with each other, since class vectors have one size. "
            f"Received: loss={loss!r}. Pass a loss such as `SupCon()`."
        )
    for name in ("memory", "num_items"):
        if getattr(loss, name, None) is not None:
            raise _state_error(loss, f"{name}={getattr(loss, name)!r}")


def _state_error(loss: ContrastiveLoss, state: str) -> ValueError:
    return ValueError(
        "`loss` must have no state, since embeddings of all sizes would share it, and each would "
        f"overwrite that of the others. Received: loss={loss!r}, with {state}. Pass a loss without "
        "it, such as `InfoNCE()` or `DecoupledContrastive()`."
    )


def _checked_dims(dims: Any) -> tuple[int, ...]:
    expected = "a sequence of distinct positive integers, such as (16, 64, 256)"
    if not isinstance(dims, (list, tuple)) or not all(map(_checks.is_integer, dims)):
        raise TypeError(f"`dims` must be {expected}. Received: dims={dims!r}.")
    if not dims or min(dims) < 1 or len(set(dims)) < len(dims):
        raise ValueError(f"`dims` must be {expected}. Received: dims={dims!r}.")
    return tuple(int(dim) for dim in dims)


def _checked_weights(weights: Any, count: int) -> tuple[float, ...] | None:
    if weights is None:
        return None
    if not isinstance(weights, (list, tuple)):
        raise TypeError(
            f"`weights` must be `None` or a sequence of {count} positive numbers, one for each of "
            f"`dims`. Received: weights={weights!r}."
        )
    if len(weights) != count:
        raise ValueError(
            f"`weights` must have one number for each of the {count} `dims`. "
            f"Received: weights={weights!r}."
        )
    return tuple(_checks.positive(f"weights[{i}]", weight) for i, weight in enumerate(weights))


def _check_sizes(dims: Sequence[int], batch: Batch) -> None:
    for name, view in batch.views.items():
        if max(dims) > view.shape[1]:
            raise ValueError(
                f"`dims` must be at most {view.shape[1]}, the size of the embeddings. "
                f"Received: dims={dims}, {name} {tuple(view.shape)}. Leave out larger ones, or add "
                "a projector with a larger output."
            )
