"""The loop over chunks in a TensorFlow graph, which does not know the number of rows when it is made."""

import keras


def loop(call, trainable, state, inputs, size):
    """See `keras_contrastive.training.chunks`."""
    import tensorflow as tf

    num_rows = tf.shape(keras.tree.flatten(inputs)[0])[0]
    count = num_rows // size
    start = size * count
    call = _remembering(call)
    spec = keras.tree.map_structure(lambda x: keras.KerasTensor((size, *x.shape[1:]), x.dtype.name), inputs)
    spec = call.layer.compute_output_spec(spec)

    def chunk(i):
        # `size`, or fewer where the loop is never run.
        stop = tf.minimum((i + 1) * size, num_rows)
        return keras.tree.map_structure(lambda x: x[i * size : stop], inputs)

    def body(i, total, outputs, *state):
        rows = keras.tree.map_structure(lambda x: tf.ensure_shape(x, (size, *x.shape[1:])), chunk(i))
        of_chunk, activity, state = call(trainable, state, rows)
        return i + 1, total + activity * size, outputs.write(i, of_chunk), *state

    array = tf.TensorArray(spec.dtype, size=count, element_shape=(size, *spec.shape[1:]))
    carry = tf.constant(0), tf.zeros(()), array, *state
    carry = tf.while_loop(lambda i, *_: i < count, body, carry, parallel_iterations=1, maximum_iterations=count)
    _, total, outputs, *state = carry
    outputs = tf.reshape(outputs.stack(), (start, *spec.shape[1:]))

    def last():
        of_chunk, activity, new = call(trainable, state, chunk(count))
        return of_chunk, activity * tf.cast(num_rows - start, "float32"), *new

    def nothing():
        return tf.zeros((0, *spec.shape[1:]), spec.dtype), tf.zeros(()), *state

    of_rest, activity, *state = tf.cond(num_rows > start, last, nothing)
    total = (total + activity) / tf.cast(tf.maximum(num_rows, 1), "float32")
    return tf.concat([outputs, of_rest], axis=0), total, state


class _remembering:
    """The call with its own gradient: `tf.recompute_grad` wants one for the state too, where there is none."""

    def __init__(self, call):
        self.call = call
        self.layer = call.layer

    def __call__(self, trainable, state, rows):
        import tensorflow as tf

        leaves = keras.tree.flatten(rows)
        floating = [i for i, leaf in enumerate(leaves) if leaf.dtype.is_floating]

        def compute(inputs):
            filled = list(leaves)
            for place, leaf in zip(floating, inputs[len(trainable) :], strict=True):
                filled[place] = leaf
            rows_again = keras.tree.pack_sequence_as(rows, filled)
            outputs, activity, new = self.call(inputs[: len(trainable)], state, rows_again)
            return outputs, activity, [tf.stop_gradient(x) for x in new]

        @tf.custom_gradient
        def remember(*inputs):
            outputs, activity, new = compute(inputs)

            def gradient(of_outputs, of_activity, *_):
                with tf.GradientTape() as tape:
                    with tf.control_dependencies([of_outputs]):  # not before it is needed
                        again = [tf.identity(x) for x in inputs]
                    tape.watch(again)
                    results = compute(again)[:2]
                return tape.gradient(results, again, (of_outputs, of_activity), unconnected_gradients="zero")

            return (outputs, activity, *new), gradient

        outputs, activity, *new = remember(*trainable, *(leaves[place] for place in floating))
        return outputs, activity, new
