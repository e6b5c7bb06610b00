"""Replicas of a `tf.distribute` strategy."""


def count():
    """How many replicas compute this step; 1 outside a replica context."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def share(num_rows):
    """The arguments of a `SharedBatch`."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    sizes = context.all_gather(tf.reshape(tf.cast(num_rows, "int32"), (1,)), axis=0)
    first = tf.reduce_sum(sizes[: context.replica_id_in_sync_group])

    def gather(x):
        # Collectives know few dtypes. These casts lose nothing.
        carrier = {tf.bool: tf.int32, tf.bfloat16: tf.float32}.get(x.dtype, x.dtype)
        whole = tf.cast(context.all_gather(tf.cast(x, carrier), axis=0), x.dtype)
        # What is gathered in pieces of several sizes comes without a shape.
        return dense(tf.ensure_shape(whole, (None, *x.shape[1:])))

    @tf.custom_gradient
    def dense(x):
        # Of rows that are taken out of a tensor TensorFlow makes a sparse gradient, which replicas cannot add up.
        return tf.identity(x), tf.convert_to_tensor

    return num_rows, first, 1 / context.num_replicas_in_sync, gather, lambda x: gather(x[None])
