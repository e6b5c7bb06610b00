"""Measures the three regularizers of Jiang et al. (2023) on drawings and names of emoji.

Two towers are trained from scratch on the emoji of the training families. All kinds share the base
loss, views and number of steps. The base loss contrasts drawings with names and, at equal weights,
each of them with its augmented view, as in the paper. The kinds add the consistency of CyCLIP, deep
feature separation, the Brownian bridge, geometric consistency, or the last three together. "wide"
adds no regularizer. Its embeddings are as wide as those of separation with the independent
features.

The weight of each regularizer is chosen by retrieval on the validation families, with separate
seeds. The table is computed on the test families:

* retrieval between drawings and names among emoji of unseen families;
* zero-shot classification of drawings into 9 groups and 98 subgroups with text prompts;
* a linear probe for the subgroup on the image tower, also with independent features if there are
  any;
* few-shot probes with 1, 2, 4 and 8 labeled drawings of each group or subgroup;
* the modality gap, and the mean distance of pairs.

    python examples/modality_structures.py --backend jax

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import math
import os
import pathlib
import time

KINDS = ("clip", "wide", "cyclip", "separation", "bridge", "consistency", "all")
TEMPERATURE = 0.07
BATCH = 64
SEARCH_SEED = 1000  # seed of the runs that choose the weights
SHOTS = (1, 2, 4, 8)
# The best of 0.1, 1, 10, 100 and 1,000 on the validation families, for clip and separation.
PROBE_C = 100.0
DRAWS = 3  # random selections of the labeled drawings, for each number of shots


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Measure the three regularizers of Jiang et al. (2023) on emoji.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--kinds", choices=KINDS, nargs="+", default=list(KINDS), help="kinds of models to train"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of runs of each kind, starting at seed 0"
    )
    parser.add_argument(
        "--epochs", type=int, default=8, help="passes over the emoji of the training families"
    )
    parser.add_argument(
        "--weights",
        type=float,
        nargs="+",
        default=[0.01, 0.1, 1.0],
        help="weights to choose from; a single one is used without a search",
    )
    parser.add_argument(
        "--quick", action="store_true", help="only kind 'all', one epoch, one seed, weights of 0.1"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the figure"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.kinds, arguments.epochs, arguments.seeds, arguments.weights = ["all"], 1, 1, [0.1]
    return arguments


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
from emoji_retrieval import DIM, encode_names, image_encoder, text_encoder  # noqa: E402
from information_gap import reuse_compiled, softmax_regression, with_error  # noqa: E402

import keras_contrastive as kc  # noqa: E402

# Models


def regularizers(kind, weights):
    layers = {
        "cyclip": lambda weight: kc.layers.GeometricConsistency(
            0.25, 0.25, 0.0, 0.0, name="cyclip"
        ),
        "separation": lambda weight: kc.layers.DeepFeatureSeparation(
            weight=weight, name="separation"
        ),
        "bridge": lambda weight: kc.layers.BrownianBridge(
            modalities="drawing", weight=weight, name="bridge"
        ),
        "consistency": lambda weight: kc.layers.GeometricConsistency(
            weight=weight, name="consistency"
        ),
    }
    names = {"clip": (), "wide": (), "all": ("separation", "bridge", "consistency")}.get(
        kind, (kind,)
    )
    return [layers[name](weights.get(name)) for name in names]


class Batches(keras.utils.PyDataset):
    """Batches of a drawing by a random artist and the English name. The ids are row numbers."""

    def __init__(self, data, seed):
        super().__init__()
        self.images, self.names = data.images, encode_names(data.texts["en"])
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(data))

    def __len__(self):
        return len(self.order) // BATCH

    def __getitem__(self, index):
        ids = self.order[index * BATCH : (index + 1) * BATCH]
        return {
            "drawing": self.images[ids, self.rng.integers(2, size=BATCH)],
            "name": self.names[ids],
        }, ids.astype("int32")

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


def train(kind, weights, data, epochs, seed):
    keras.utils.set_random_seed(seed)
    flip_and_crop = kc.augmentation.SimCLRImageAugmenter(
        crop=kc.augmentation.RandomResizedCrop(scale=(0.5, 1.0)),
        color_jitter=False,
        grayscale=False,
        seed=0,
    )
    augmenters = {
        "drawing": flip_and_crop,
        "name": kc.augmentation.RandomTokenDeletion(rate=0.2, seed=1),
    }
    structures = regularizers(kind, weights)
    dim = 2 * DIM if kind == "wide" else DIM
    model = kc.ContrastiveTrainer(
        {
            "drawing": image_encoder(data.images.shape[2], width=24, dim=dim),
            "name": text_encoder(dim),
        },
        augmenters,
        regularizers=structures,
    )
    batches = Batches(data, seed)
    steps = max(epochs * len(batches), 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=2e-3, warmup_steps=max(steps // 20, 1)
    )
    loss = kc.losses.InfoNCE(temperature=TEMPERATURE)
    model({"drawing": data.images[:1, 0], "name": batches.names[:1]})
    for augmenter in augmenters.values():
        # Each run draws its own views, also if its step is compiled already.
        augmenter.step.assign(seed * steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.2), loss)
    model = reuse_compiled((kind, steps, *(layer.weight for layer in structures)), model)
    model.fit(batches, epochs=epochs, verbose=0)
    return model


# Measures


def units(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def embed(model, data):
    """Returns a dict of unit vectors of the drawings and names for each artist."""
    names = encode_names(data.texts["en"])
    by_artist = []
    for artist in range(2):
        vectors = model.predict(
            {"drawing": data.images[:, artist], "name": names}, batch_size=256, verbose=0
        )
        by_artist.append({name: units(rows) for name, rows in vectors.items()})
    return by_artist


def retrieval(spaces):
    """Returns recall at 1 and 10 and the mean reciprocal rank, the mean over both artists."""
    found = {}
    for vectors in spaces:
        for a, b in (("drawing", "name"), ("name", "drawing")):
            for name, value in kc.evaluation.retrieval(vectors[a], vectors[b], k=(1, 10)).items():
                found.setdefault((a, name), []).append(value)
    return {key: np.mean(values) for key, values in found.items()}


def zero_shot(model, spaces, data, labels):
    """Returns the share of drawings whose label is among the nearest 1, 3 and 5 prompts."""
    names = np.unique(labels)
    prompts = [name.replace("-and-", " and ").replace("-", " ") for name in names]
    words = model.embedder("name").predict(encode_names(prompts), verbose=0)
    ranks = []
    for vectors in spaces:
        similarity = vectors["drawing"] @ words.T
        of_true_label = similarity[np.arange(len(labels)), np.searchsorted(names, labels)]
        ranks.append((similarity > of_true_label[:, None]).sum(1))
    return [np.mean(np.concatenate(ranks) < k) for k in (1, 3, 5)]


def features(spaces, parts):
    """Returns the embeddings of the drawings of both artists, concatenated along the rows."""
    return np.concatenate(
        [np.concatenate([vectors[part] for part in parts], axis=1) for vectors in spaces]
    )


def probe(known, labels, new, new_labels):
    """Returns the accuracy of softmax regression on the labels that occur in the training set."""
    names, numbers = np.unique(labels, return_inverse=True)
    log_probabilities = softmax_regression(known, numbers, len(names), steps=300)
    seen = np.isin(new_labels, names)
    return np.mean(names[np.argmax(log_probabilities(new[seen]), axis=1)] == new_labels[seen])


def few_shot(known, labels, new, new_labels):
    """Returns the accuracy with a few drawings per label, the mean over random selections."""
    names, counts = np.unique(labels, return_counts=True)
    names = names[counts >= 2 * max(SHOTS)]  # each emoji has two drawings
    old, seen = np.isin(labels, names), np.isin(new_labels, names)
    found = kc.evaluation.linear_probe(
        known[old],
        np.searchsorted(names, labels[old]),
        new[seen],
        np.searchsorted(names, new_labels[seen]),
        C=PROBE_C,
        shots=SHOTS,
        draws=DRAWS,
    )
    return [found[f"{shots}_shot_top_1_accuracy"] for shots in SHOTS]


def measure(model, training, data):
    """Returns all measures of a run by name."""
    spaces, seen = embed(model, data), embed(model, training)
    found = retrieval(spaces)
    numbers = {
        "drawing → name R@1": found["drawing", "recall_at_1"],
        "drawing → name R@10": found["drawing", "recall_at_10"],
        "name → drawing R@1": found["name", "recall_at_1"],
        "name → drawing R@10": found["name", "recall_at_10"],
    }
    for word, labels in (("group", data.group), ("subgroup", data.subgroup)):
        accuracies = zero_shot(model, spaces, data, labels)
        numbers |= {
            f"zero-shot {word} top-{k}": x for k, x in zip((1, 3, 5), accuracies, strict=True)
        }
    kinds_of_features = {"": ["drawing"]}
    if "drawing_independent" in spaces[0]:
        kinds_of_features[", with independent"] = ["drawing", "drawing_independent"]
    for words, parts in kinds_of_features.items():
        known, new = features(seen, parts), features(spaces, parts)
        labels = {
            word: [np.tile(getattr(x, word), 2) for x in (training, data)]
            for word in ("group", "subgroup")
        }
        numbers[f"linear probe{words}"] = probe(
            known, labels["subgroup"][0], new, labels["subgroup"][1]
        )
        for word, (old_labels, new_labels) in labels.items():
            accuracies = few_shot(known, old_labels, new, new_labels)
            numbers |= {
                f"{word} from {k}{words}": x for k, x in zip(SHOTS, accuracies, strict=True)
            }
    for name, metric in (
        ("modality gap", kc.metrics.ModalityGap()),
        ("distance of pairs", kc.metrics.Alignment(alpha=1)),
    ):
        metric.update_state(None, [spaces[0]["drawing"], spaces[0]["name"]])
        numbers[name] = float(metric.result())
    return numbers, spaces[0]


# Search for the weights, table and figure


def choose_weights(kinds, training, validation):
    """Returns the weight of each regularizer with the best retrieval on the validation families."""
    needed = [
        name for name in ("separation", "bridge", "consistency") if {name, "all"} & set(kinds)
    ]
    if len(arguments.weights) == 1:
        return dict.fromkeys(needed, arguments.weights[0])
    weights = {}
    for name in needed:
        scores = {}
        for weight in arguments.weights:
            model = train(name, {name: weight}, training, arguments.epochs, SEARCH_SEED)
            found = retrieval(embed(model, validation))
            scores[weight] = np.mean(
                [value for (_, measure), value in found.items() if measure == "recall_at_10"]
            )
        weights[name] = max(scores, key=scores.get)
        tried = ", ".join(f"{weight:g}: {score:.3f}" for weight, score in scores.items())
        chosen = f"chosen {weights[name]:g}"
        print(f"{name}: R@10 on the validation families by weight {tried}; {chosen}", flush=True)
    return weights


def print_table(results):
    # Only some kinds have independent features.
    rows = max((runs[0] for runs in results.values()), key=len)
    print(f"\n{'':<32}" + "".join(f"{kind:>17}" for kind in results))
    for row in rows:
        cells = [
            with_error([run[row] for run in runs]) if row in runs[0] else ""
            for runs in results.values()
        ]
        print(f"{row:<32}" + "".join(f"{cell:>17}" for cell in cells))


def draw_spaces(spaces, path):
    """Draws held-out drawings and names on the two principal components of each space.

    A line connects the drawing and the name of an emoji.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        2, math.ceil(len(spaces) / 2), figsize=(12, 8), layout="constrained", squeeze=False
    )
    for axis in axes.flat[len(spaces) :]:
        axis.axis("off")
    for axis, (kind, vectors) in zip(axes.flat, spaces.items(), strict=False):
        both = np.concatenate([vectors["drawing"], vectors["name"]])
        _, _, directions = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
        drawings, names = (vectors[name] @ directions[:2].T for name in ("drawing", "name"))
        axis.plot(
            *np.stack([drawings, names], axis=1).transpose(2, 1, 0),
            color="lightgray",
            linewidth=0.4,
            zorder=0,
        )
        axis.scatter(*drawings.T, s=8, label="drawings")
        axis.scatter(*names.T, s=8, label="names")
        axis.set(title=kind, xticks=[], yticks=[])
    axes.flat[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def main():
    data = kc.datasets.load_emoji(size=32)
    training, validation, test = (
        data[(data.split == split) & ~data.is_flag] for split in ("train", "validation", "test")
    )
    print(
        f"{keras.backend.backend()}: {len(training)} emoji for training, {len(validation)} for "
        f"validation, {len(test)} for testing (unseen families, no flags)"
    )
    start = time.perf_counter()
    weights = choose_weights(arguments.kinds, training, validation)
    results, spaces = {}, {"untrained": embed(train("clip", {}, training, 0, 0), test)[0]}
    for kind in arguments.kinds:
        for seed in range(arguments.seeds):
            numbers, vectors = measure(
                train(kind, weights, training, arguments.epochs, seed), training, test
            )
            results.setdefault(kind, []).append(numbers)
            spaces.setdefault(kind, vectors)
        print(f"{kind}: done after {time.perf_counter() - start:.0f} s", flush=True)
    print_table(results)
    draw_spaces(spaces, arguments.out / "modality_structures.png")


if __name__ == "__main__":
    main()
