"""Base of losses that compare embeddings with one trainable vector for each class."""

from collections.abc import Mapping
from typing import Any

from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import (
    Batch,
    Candidates,
    check_classes,
    class_sums,
    ids_of_array,
    is_on_host,
)
from keras_contrastive._keras import serialize
from keras_contrastive._typing import ArrayLike, Config, Directions, Layer, Reduction, Tensor
from keras_contrastive.losses._base import ContrastiveLoss


class ProxyLoss(ContrastiveLoss):
    """Base class of losses whose candidates are class vectors, compared by their cosine.

    Args:
        proxies: A `kc.layers.ClassProxies`.
        temperature: See `ContrastiveLoss`.
        reduction: See `ContrastiveLoss`.
        name: See `ContrastiveLoss`.
        dtype: See `ContrastiveLoss`.
    """

    fixed_arguments = ("symmetric", "normalize", "memory")
    all_views = True

    def __init__(
        self,
        proxies: Layer,
        temperature: float | Layer,
        *,
        reduction: Reduction = "sum_over_batch_size",
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        if not hasattr(type(proxies), "unit_vectors"):
            raise TypeError(
                "`proxies` must be a `keras_contrastive.layers.ClassProxies(num_classes, dim)`. "
                f"Received: proxies={proxies!r}."
            )
        super().__init__(temperature, reduction=reduction, name=name, dtype=dtype)
        self.proxies = proxies

    @property
    def layers(self) -> list[Layer]:
        return [*super().layers, self.proxies]

    @property
    def num_classes(self) -> int:
        """Number of classes. Labels are in `[0, num_classes)`."""
        return self.proxies.num_classes

    def build(self, directions: Directions | None = None, num_views: int | None = None) -> None:
        super().build(directions, num_views)
        if not self.proxies.built:
            self.proxies.build((None, self.proxies.dim))

    def target_cosine(self, cosine: Tensor) -> Tensor:
        """Returns the cosine with the anchor's class, reduced by the margin.

        Args:
            cosine: `(batch,)`.
        """
        return cosine

    def __call__(
        self, y_true: ArrayLike | None, y_pred: ArrayLike, *args: Any, **kwargs: Any
    ) -> Tensor:
        self._check_labels(y_true)
        return super().__call__(y_true, y_pred, *args, **kwargs)

    def call(
        self, y_true: ArrayLike | None, y_pred: ArrayLike, *args: Any, **kwargs: Any
    ) -> Tensor:
        """Computes the loss of each anchor, `(batch,)`, before weights and reduction."""
        self._check_labels(y_true)
        return super().call(y_true, y_pred, *args, **kwargs)

    def get_config(self) -> Config:
        return {**super().get_config(), "proxies": serialize(self.proxies)}

    def _weighted_mean(
        self,
        batch: Batch,
        directions: Directions,
        extra: Mapping[str, list[Candidates]],
        training: bool | None,
    ) -> Tensor:
        """Returns the mean of the losses over the views, `(batch,)`."""
        self._check_batch(batch)
        vectors = self.proxies.unit_vectors(self.dtype)
        scale = ops.reshape(self.scale(), ())
        total: Any = 0.0
        for name, view in batch.views.items():
            cosine, others = class_sums(view, batch.ids, vectors, scale)
            losses = ops.softplus(others - scale * self.target_cosine(cosine))
            if name in batch.present:
                losses = ops.where(batch.present[name], losses, ops.zeros_like(losses))
            total = total + losses
        # Labels are checked on the host. Where they are known on the device only, the loss of a
        # label that is no class is NaN.
        labels: Any = batch.ids
        is_class = ops.logical_and(labels >= 0, labels < self.num_classes)
        return ops.where(is_class, total / len(batch.views), float("nan"))

    def _check_batch(self, batch: Batch) -> None:
        shapes = {str(name): tuple(view.shape) for name, view in batch.views.items()}
        if batch.ids is None:
            raise ValueError(
                f"`{type(self).__name__}` compares rows with the vectors of their classes. "
                f"Received: y_true=None, {_checks.listing(shapes)}. Pass integer labels in "
                f"[0, {self.num_classes}) as `y_true`."
            )
        if any(_checks.differ(shape[1:], (self.proxies.dim,)) for shape in shapes.values()):
            dim = next(iter(shapes.values()))[1]
            raise ValueError(
                "Embeddings must have the size of the class vectors. "
                f"Received: {_checks.listing(shapes)}, proxies={self.proxies!r}. Create them as "
                f"`ClassProxies({self.num_classes}, dim={dim})`."
            )

    def _check_labels(self, y_true: ArrayLike | None) -> None:
        if y_true is not None and is_on_host(y_true):
            check_classes(ids_of_array(y_true, "y_true"), self.num_classes, "y_true")

    def _extra_candidates(
        self, hard_negatives: Mapping[Any, Any] | None, batch: Batch
    ) -> dict[str, list[Candidates]]:
        if hard_negatives:
            raise ValueError(
                f"`{type(self).__name__}` takes no hard negatives, since the candidates are the "
                f"vectors of {self.num_classes} classes. Received: hard_negatives of "
                f"{', '.join(map(repr, hard_negatives))}."
            )
        return {}

    def _num_directions(self, directions: Directions | None) -> int:
        return 1
