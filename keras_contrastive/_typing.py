"""Type aliases of the package."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict

import numpy as np

# A tensor of the active backend. Backends share no base class, so this is `Any`.
Tensor: TypeAlias = Any
# Everything that `keras.ops.convert_to_tensor` accepts.
ArrayLike: TypeAlias = Any
# A nested structure of tensors, as a Keras model accepts it.
Structure: TypeAlias = Any
Array: TypeAlias = np.ndarray[Any, Any]
Shape: TypeAlias = tuple[int | None, ...]
# Weights by (name of the anchors' view, name of the candidates' view).
Directions: TypeAlias = Mapping[tuple[str, str], float]
Config: TypeAlias = dict[str, Any]
Layer: TypeAlias = Any  # keras.layers.Layer, which is untyped
Layers: TypeAlias = Any  # a layer, or a dict of layers by modality
Reduction: TypeAlias = (
    Literal["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"] | None
)


class LossArguments(TypedDict, total=False):
    """Arguments that every contrastive loss accepts. See `ContrastiveLoss`."""

    symmetric: bool
    normalize: bool
    memory: Layer | None
    ignore_above: tuple[Literal["absolute", "relative"], float] | None
    reduction: Reduction
    name: str | None
    dtype: str | None


class ProxyLossArguments(TypedDict, total=False):
    """Arguments that every loss with class vectors accepts. See `ContrastiveLoss`."""

    reduction: Reduction
    name: str | None
    dtype: str | None


class LayerArguments(TypedDict, total=False):
    """Arguments of `keras.layers.Layer`."""

    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any
    autocast: bool
