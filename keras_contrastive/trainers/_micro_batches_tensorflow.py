"""The loop over chunks in a TensorFlow graph, which does not know the number of rows when it is made."""

import keras


def loop(call, trainable, state, inputs, size):
    """See `keras_contrastive.trainers._micro_batches`."""
    import tensorflow as tf

    num_rows = tf.shape(keras.tree.flatten(inputs)[0])[0]
    count = (
        tf.maximum(num_rows - 1, 0) // size
    )  # chunks of `size` rows, after a first one of 1 to `size`
    first = num_rows - count * size
    call = _Recomputed(call)
    spec = keras.tree.map_structure(
        lambda x: keras.KerasTensor((size, *x.shape[1:]), x.dtype.name), inputs
    )
    spec = call.layer.compute_output_spec(spec)
    of_first, total, state = call(
        trainable, state, keras.tree.map_structure(lambda x: x[:first], inputs)
    )

    def body(i, total, outputs, *state):
        # As many rows for certain: XLA compiles the loop for batches of fewer rows too, where it is never run.
        places = tf.minimum(first + i * size + tf.range(size), num_rows - 1)
        rows = keras.tree.map_structure(lambda x: tf.gather(x, places), inputs)
        of_chunk, activity, state = call(trainable, state, rows)
        return i + 1, total + activity * size, outputs.write(i, of_chunk), *state

    array = tf.TensorArray(spec.dtype, size=count, element_shape=(size, *spec.shape[1:]))
    carry = tf.constant(0), total * tf.cast(first, "float32"), array, *state
    carry = tf.while_loop(
        lambda i, *_: i < count, body, carry, parallel_iterations=1, maximum_iterations=count
    )
    _, total, outputs, *state = carry
    outputs = tf.reshape(outputs.stack(), (count * size, *spec.shape[1:]))
    return (
        tf.concat([of_first, outputs], axis=0),
        total / tf.cast(tf.maximum(num_rows, 1), "float32"),
        state,
    )


class _Recomputed:
    """The call with its own gradient: `tf.recompute_grad` wants one for the state too, where there is none."""

    def __init__(self, call):
        self.call = call
        self.layer = call.layer

    def __call__(self, trainable, state, rows):
        import tensorflow as tf

        leaves = keras.tree.flatten(rows)
        floating = [i for i, leaf in enumerate(leaves) if leaf.dtype.is_floating]
        num_inputs = len(trainable) + len(floating)

        def compute(inputs, state):
            filled = list(leaves)
            for place, leaf in zip(floating, inputs[len(trainable) :], strict=True):
                filled[place] = leaf
            rows_again = keras.tree.pack_sequence_as(rows, filled)
            outputs, activity, new = self.call(inputs[: len(trainable)], state, rows_again)
            return outputs, activity, [tf.stop_gradient(x) for x in new]

        # The state is an argument too: behind it, TensorFlow would find weights of frozen layers, and want gradients.
        @tf.custom_gradient
        def remember(*arguments):
            inputs, state = arguments[:num_inputs], arguments[num_inputs:]
            outputs, activity, new = compute(inputs, state)

            def gradient(of_outputs, of_activity, *_):
                with tf.GradientTape() as tape:
                    with tf.control_dependencies([of_outputs]):  # not before it is needed
                        again = [tf.identity(x) for x in inputs]
                    tape.watch(again)
                    results = compute(again, state)[:2]
                of_inputs = tape.gradient(
                    results, again, (of_outputs, of_activity), unconnected_gradients="zero"
                )
                return *of_inputs, *(None for _ in state)

            return (outputs, activity, *new), gradient

        outputs, activity, *new = remember(
            *trainable, *(leaves[place] for place in floating), *state
        )
        return outputs, activity, new
