"""Promises of every public layer of `kc.layers`."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

import keras_contrastive as kc
from keras_contrastive import layers
from tests.contracts.regularizer_cases import NAMES, random_views
from tests.helpers.backend import to_numpy, value_and_gradients
from tests.helpers.towers import settle


@dataclasses.dataclass(frozen=True)
class Case:
    """A public layer.

    Args:
        make: The class.
        arguments: Constructor arguments, none of which has its default value.
        text: The text of a layer with these arguments.
        build: Builds a layer.
        evaluate: A scalar function `(layer, a, b)` of two tensors `(7, 4)` that uses the layer.
        errors: Pairs of a wrong argument and the error that it raises.
    """

    make: Callable
    arguments: dict
    text: str
    build: Callable
    evaluate: Callable
    errors: list


def build_regularizer(layer):
    layer.build(dict.fromkeys(NAMES, (None, 4)))


def evaluate_regularizer(layer, a, b):
    views = dict(zip(NAMES, (a, b, b, ops.flip(a, axis=1)), strict=True))
    return layer.penalty(views, training=True)


def evaluate_queue(layer, a, b):
    layer.push([a, b], ops.arange(7, dtype="int32"))
    products = [
        ops.matmul(a, ops.transpose(candidates.embeddings))
        for candidates in layer.candidates([a, b])
    ]
    return ops.sum(ops.stack(products))


def evaluate_item_temperature(layer, a, b):
    ids = ops.arange(7, dtype="int32")
    layer.update(ids, ops.stop_gradient(a))
    return ops.sum(layer.of_items(ids) * a * b)


def build_teacher(layer):
    tower = keras.layers.Dense(4)
    tower.build((None, 4))
    layer.follow([settle(tower)])
    # Keras must not track the layers whose weights are averaged, so the test keeps them alive.
    TOWERS.append(tower)


def evaluate_teacher(layer, a, b):
    layer.update()
    kernel, bias = layer.values()
    return ops.sum(ops.matmul(a, kernel) + b + bias)


TOWERS: list = []
CASES = {
    "BrownianBridge": Case(
        layers.BrownianBridge,
        {
            "t": (0.2, 0.7),
            "t_means": "time",
            "modalities": ["a"],
            "likelihood_weight": False,
            "seed": 3,
            "weight": 2.0,
            "normalize": False,
        },
        "BrownianBridge(t=(0.2, 0.7), t_means='time', modalities=['a'], likelihood_weight=False, "
        "seed=3, weight=2.0, normalize=False)",
        build_regularizer,
        evaluate_regularizer,
        [
            ({"t": -0.1}, ValueError),
            ({"t": 1.1}, ValueError),
            ({"t": (0.0, 0.5)}, ValueError),
            ({"t": (0.5, 0.2)}, ValueError),
            ({"t": "half"}, TypeError),
            ({"t": (0.1, 0.2, 0.3)}, TypeError),
            ({"t": None}, TypeError),
            ({"t_means": "share of the text"}, ValueError),
            ({"seed": 0.5}, TypeError),
        ],
    ),
    "ClassProxies": Case(
        layers.ClassProxies,
        {
            "num_classes": 3,
            "dim": 4,
            "initializer": keras.initializers.serialize(keras.initializers.Orthogonal(seed=1)),
        },
        "ClassProxies(3, dim=4)",
        lambda layer: layer.build((None, 4)),
        lambda layer, a, b: ops.sum(ops.square(layer(a) - layer(b))),
        [
            ({"num_classes": 0}, ValueError),
            ({"dim": -1}, ValueError),
            ({"num_classes": 2.5}, TypeError),
            ({"dim": True}, TypeError),
        ],
    ),
    "DeepFeatureSeparation": Case(
        layers.DeepFeatureSeparation,
        {
            "orthogonality": 0.5,
            "contrast": 2.0,
            "uniformity": 3.0,
            "temperature": 0.2,
            "source": "features",
            "depth": 3,
            "units": 6,
            "activation": "gelu",
            "contrast_with": "itself",
            "uniformity_form": "distinct",
            "t": 1.0,
            "per_pair": True,
            "weight": 2.0,
        },
        "DeepFeatureSeparation(orthogonality=0.5, contrast=2.0, uniformity=3.0, temperature=0.2, "
        "source='features', depth=3, units=6, activation='gelu', contrast_with='itself', "
        "uniformity_form='distinct', t=1.0, per_pair=True, weight=2.0)",
        build_regularizer,
        evaluate_regularizer,
        [
            ({"source": "pixels"}, ValueError),
            ({"contrast_with": "b"}, ValueError),
            ({"uniformity_form": "both"}, ValueError),
            ({"temperature": 0}, ValueError),
            ({"t": -1.0}, ValueError),
            ({"depth": 0}, ValueError),
            ({"depth": 1.5}, TypeError),
            ({"units": 0}, ValueError),
        ],
    ),
    "EmbeddingQueue": Case(
        layers.EmbeddingQueue,
        {"size": 10, "dim": 4, "warmup_steps": 2, "batch_share": 0.5, "log_weights": True},
        "EmbeddingQueue(10, dim=4, warmup_steps=2, batch_share=0.5, log_weights=True)",
        lambda layer: layer.build(2),
        evaluate_queue,
        [
            ({"size": 0}, ValueError),
            ({"batch_share": 1.0}, ValueError),
            ({"log_weights": 1}, TypeError),
            ({"dim": 0}, ValueError),
            ({"warmup_steps": -1}, ValueError),
            ({"size": 2.5}, TypeError),
            ({"size": True}, TypeError),
        ],
    ),
    "GeometricConsistency": Case(
        layers.GeometricConsistency,
        {
            "cross_modal": 0.5,
            "in_modal": 2.0,
            "augmented": 3.0,
            "augmented_pairs": 4.0,
            "per_pair": True,
            "weight": 2.0,
            "normalize": False,
        },
        "GeometricConsistency(cross_modal=0.5, in_modal=2.0, augmented=3.0, augmented_pairs=4.0, "
        "per_pair=True, weight=2.0, normalize=False)",
        build_regularizer,
        evaluate_regularizer,
        [({"cross_modal": -1.0}, ValueError), ({"in_modal": "1"}, TypeError)],
    ),
    "ItemTemperature": Case(
        layers.ItemTemperature,
        {
            "initial": 0.2,
            "lowest": 0.1,
            "highest": 0.5,
            "rho": 1.0,
            "learning_rate": 0.1,
            "momentum": 0.5,
        },
        "ItemTemperature(0.2, lowest=0.1, highest=0.5, rho=1.0, learning_rate=0.1, momentum=0.5)",
        lambda layer: layer.build((9, 4)),
        evaluate_item_temperature,
        [
            ({"lowest": 0}, ValueError),
            ({"highest": 0.01}, ValueError),
            ({"initial": 0.8}, ValueError),
            ({"rho": -1.0}, ValueError),
            ({"learning_rate": 0.0}, ValueError),
            ({"momentum": 1.0}, ValueError),
            ({"rho": "6"}, TypeError),
        ],
    ),
    "LearnableBias": Case(
        layers.LearnableBias,
        {"initial": -5.0},
        "LearnableBias(-5)",
        lambda layer: layer.build(),
        lambda layer, a, b: ops.sum(layer(a) * b),
        [({"initial": "-10"}, TypeError), ({"initial": float("nan")}, ValueError)],
    ),
    "LearnableTemperature": Case(
        layers.LearnableTemperature,
        {"initial": 0.2, "lowest": 0.05, "per_direction": True},
        "LearnableTemperature([0.2, 0.2, 0.2, 0.2], per_direction=True)",
        lambda layer: layer.build((None, 4)),
        lambda layer, a, b: ops.sum(layer(a) * b),
        [
            ({"initial": 0}, ValueError),
            ({"lowest": -1.0}, ValueError),
            ({"initial": 0.01, "lowest": 0.05}, ValueError),
            ({"initial": "0.1"}, TypeError),
        ],
    ),
    "MomentumTeacher": Case(
        layers.MomentumTeacher,
        {"momentum": 0.9, "soft_targets": 0.4, "soft_target_steps": 10},
        "MomentumTeacher(0.9, soft_targets=0.4, soft_target_steps=10)",
        build_teacher,
        evaluate_teacher,
        [
            ({"momentum": 1.0}, ValueError),
            ({"momentum": -0.1}, ValueError),
            ({"momentum": "0.9"}, TypeError),
            ({"soft_targets": 1.1}, ValueError),
            ({"soft_target_steps": -1}, ValueError),
        ],
    ),
}
each_layer = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def ready(case, **arguments):
    """A built layer, with weights that do not depend on the backend."""
    layer = case.make(**{**REQUIRED.get(case.make, {}), **arguments})
    case.build(layer)
    return settle(layer)


REQUIRED = {
    layers.ClassProxies: {"num_classes": 3, "dim": 4},
    layers.EmbeddingQueue: {"size": 10, "dim": 4},
}


def inputs():
    return list(random_views(names=["a", "b"]).values())


@keras.saving.register_keras_serializable(package="tests")
class Holder(keras.Model):
    """A model that holds a layer, as a trainer holds those of its loss."""

    def __init__(self, held, **kwargs):
        super().__init__(**kwargs)
        self.held = held

    def build(self, input_shape):
        if not self.held.built:
            CASES[type(self.held).__name__].build(self.held)
        self.built = True

    def call(self, inputs):
        return inputs

    def get_config(self):
        return {
            **super().get_config(),
            "held": keras.saving.serialize_keras_object(self.held),
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("held")), **config)


def test_every_public_layer_has_a_case():
    public = {name: getattr(kc.layers, name) for name in kc.layers.__all__}
    made = {
        name
        for name, value in public.items()
        if issubclass(value, keras.layers.Layer) and value is not layers.ViewRegularizer
    }
    assert made == set(CASES)


@each_layer
def test_config_round_trip_keeps_every_argument(case):
    parameters = inspect.signature(case.make.__init__).parameters
    assert set(case.arguments) == set(parameters) - {"self", "kwargs"}
    layer = case.make(**case.arguments, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(again) is case.make
    assert again.name == "mine"
    assert again.get_config() == layer.get_config()
    for name, value in case.arguments.items():
        assert again.get_config()[name] == value


@each_layer
def test_file_round_trip_keeps_the_weights(case, tmp_path):
    model = Holder(ready(case))
    model.build((None, 4))
    for weight in model.held.weights:
        weight.assign(np.full(weight.shape, 3, weight.dtype))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(loaded.held.weights) == len(model.held.weights)
    for weight, again in zip(model.held.weights, loaded.held.weights, strict=True):
        assert weight.path.rsplit("/", 1)[-1] == again.path.rsplit("/", 1)[-1]
        np.testing.assert_array_equal(to_numpy(weight), to_numpy(again))


@each_layer
def test_compiled_value_and_gradients_equal_the_eager_ones(case):
    results = []
    for compiled in (False, True):
        layer = ready(case)
        results.append(
            value_and_gradients(
                lambda a, b, layer=layer: case.evaluate(layer, a, b),
                *inputs(),
                compiled=compiled,
                variables=layer.non_trainable_variables,
            )
        )
    (value, found), (compiled_value, compiled_found) = results
    np.testing.assert_allclose(compiled_value, value, rtol=1e-5)
    np.testing.assert_allclose(compiled_found, found, rtol=1e-4, atol=1e-5)


@each_layer
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_and_value_are_float32_in_mixed_precision(case, dtype):
    layer = ready(case)
    exact = case.evaluate(layer, *map(ops.convert_to_tensor, inputs()))
    keras.config.set_dtype_policy(f"mixed_{dtype}")
    layer = ready(case)
    dtypes = {keras.backend.standardize_dtype(weight.dtype) for weight in layer.weights}
    assert dtypes <= {"float32", "int32"}
    value = case.evaluate(layer, *map(ops.convert_to_tensor, inputs()))
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    # Only the heads of `DeepFeatureSeparation` compute in half precision.
    tolerance = 3e-2 if case.make is layers.DeepFeatureSeparation else 1e-5
    assert float(value) == pytest.approx(float(exact), rel=tolerance)


@each_layer
def test_text_shows_the_arguments(case):
    layer = case.make(**case.arguments)
    with contextlib.suppress(ValueError):
        case.build(layer)
    assert repr(layer).startswith(case.text)


@each_layer
def test_wrong_arguments_raise(case):
    for arguments, error in case.errors:
        name = next(iter(arguments))
        with pytest.raises(error, match=rf"^`{name}` must be .*\. Received: {name}="):
            case.make(**{**REQUIRED.get(case.make, {}), **arguments})


def test_text_of_a_temperature_shows_the_current_value():
    temperature = layers.LearnableTemperature()
    assert repr(temperature) == "LearnableTemperature(0.07)"
    temperature.build()
    temperature.log_scale.assign(-np.log(0.0668))
    assert repr(temperature) == "LearnableTemperature(0.0668)"


@pytest.mark.traced
def test_text_is_available_in_a_traced_step():
    temperature, texts = layers.LearnableTemperature(), []
    temperature.build()

    def evaluate(x):
        texts.append(repr(temperature))
        return ops.sum(temperature(x))

    value_and_gradients(evaluate, np.ones((2, 2), "float32"), compiled=True)
    assert texts[0].startswith("LearnableTemperature(0.07")
