"""Measures the cost of exact alignment of two modalities: Theorem 3.1 of Jiang et al. (2023).

An image contains information about a label that its text lacks. The *information gap* is the
difference of the mutual information of each modality with the label, in nats. If both embeddings of
an item are equal, every predictor that uses them loses at least the gap, compared with a predictor
that uses the inputs (Theorem 3.1).

1. Exact: for some finite joint distributions, the script tries all pairs of encoders that agree. It
   compares the best loss with the bound.
2. Trained: images have a shared and a private part, texts have only the shared part. Towers are
   trained with a contrastive loss and the penalty scale * |z_V - z_T|^2, and a probe predicts the
   label from the embeddings. As the scale grows, the distance of pairs shrinks and the probe loses
   the information of the image. The regularizers are measured in the same way.

    python examples/information_gap.py --backend jax

Reference: Jiang et al., "Understanding and constructing latent modality structures in multi-modal
representation learning", CVPR 2023.
"""

import argparse
import itertools
import math
import os
import pathlib

SCALES = (0.0, 1.0, 10.0, 100.0)
TEMPERATURE = 0.2


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Measure the cost of exact alignment of two modalities.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of runs of each kind, starting at seed 0"
    )
    parser.add_argument("--epochs", type=int, default=30, help="epochs over the 1,024 pairs")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the figure"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one seed and one epoch, to check that the script runs"
    )
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.seeds = parsed.epochs = 1
    return parsed


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

import keras_contrastive as kc  # noqa: E402

# Exact


def entropy(p):
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def information(joint):
    """Returns the mutual information I(X; Y) of a table `(x, y)` in nats."""
    return entropy(joint.sum(1)) + entropy(joint.sum(0)) - entropy(joint.ravel())


def information_gap(joint):
    """Returns the information gap Delta_p of a table `(text, image, label)` in nats."""
    return abs(information(joint.sum(1)) - information(joint.sum(0)))


def best_loss(joint):
    """Returns H(Y | text, image), the cross-entropy of the best predictor from the inputs."""
    table = joint.reshape(-1, joint.shape[-1])
    return entropy(table.ravel()) - entropy(table.sum(1))


def best_loss_when_aligned(joint):
    """Returns the lowest loss over all pairs of encoders that agree on each pair that occurs."""
    texts, images, labels = joint.shape
    occurs = joint.sum(-1) > 0
    best = math.inf
    codes = range(min(texts, images))
    for text_code in itertools.product(codes, repeat=texts):
        for image_code in itertools.product(codes, repeat=images):
            if all(text_code[t] == image_code[v] for t, v in zip(*np.nonzero(occurs), strict=True)):
                table = np.zeros((len(codes), labels))
                np.add.at(table, np.array(text_code), joint.sum(1))
                best = min(best, entropy(table.ravel()) - entropy(table.sum(1)))
    return best


def distributions():
    """Returns tables `(text, image, label)` by name."""
    label_in_text = np.zeros((2, 2, 2))
    for y, v in itertools.product(range(2), repeat=2):
        label_in_text[y, v, y] = 1 / 4
    # The label has a shared and a private bit. The text has only the shared bit.
    detail_in_image = np.zeros((2, 4, 4))
    for shared, private in itertools.product(range(2), repeat=2):
        detail_in_image[shared, 2 * shared + private, 2 * shared + private] = 1 / 4
    same = np.zeros((3, 3, 3))
    for i in range(3):
        same[i, i, i] = 1 / 3
    # The text equals the label with probability 0.9, the image with probability 0.6.
    noisy = np.zeros((2, 2, 2))
    for y, t, v in itertools.product(range(2), repeat=3):
        noisy[t, v, y] = 0.5 * (0.9 if t == y else 0.1) * (0.6 if v == y else 0.4)
    return {
        "label = text, image independent": label_in_text,
        "text = one of the image's two bits": detail_in_image,
        "image = text = label": same,
        "two noisy copies of the label": noisy,
    }


def exact_table():
    print(
        "Nats. Lost: H(Y | aligned features) - H(Y | text, image), the minimum over all encoders "
        "that agree."
    )
    print(f"{'distribution':<38}{'gap':>8}{'lost':>8}")
    for name, joint in distributions().items():
        gap, lost = information_gap(joint), best_loss_when_aligned(joint) - best_loss(joint)
        print(f"{name:<38}{gap:>8.4f}{lost:>8.4f}   {'holds' if lost >= gap - 1e-9 else 'FAILS'}")


# Trained

ROWS = 1024
SHARED, PRIVATE = 4, 4  # number of values of the two parts of the label
NOISE = 0.1  # standard deviation of the noise of the inputs
GAP = math.log(PRIVATE)  # the image determines the label, the text only its shared part


def make_data(rows, rng):
    """Returns images with both parts of the label, texts with the shared part, and the labels."""
    shared, private = rng.integers(SHARED, size=rows), rng.integers(PRIVATE, size=rows)
    style = rng.normal(size=(rows, 4))  # in both modalities, so that items differ
    image = np.concatenate([np.eye(SHARED)[shared], np.eye(PRIVATE)[private], style], axis=1)
    text = np.concatenate([np.eye(SHARED)[shared], style], axis=1)
    noisy = (x + NOISE * rng.normal(size=x.shape) for x in (image, text))
    image, text = (x.astype("float32") for x in noisy)
    return {"image": image, "text": text}, shared * PRIVATE + private


@keras.saving.register_keras_serializable(package="information_gap")
class PairDistance(kc.layers.ViewRegularizer):
    """Computes the mean squared distance between the two views of an item."""

    def __init__(self, weight, **kwargs):
        super().__init__({"pull": 1.0}, weight, **kwargs)

    def terms(self, modalities, ids=None, training=None):
        a, b = modalities
        return {"pull": ops.mean(ops.sum(ops.square(a.plain - b.plain), axis=1))}


def tower(inputs):
    layers = [
        keras.layers.Dense(64, "relu"),
        keras.layers.Dense(64, "relu"),
        keras.layers.Dense(16),
    ]
    return keras.Sequential([keras.Input((inputs,)), *layers])


KINDS = {f"alignment x {scale:g}": scale for scale in SCALES} | {
    "separation": [kc.layers.DeepFeatureSeparation, {"weight": 1.0}],
    "bridge": [kc.layers.BrownianBridge, {"modalities": "image"}],
    "consistency": [kc.layers.GeometricConsistency, {"weight": 1.0}],
}


COMPILED = {}


def reuse_compiled(key, model):
    """Returns the first model with this key, reset to the weights of `model`: it compiles once."""
    model.optimizer.build(model.trainable_variables)
    first = COMPILED.setdefault(key, model)
    states = ([*each.variables, *each.optimizer.variables] for each in (first, model))
    for variable, fresh in zip(*states, strict=True):
        variable.assign(fresh)
    return first


def train(kind, x, epochs, seed):
    keras.utils.set_random_seed(seed)
    if isinstance(KINDS[kind], list):
        layer, settings = KINDS[kind]
        regularizers = [layer(**settings)]
    else:
        regularizers = [PairDistance(KINDS[kind])]
    noise = {name: keras.layers.GaussianNoise(0.2, seed=seed) for name in x}
    encoders = {name: tower(rows.shape[1]) for name, rows in x.items()}
    # The loss has no contrast within a modality, because the experiment is about alignment between
    # modalities.
    model = kc.ContrastiveTrainer(encoders, noise, regularizers=regularizers, in_modal_weight=0.0)
    model({name: rows[:1] for name, rows in x.items()})
    model.compile(keras.optimizers.Adam(3e-3), kc.losses.InfoNCE(temperature=TEMPERATURE))
    model = reuse_compiled(kind, model)
    model.fit(x, batch_size=256, epochs=epochs, verbose=0)
    return model


def softmax_regression(rows, labels, classes, steps=400):
    """Fits softmax regression with Adam and weight decay; returns a function of rows.

    The function returns the log-probabilities of the classes.
    """

    def logits(rows):
        x = np.concatenate([rows, np.ones((len(rows), 1))], axis=1) @ weights
        x = x - x.max(axis=1, keepdims=True)
        return x - np.log(np.exp(x).sum(axis=1, keepdims=True))

    targets, transposed = (
        np.eye(classes)[labels],
        np.concatenate([rows, np.ones((len(rows), 1))], axis=1).T,
    )
    weights, first, second = (np.zeros((rows.shape[1] + 1, classes)) for _ in range(3))
    for step in range(1, steps + 1):
        gradient = transposed @ (np.exp(logits(rows)) - targets) / len(rows) + 1e-4 * weights
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        weights -= 0.1 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return logits


def probe(features, labels, new_features, new_labels):
    """Returns the cross-entropy of softmax regression on new rows, in nats."""
    log_probabilities = softmax_regression(features, labels, SHARED * PRIVATE)(new_features)
    return float(-log_probabilities[np.arange(len(new_labels)), new_labels].mean())


def concatenate_units(vectors):
    """Concatenates all outputs of a model for an item, each normalized to unit length."""
    return np.concatenate(
        [v / np.linalg.norm(v, axis=1, keepdims=True) for _, v in sorted(vectors.items())], axis=1
    )


def measure(kind, epochs, seed):
    """Returns the distance of pairs and the probe loss from embeddings, all outputs and inputs."""
    rng = np.random.default_rng(seed)
    (x, labels), (new_x, new_labels) = make_data(ROWS, rng), make_data(ROWS, rng)
    model = train(kind, x, epochs, seed)
    vectors, new_vectors = model.predict(x, verbose=0), model.predict(new_x, verbose=0)
    distance = kc.metrics.Alignment(alpha=1)
    distance.update_state(None, [new_vectors[name] for name in ("image", "text")])
    both, new_both = ({name: v[name] for name in ("image", "text")} for v in (vectors, new_vectors))
    loss = probe(concatenate_units(both), labels, concatenate_units(new_both), new_labels)
    with_independent = loss
    if len(vectors) > 2:
        with_independent = probe(
            concatenate_units(vectors), labels, concatenate_units(new_vectors), new_labels
        )
    inputs, new_inputs = (
        np.concatenate([part["image"], part["text"]], axis=1) for part in (x, new_x)
    )
    floor = probe(inputs, labels, new_inputs, new_labels) if kind == next(iter(KINDS)) else None
    return float(distance.result()), loss, with_independent, floor


def with_error(values):
    values = np.array(values)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return f"{values.mean():.3f} ± {error:.3f}"


def draw(results, floor, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for kind, runs in results.items():
        distance, loss, with_independent, _ = map(list, zip(*runs, strict=True))
        (line,) = axes.plot(distance, loss, "o", alpha=0.5)
        axes.plot(
            np.mean(distance), np.mean(loss), "D", markersize=9, color=line.get_color(), label=kind
        )
        if with_independent != loss:
            label = f"{kind}, with independent features"
            axes.plot(
                np.mean(distance),
                np.mean(with_independent),
                "*",
                markersize=14,
                color=line.get_color(),
                label=label,
            )
    axes.axhline(floor + GAP, color="black", linestyle="--", linewidth=1)
    axes.text(
        axes.get_xlim()[1], floor + GAP, "bound for exact alignment ", ha="right", va="bottom"
    )
    axes.axhline(floor, color="gray", linestyle=":", linewidth=1)
    axes.text(axes.get_xlim()[1], floor, "from the inputs ", ha="right", va="bottom", color="gray")
    axes.set(
        xlabel="mean distance between the two embeddings of an item",
        ylabel="loss of a probe for the label (nats)",
    )
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"wrote {path}")


def main():
    exact_table()
    results = {
        kind: [measure(kind, arguments.epochs, seed) for seed in range(arguments.seeds)]
        for kind in KINDS
    }
    floor = np.mean([run[-1] for run in next(iter(results.values()))])
    print(f"\n{keras.backend.backend()}, {arguments.seeds} seeds.")
    print(f"Loss of a probe on new items, in nats: {floor:.3f} from the inputs.")
    print(f"The information gap is log({PRIVATE}) = {GAP:.3f}.")
    print(f"The bound for exact alignment is {floor + GAP:.3f}.")
    print(f"{'':<20}{'distance of pairs':>20}{'from embeddings':>20}{'with independent':>20}")
    for kind, runs in results.items():
        distance, loss, with_independent, _ = map(list, zip(*runs, strict=True))
        print(
            f"{kind:<20}{with_error(distance):>20}{with_error(loss):>20}{with_error(with_independent):>20}"
        )
    draw(results, floor, arguments.out / "information_gap.png")


if __name__ == "__main__":
    main()
