"""Trains towers of several modalities with regularizers of the library, many runs at once."""

import itertools

import jax
import keras
import numpy as np
from runs import OUTPUTS, optimize

import keras_contrastive as kc

HIDDEN = 256
PROBE_C = 100.0
SHOTS = 8


def regularizer(name, image):
    """Returns a regularizer with a weight of 1. The weight multiplies the penalty later."""
    if name == "cyclip":
        return kc.layers.GeometricConsistency(0.25, 0.25, 0.0, 0.0)
    if name == "separation":
        return kc.layers.DeepFeatureSeparation(source="features")
    if name == "bridge":
        return kc.layers.BrownianBridge(modalities=image)
    return kc.layers.GeometricConsistency()


class Runs:
    """Trains InfoNCE on all modalities, with regularizers of several weights at once.

    Args:
        data: `Modalities`.
        names: Names of regularizers.
        batch_size, samples: Positive ints.
        wide: Whether embeddings have twice the size, as large as with independent features.
    """

    def __init__(self, data, names, batch_size, samples, wide=False):
        self.data, self.batch_size = data, batch_size
        self.names, self.dim = names, OUTPUTS * (1 + wide)
        self.num_steps = max(1, samples // batch_size)
        self.views = list(data.views)
        self.modalities = [view for view in self.views if not view.endswith("_augmented")]
        self.image = self.modalities[0]
        self.inputs = {view: jax.numpy.asarray(x) for view, x in data.views.items()}
        self.loss = kc.losses.InfoNCE(temperature=1.0, normalize=False)
        self.directions = self._directions()
        self.towers, self.penalties = self._fresh(0)
        self.variables = self._variables(self.towers, self.penalties)
        self._train = jax.jit(jax.vmap(self._run, (None, 0, 0, 0, 0, 0)))

    def train(self, rates, temperatures, penalty_weights, seeds):
        """Returns the weights of each run after training."""
        starts = []
        for seed in seeds:
            variables = self._variables(*self._fresh(seed))
            starts.append([np.array(v) for v in variables])
        starts = [np.stack(values) for values in zip(*starts, strict=True)]
        orders = {seed: self._order(seed) for seed in set(seeds)}
        rows = np.stack([orders[seed] for seed in seeds])
        scalars = [np.array(x, "float32") for x in (rates, temperatures, penalty_weights)]
        found = self._train(self.inputs, starts, *scalars, rows)
        return [[np.asarray(w[run]) for w in found] for run in range(len(seeds))]

    def embed(self, weights, view, rows):
        """Returns unit embeddings of a view, and independent features or `None`."""
        x = self.inputs[view][rows]
        with keras.StatelessScope(state_mapping=list(zip(self.variables, weights, strict=True))):
            features, embedding = self._tower(view, x)
            views = {view: embedding}
            for penalty in self.penalties:
                views = penalty.extended(views, {view: features})
        independent = views.get(f"{view}_independent")
        return _unit(np.asarray(embedding)), None if independent is None else _unit(independent)

    def measure(self, weights, split, criteria=("retrieval", "probe", "rest")):
        """Returns the measures of a run by name."""
        found = {}
        rows = self.data.items[split](0)
        z = {view: self.embed(weights, view, rows[:, i])[0] for i, view in enumerate(self.views)}
        texts = {text: _both_ways(z[self.image], z[text]) for text in self.modalities[1:]}
        found["retrieval"] = float(np.mean(list(texts.values())))
        if "rest" in criteria:
            found |= {f"{self.image} ↔ {text}": value for text, value in texts.items()}
            found["two images"] = _both_ways(z[self.image], z[f"{self.image}_augmented"])
            gap = kc.metrics.ModalityGap()
            gap.update_state(None, [z[self.image], z[self.modalities[1]]])
            found["modality gap"] = float(gap.result())
        if "probe" in criteria:
            probes = {}
            for name in self.data.labels:
                probes |= self._probe(weights, name, split, few="rest" in criteria)
            found["probe"] = float(np.mean([probes[name] for name in self.data.labels]))
            if "rest" in criteria:
                found |= probes
        return found

    def _probe(self, weights, name, split, few):
        """Returns accuracies of a linear probe. It uses independent features if there are any."""
        sets = []
        for part in ("train", split):
            rows, labels = self.data.labeled(name, part)
            shared, independent = self.embed(weights, self.image, rows)
            both = shared if independent is None else np.concatenate([shared, independent], axis=1)
            sets += [both, labels]
        found = {name: kc.evaluation.linear_probe(*sets, C=PROBE_C)["top_1_accuracy"]}
        if few:
            shots = kc.evaluation.linear_probe(*sets, C=PROBE_C, shots=SHOTS, draws=2)
            found[f"{name}, {SHOTS} per class"] = shots[f"{SHOTS}_shot_top_1_accuracy"]
        return found

    def _directions(self):
        """Returns half of the weight for pairs of modalities, half for the two images."""
        pairs = list(itertools.permutations(self.modalities, 2))
        second = f"{self.image}_augmented"
        images = [(self.image, second), (second, self.image)]
        return dict.fromkeys(pairs, 0.5 / len(pairs)) | dict.fromkeys(images, 0.25)

    def _fresh(self, seed):
        keras.utils.set_random_seed(seed)
        towers = {}
        for modality in self.modalities:
            size = self.data.views[modality].shape[1]
            encoder = keras.layers.Dense(HIDDEN, "relu")
            projector = keras.layers.Dense(self.dim)
            encoder.build((None, size))
            projector.build((None, HIDDEN))
            towers[modality] = encoder, projector
        penalties = [regularizer(name, self.image) for name in self.names]
        for penalty in penalties:
            shapes = [dict.fromkeys(self.views, (None, size)) for size in (self.dim, HIDDEN)]
            penalty.build(*shapes)
        return towers, penalties

    def _variables(self, towers, penalties):
        layers = [layer for pair in towers.values() for layer in pair] + penalties
        return [v for layer in layers for v in layer.trainable_variables]

    def _tower(self, view, x):
        encoder, projector = self.towers[view.removesuffix("_augmented")]
        features = encoder(x)
        return features, projector(features)

    def _run(self, inputs, start, rate, temperature, penalty_weights, rows):
        def objective(weights, state, batch):
            mapping = list(zip(self.variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                both = {
                    view: self._tower(view, inputs[view][batch[:, i]])
                    for i, view in enumerate(self.views)
                }
                features = {view: pair[0] for view, pair in both.items()}
                embeddings = {view: pair[1] for view, pair in both.items()}
                units = {view: _unit(z) / temperature**0.5 for view, z in embeddings.items()}
                value = self.loss(None, units, directions=self.directions)
                for penalty, weight in zip(self.penalties, penalty_weights, strict=True):
                    value = value + weight * penalty.penalty(embeddings, features, training=True)
            return value, state

        return optimize(objective, start, [], rate, rows)

    def _order(self, seed):
        """Returns the rows of each step, `(steps, batch, views)`."""
        rng = np.random.default_rng(seed)
        rows, count = [], 0
        while count < self.num_steps:
            items = rng.permutation(self.data.items["train"](int(rng.integers(2**31))))
            items = items[: len(items) // self.batch_size * self.batch_size]
            rows.append(items.reshape(-1, self.batch_size, len(self.views)))
            count += len(rows[-1])
        return np.concatenate(rows)[: self.num_steps].astype("int32")


def _unit(z):
    return z / keras.ops.sqrt(keras.ops.maximum(keras.ops.sum(z**2, -1, keepdims=True), 1e-12))


def _both_ways(first, second):
    pairs = (first, second), (second, first)
    return float(
        np.mean([kc.evaluation.retrieval(*pair, metrics=["mrr"])["mrr"] for pair in pairs])
    )
