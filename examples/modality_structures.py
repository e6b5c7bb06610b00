"""What the three regularizers of Jiang et al. do to an image-text space: emoji, drawings and names.

Two towers are trained from scratch on the emoji of the training families, with the same base loss, views and number of
steps: contrast between drawings and names and, at equal shares, between each and its augmented view (the paper's
(P2-3)). Then CyCLIP's consistency, deep feature separation, the Brownian bridge, geometric consistency, or all three
are added. "wide" adds nothing but width: its embeddings are as wide as those of separation with the independent
features. The weight of each regularizer is chosen on the validation families, by retrieval, with seeds of its own; the
tables are of the test families, which nothing was chosen on:

* retrieval between drawings and names among emoji of unseen families;
* zero-shot classification of drawings into 9 groups and 98 subgroups, from prompts in words;
* a linear probe for the subgroup on the image tower, with the independent features where there are any;
* the same from 1, 2, 4 and 8 labeled drawings of each group or subgroup;
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
SEARCH_SEED = 1000  # the search has seeds of its own, from here on
SHOTS = (1, 2, 4, 8)
PROBE_C = 100.0  # of 0.1, 1, 10, 100 and 1,000 the best on the validation families, for clip and separation
DRAWS = 3  # of the labeled drawings, for each number of them


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="What the three regularizers of Jiang et al. do to an image-text space of emoji.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--kinds", choices=KINDS, nargs="+", default=list(KINDS), help="what to train"
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each kind, from seed 0 on")
    parser.add_argument(
        "--epochs", type=int, default=8, help="passes over the emoji of the training families"
    )
    parser.add_argument(
        "--weights",
        type=float,
        nargs="+",
        default=[0.01, 0.1, 1.0],
        help="weights tried; one alone is taken as it is",
    )
    parser.add_argument(
        "--quick", action="store_true", help="all three, one epoch and seed, weights of 0.1"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the picture"
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
from information_gap import once_compiled, softmax_regression, with_error  # noqa: E402

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
    """Batches of a drawing by either artist and the English name; ids are row numbers."""

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
        crop=kc.augmentation.RandomResizedCrop(area=(0.5, 1.0)),
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
        augmenter.step.assign(
            seed * steps
        )  # each run has views of its own, also where it is compiled already
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.2), loss)
    model = once_compiled((kind, steps, *(layer.weight for layer in structures)), model)
    model.fit(batches, epochs=epochs, verbose=0)
    return model


# Measures


def units(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def embed(model, data):
    """Unit vectors of each artist's drawings and of the names, a dict for each artist."""
    names = encode_names(data.texts["en"])
    by_artist = []
    for artist in range(2):
        vectors = model.predict(
            {"drawing": data.images[:, artist], "name": names}, batch_size=256, verbose=0
        )
        by_artist.append({name: units(rows) for name, rows in vectors.items()})
    return by_artist


def retrieval(spaces):
    """Recall at 1 and 10 and the mean reciprocal rank, over both artists, in both directions."""
    found = {}
    for vectors in spaces:
        for a, b in (("drawing", "name"), ("name", "drawing")):
            for name, value in kc.evaluation.retrieval(vectors[a], vectors[b], k=(1, 10)).items():
                found.setdefault((a, name), []).append(value)
    return {key: np.mean(values) for key, values in found.items()}


def zero_shot(model, spaces, data, labels):
    """Share of the drawings whose label is among the nearest 1, 3 and 5 prompts."""
    names = np.unique(labels)
    prompts = [name.replace("-and-", " and ").replace("-", " ") for name in names]
    blank = np.repeat(data.images[:1, 0], len(prompts), axis=0)
    words = units(
        model.predict({"drawing": blank, "name": encode_names(prompts)}, verbose=0)["name"]
    )
    ranks = []
    for vectors in spaces:
        similarity = vectors["drawing"] @ words.T
        own = similarity[np.arange(len(labels)), np.searchsorted(names, labels)]
        ranks.append((similarity > own[:, None]).sum(1))
    return [np.mean(np.concatenate(ranks) < k) for k in (1, 3, 5)]


def features(spaces, parts):
    """Embeddings of both artists' drawings, one after the other."""
    return np.concatenate(
        [np.concatenate([vectors[part] for part in parts], axis=1) for vectors in spaces]
    )


def probe(known, labels, new, new_labels):
    """Accuracy of softmax regression for the label, among the labels that occur in `known`."""
    names, numbers = np.unique(labels, return_inverse=True)
    log_probabilities = softmax_regression(known, numbers, len(names), steps=300)
    seen = np.isin(new_labels, names)
    return np.mean(names[np.argmax(log_probabilities(new[seen]), axis=1)] == new_labels[seen])


def few_shot(known, labels, new, new_labels):
    """The same from a few drawings of each label, of those that have enough of them; a mean over draws."""
    names, counts = np.unique(labels, return_counts=True)
    names = names[counts >= 2 * max(SHOTS)]  # so many emoji, as each is there twice
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
    """All numbers of a run, by name."""
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


# The search, the table and the picture


def chosen_weights(kinds, training, validation):
    """For each regularizer the weight whose retrieval on the validation families is best."""
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
        print(
            f"{name}: R@10 on the validation families by weight {tried}; taken {weights[name]:g}",
            flush=True,
        )
    return weights


def print_table(results):
    rows = max((runs[0] for runs in results.values()), key=len)  # not all have independent features
    print(f"\n{'':<32}" + "".join(f"{kind:>17}" for kind in results))
    for row in rows:
        cells = [
            with_error([run[row] for run in runs]) if row in runs[0] else ""
            for runs in results.values()
        ]
        print(f"{row:<32}" + "".join(f"{cell:>17}" for cell in cells))


def draw_spaces(spaces, path):
    """Drawings and names of held-out emoji on the two main directions of each space, a line for each pair."""
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
        f"{keras.backend.backend()}: {len(training)} emoji to learn from, {len(validation)} to choose on, "
        f"{len(test)} to test on (other families, no flags)"
    )
    start = time.perf_counter()
    weights = chosen_weights(arguments.kinds, training, validation)
    results, spaces = {}, {"untrained": embed(train("clip", {}, training, 0, 0), test)[0]}
    for kind in arguments.kinds:
        for seed in range(arguments.seeds):
            numbers, vectors = measure(
                train(kind, weights, training, arguments.epochs, seed), training, test
            )
            results.setdefault(kind, []).append(numbers)
            spaces.setdefault(kind, vectors)
        print(f"{kind}: {time.perf_counter() - start:.0f} s so far", flush=True)
    print_table(results)
    draw_spaces(spaces, arguments.out / "modality_structures.png")


if __name__ == "__main__":
    main()
