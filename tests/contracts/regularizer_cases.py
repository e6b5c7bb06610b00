"""A case for each public regularizer: its constructor, and its penalty in float64."""

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_contrastive.layers import BrownianBridge, DeepFeatureSeparation, GeometricConsistency
from tests.helpers.backend import to_numpy
from tests.helpers.towers import settle
from tests.reference import structures as reference

NAMES = ("a", "b", "a_augmented", "b_augmented")


@dataclasses.dataclass(frozen=True)
class Case:
    """A regularizer and its reference, `penalty(layer, views)` for views in float64.

    `terms` lists the constructor arguments that weigh terms.
    """

    make: Callable
    penalty: Callable
    terms: tuple[str, ...] = ()


def random_views(rows=7, dim=4, seed=0, names=NAMES, scale=1.0):
    """Random embeddings by view."""
    generator = np.random.default_rng(seed)
    return {name: (scale * generator.normal(size=(rows, dim))).astype("float32") for name in names}


def built(layer, views, features=None):
    """The layer, built for these views, with weights that do not depend on the backend."""
    shapes = [{name: x.shape for name, x in part.items()} for part in (views, features) if part]
    layer.build(*shapes)
    return settle(layer)


def independent_features(layer, inputs):
    """Outputs of the heads of a `DeepFeatureSeparation` in float64."""
    outputs = {}
    for name, x in inputs.items():
        x = np.asarray(x, "float64")
        *hidden, last = layer.heads[name.removesuffix("_augmented")].layers
        for dense in hidden:
            x = np.maximum(x @ to_numpy(dense.kernel) + to_numpy(dense.bias), 0)
        outputs[name] = x @ to_numpy(last.kernel) + to_numpy(last.bias)
    return outputs


def separation(layer, views):
    independent = independent_features(layer, views)
    modalities = [name for name in views if not name.endswith("_augmented")]
    orthogonality = [reference.orthogonality(views[m], independent[m]) for m in modalities]
    contrast = [
        reference.in_modal_contrast(independent[m], independent[f"{m}_augmented"], 0.1)
        for m in modalities
    ]
    uniformity = reference.uniformity([independent[m] for m in modalities])
    return sum(orthogonality) + sum(contrast) + uniformity


def consistency(layer, views):
    a, b, augmented_a, augmented_b = (views[name] for name in NAMES)
    return (
        reference.cross_modal(a, b)
        + reference.in_modal(a, b)
        + reference.in_modal(a, augmented_a)
        + reference.in_modal(b, augmented_b)
        + reference.paired(a, b, augmented_a, augmented_b)
    )


def bridge(layer, views):
    a, b, augmented_a, augmented_b = (views[name] for name in NAMES)
    return (
        reference.brownian_bridge(a, b, augmented_a, 0.25)
        + reference.brownian_bridge(b, a, augmented_b, 0.25)
    ) / 2


REGULARIZERS = {
    "BrownianBridge": Case(BrownianBridge, bridge),
    "DeepFeatureSeparation": Case(
        DeepFeatureSeparation, separation, ("orthogonality", "contrast", "uniformity")
    ),
    "GeometricConsistency": Case(
        GeometricConsistency,
        consistency,
        ("cross_modal", "in_modal", "augmented", "augmented_pairs"),
    ),
}
