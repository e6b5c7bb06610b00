"""Micro-batches of convolutions have the gradients of the whole batch, and run fast on CPUs."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_contrastive.trainers._micro_batches import apply_in_micro_batches
from tests.helpers.backend import FASTEST, value_and_gradients

IMAGES = np.random.default_rng(0).standard_normal((5, 7, 6, 3)).astype("float32")


@pytest.fixture(scope="module")
def encoder():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input(IMAGES.shape[1:]),
            layers.Conv2D(4, (3, 2), 2, "same", activation="relu"),
            layers.DepthwiseConv2D(2, depth_multiplier=2),
            layers.Conv2DTranspose(2, 3, 2),
            layers.Flatten(),
        ]
    )


def objective(encoder, size):
    """A function of images and weights, `size` images at a time."""

    def evaluate(images, *values):
        variables = zip(encoder.trainable_variables, values, strict=True)
        with keras.StatelessScope(state_mapping=list(variables)):
            if size is None:
                outputs = encoder(images, training=True)
            else:
                outputs, _ = apply_in_micro_batches(encoder, images, size)
        return ops.sum(ops.sin(outputs))

    return evaluate


def test_gradients_are_those_of_the_whole_batch(encoder):
    inputs = IMAGES, *encoder.get_weights()
    expected, expected_gradients = value_and_gradients(objective(encoder, None), *inputs, **FASTEST)
    value, gradients = value_and_gradients(objective(encoder, 2), *inputs, **FASTEST)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for found, gradient in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="other backends have no such layouts")
def test_all_convolutions_have_the_layout_that_is_fast_on_cpus(encoder):
    import jax

    def layouts(program):
        for equation in program.eqns:
            if equation.primitive.name == "conv_general_dilated":
                yield equation.params["dimension_numbers"]
            for part in jax.tree.leaves(
                list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
            ):
                part = getattr(part, "jaxpr", part)
                if hasattr(part, "eqns"):
                    yield from layouts(part)

    inputs = [ops.convert_to_tensor(x) for x in (IMAGES, *encoder.get_weights())]
    gradient = jax.grad(objective(encoder, 2), argnums=tuple(range(len(inputs))))
    found = list(layouts(jax.make_jaxpr(gradient)(*inputs).jaxpr))
    # Forward, again, and two gradients, in the loop and for the last micro-batch.
    assert len(found) == 3 * 4 * 2
    assert set(found) == {jax.lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))}
