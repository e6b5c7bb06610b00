"""Replicas of a `tf.distribute` strategy."""

from collections.abc import Callable
from typing import Any

from keras_contrastive._typing import Tensor


def count() -> int:
    """Returns the number of replicas of this step. It is 1 outside of a replica context."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def exchange_sizes(
    num_rows: Tensor,
) -> tuple[Tensor, Tensor, float, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Exchanges the numbers of rows. Returns the arguments of `Replicas`."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    sizes = context.all_gather(tf.reshape(tf.cast(num_rows, "int32"), (1,)), axis=0)
    first = tf.reduce_sum(sizes[: context.replica_id_in_sync_group])

    def gather(x: Tensor) -> Tensor:
        # Collectives support few dtypes. These casts lose nothing.
        carrier = {tf.bool: tf.int32, tf.bfloat16: tf.float32}.get(x.dtype, x.dtype)
        gathered = tf.cast(context.all_gather(tf.cast(x, carrier), axis=0), x.dtype)
        # Pieces of different sizes are gathered without a static shape.
        return with_dense_gradient(tf.ensure_shape(gathered, (None, *x.shape[1:])))

    @tf.custom_gradient
    def with_dense_gradient(x: Tensor) -> tuple[Tensor, Any]:
        # TensorFlow's gradient of a row lookup is sparse, and replicas cannot sum sparse tensors.
        return tf.identity(x), tf.convert_to_tensor

    return num_rows, first, 1 / context.num_replicas_in_sync, gather, lambda x: gather(x[None])
