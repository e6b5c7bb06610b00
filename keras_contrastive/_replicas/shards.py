"""Where the rows of a batch lie when `keras.distribution` splits the computation, as it does on JAX."""

import keras


def num_data_shards():
    """In how many shards the rows of a batch lie."""
    distribution = _distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)]


def shard_rows(x, axis=0):
    """Ask that the rows of a tensor, along this axis, stay where they are computed, if they can be split evenly."""
    if num_data_shards() == 1 or x.shape[axis] % num_data_shards():
        return x
    return _laid_out(x, axis)


def replicate(x):
    """Ask that each device have the whole of a tensor."""
    return x if num_data_shards() == 1 else _laid_out(x, None)


def _laid_out(x, axis):
    distribution = _distribution()
    names = [distribution.batch_dim_name if i == axis else None for i in range(len(x.shape))]
    layout = keras.distribution.TensorLayout(names, distribution.device_mesh)
    return keras.distribution.distribute_tensor(x, layout)


def _distribution():
    return keras.distribution.distribution() if keras.backend.backend() == "jax" else None
