"""The loop over micro-batches in a TensorFlow graph, where the number of rows is unknown."""

from typing import Any

import keras

from keras_contrastive._typing import Structure, Tensor

State = list[Tensor]


def loop(
    call: Any, trainable: State, state: State, inputs: Structure, size: int
) -> tuple[Tensor, Tensor, State]:
    """Applies a `StatelessLayer` to `size` rows at a time. See `apply_in_micro_batches`."""
    import tensorflow as tf

    num_rows = tf.shape(keras.tree.flatten(inputs)[0])[0]
    # The first micro-batch has 1 to `size` rows, the other `count` have `size` rows.
    count = tf.maximum(num_rows - 1, 0) // size
    first = num_rows - count * size
    call = _Recomputed(call)
    spec = keras.tree.map_structure(
        lambda x: keras.KerasTensor((size, *x.shape[1:]), x.dtype.name), inputs
    )
    spec = call.layer.compute_output_spec(spec)
    rows = keras.tree.map_structure(lambda x: x[:first], inputs)
    first_outputs, total, state = call(trainable, state, rows)

    def body(i: Tensor, total: Tensor, outputs: Any, *state: Tensor) -> tuple[Any, ...]:
        # XLA compiles the loop also for batches in which it never runs. The minimum keeps the
        # positions valid there.
        positions = tf.minimum(first + i * size + tf.range(size), num_rows - 1)
        rows = keras.tree.map_structure(lambda x: tf.gather(x, positions), inputs)
        output, activity, state = call(trainable, list(state), rows)
        return i + 1, total + activity * size, outputs.write(i, output), *state

    array = tf.TensorArray(spec.dtype, size=count, element_shape=(size, *spec.shape[1:]))
    carry = tf.constant(0), total * tf.cast(first, "float32"), array, *state
    carry = tf.while_loop(
        lambda i, *_: i < count, body, carry, parallel_iterations=1, maximum_iterations=count
    )
    _, total, outputs, *state = carry
    outputs = tf.reshape(outputs.stack(), (count * size, *spec.shape[1:]))
    return (
        tf.concat([first_outputs, outputs], axis=0),
        total / tf.cast(tf.maximum(num_rows, 1), "float32"),
        state,
    )


class _Recomputed:
    """A `StatelessLayer` that is computed again in the backward pass.

    `tf.recompute_grad` requires a gradient for the state too, which does not exist.
    """

    def __init__(self, call: Any) -> None:
        self.call = call
        self.layer = call.layer

    def __call__(
        self, trainable: State, state: State, rows: Structure
    ) -> tuple[Tensor, Tensor, State]:
        import tensorflow as tf

        leaves = keras.tree.flatten(rows)
        floating = [i for i, leaf in enumerate(leaves) if leaf.dtype.is_floating]
        num_inputs = len(trainable) + len(floating)

        def compute(inputs: State, state: State) -> tuple[Tensor, Tensor, State]:
            filled = list(leaves)
            for index, leaf in zip(floating, inputs[len(trainable) :], strict=True):
                filled[index] = leaf
            packed = keras.tree.pack_sequence_as(rows, filled)
            outputs, activity, new = self.call(inputs[: len(trainable)], state, packed)
            return outputs, activity, [tf.stop_gradient(x) for x in new]

        # The state is an argument too. Otherwise, TensorFlow finds weights of frozen layers in it
        # and requires their gradients.
        @tf.custom_gradient
        def recomputed(*arguments: Tensor) -> Any:
            inputs, state = arguments[:num_inputs], list(arguments[num_inputs:])
            outputs, activity, new = compute(list(inputs), state)

            def gradient(outputs_grad: Tensor, activity_grad: Tensor, *_: Tensor) -> Any:
                with tf.GradientTape() as tape:
                    # The dependency delays the second computation until its result is needed.
                    with tf.control_dependencies([outputs_grad]):
                        again = [tf.identity(x) for x in inputs]
                    tape.watch(again)
                    results = compute(again, state)[:2]
                upstream = (outputs_grad, activity_grad)
                grads = tape.gradient(results, again, upstream, unconnected_gradients="zero")
                return *grads, *(None for _ in state)

            return (outputs, activity, *new), gradient

        outputs, activity, *new = recomputed(
            *trainable, *(leaves[index] for index in floating), *state
        )
        return outputs, activity, new
