"""Sharding of rows under `keras.distribution`, which splits the computation on JAX."""

from typing import Any

import keras

from keras_contrastive._typing import Tensor


def num_data_shards() -> int:
    """Returns the number of shards of the rows of a batch."""
    distribution = _distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def shard_rows(x: Tensor, axis: int = 0) -> Tensor:
    """Keeps the rows of a tensor, along `axis`, on the devices that hold them.

    A tensor whose rows cannot be split evenly is returned unchanged.
    """
    if num_data_shards() == 1 or x.shape[axis] % num_data_shards():
        return x
    return _with_layout(x, axis)


def replicate(x: Tensor) -> Tensor:
    """Places the whole tensor on each device."""
    return x if num_data_shards() == 1 else _with_layout(x, None)


def _with_layout(x: Tensor, axis: int | None) -> Tensor:
    distribution = _distribution()
    names = [distribution.batch_dim_name if i == axis else None for i in range(len(x.shape))]
    layout = keras.distribution.TensorLayout(names, distribution.device_mesh)
    return keras.distribution.distribute_tensor(x, layout)


def _distribution() -> Any:
    return keras.distribution.distribution() if keras.backend.backend() == "jax" else None
