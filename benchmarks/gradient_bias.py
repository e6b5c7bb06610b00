"""Measures the bias of minibatch gradients: their mean minus the gradient of all data at once.

Two small towers are trained to match the two drawings of an emoji, and then frozen. A linear map on
each side remains trainable. The script computes its gradient at fixed weights: as the mean over
many epochs of minibatches (accumulated and applied once), and for all 1,024 items at once. The bias
is the norm of the difference, divided by the norm of the full gradient. Products of independent
repetitions estimate its square, so that noise with mean zero does not count as bias.

The prediction is the term of order 1/m: the gradient of -(E[w^2] - 1) / (2 m), where w is the share
of a negative in the partition, divided by its mean share, for draws without replacement.

    python benchmarks/gradient_bias.py
"""

import argparse
import math
import pathlib

import keras
import numpy as np
from keras import ops

import keras_contrastive as kc
from keras_contrastive.extend import Contrast

ITEMS = 1024
DIM = 32


def estimators(temperature):
    """Returns the losses by name."""
    common = {"temperature": temperature}

    def gamma(**kwargs):
        return kc.losses.GammaContrastive(num_items=ITEMS, momentum="visits", **common, **kwargs)

    return {
        "InfoNCE": kc.losses.InfoNCE(**common),
        "decoupled": kc.losses.DecoupledContrastive(all_views=False, **common),
        "jackknife": kc.losses.DecoupledContrastive(
            all_views=False, bias_correction="jackknife", **common
        ),
        "gamma, rate before": gamma(prior=float("inf")),
        "gamma, rate after": gamma(),
        "GlobalContrastive": kc.losses.GlobalContrastive(
            ITEMS, momentum="visits", max_weight=float("inf"), **common
        ),
    }


class WeightSpread(kc.losses.ContrastiveLoss):
    """Computes (E[w^2] - 1) / 2. Its gradient predicts the bias of order 1/m."""

    def per_direction(self, contrast, training):
        twice = Contrast(contrast.batch, contrast.directions, 2 / self.temperature)
        log_spread = twice.log_sum_negatives - 2 * contrast.log_sum_negatives
        return 0.5 * ops.exp(log_spread + contrast.log_num_negatives)


def fixed_features(epochs):
    """Returns unit embeddings of both drawings of random training items, from trained towers."""
    keras.utils.set_random_seed(0)
    data = kc.datasets.load_emoji()
    pixels = (1 - data.images[:, :, ::2, ::2] / 255.0).astype("float32").reshape(len(data), 2, -1)
    rows = np.random.default_rng(0).permutation(np.flatnonzero(data.split == "train"))[:ITEMS]
    x = {"twemoji": pixels[rows, 0], "openmoji": pixels[rows, 1]}
    layers = keras.layers
    towers = {
        name: keras.Sequential([layers.Dense(256, activation="relu"), layers.Dense(DIM)])
        for name in x
    }
    model = kc.ContrastiveTrainer(towers)
    model.compile(keras.optimizers.Adam(1e-3), kc.losses.InfoNCE(0.1))
    model.fit(x, batch_size=64, epochs=epochs, verbose=0)
    return {name: model.embedder(name).predict(x[name], verbose=0) for name in x}


def head():
    return keras.Sequential(
        [
            keras.Input((DIM,)),
            keras.layers.Dense(DIM, use_bias=False, kernel_initializer="identity"),
        ]
    )


def mean_gradients(loss, x, batch_size, epochs, repetitions, warm_up):
    """Returns the mean gradient over the epochs for each repetition, `(repetitions, weights)`."""
    model = kc.ContrastiveTrainer({name: head() for name in x})
    model({name: z[:1] for name, z in x.items()})
    steps = epochs * ITEMS // batch_size
    start = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    ids = np.arange(ITEMS, dtype="int32")
    if warm_up:  # until the running partitions match these features
        model.compile(keras.optimizers.SGD(0.0), loss)
        model.fit(x, ids, batch_size, warm_up, verbose=0)
    # The optimizer applies the mean of all gradients in the last step. Before, no weight changes.
    model.compile(keras.optimizers.SGD(1.0, gradient_accumulation_steps=steps), loss)
    found = []
    for _ in range(repetitions):
        model.fit(x, ids, batch_size, epochs, verbose=0)
        end = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
        found.append(
            np.concatenate([(a - b).ravel() for a, b in zip(start, end, strict=True)]).astype(
                "float64"
            )
        )
        for weight, value in zip(model.trainable_weights, start, strict=True):
            weight.assign(value)
    return np.array(found)


def norm_of_mean(vectors):
    """Estimates the norm of the mean of independent vectors, and its error, from pair products."""
    count = len(vectors)
    products = vectors @ vectors.T
    pairs = products[np.triu_indices(count, 1)]
    squared, error = pairs.mean(), pairs.std(ddof=1) / math.sqrt(count)
    size = math.sqrt(max(squared, 0.0))
    return size, error / (2 * size) if size > 0 else math.sqrt(max(error, 0.0))


def measure(temperature, batches, epochs, repetitions, x):
    """Returns the relative bias with its error by loss and batch size, and the predictions."""
    found, predicted = {}, {}
    for name in estimators(temperature):
        has_running_partition = name.startswith(("gamma", "Global"))
        keras.utils.set_random_seed(1)
        # With partitions over all data, the full gradient is that of the decoupled loss.
        full_loss = estimators(temperature)["decoupled" if has_running_partition else name]
        (full,) = mean_gradients(full_loss, x, ITEMS, 2, 1, 0)
        if name == "decoupled":
            (slope,) = mean_gradients(WeightSpread(temperature), x, ITEMS, 2, 1, 0)
            unit = np.linalg.norm(slope) / np.linalg.norm(full)
            for batch in batches:
                negatives = batch - 1
                predicted[batch] = unit / negatives * (1 - (negatives - 1) / (ITEMS - 2))
        for batch in batches:
            loss = estimators(temperature)[name]
            bias = (
                mean_gradients(
                    loss, x, batch, epochs, repetitions, 20 if has_running_partition else 0
                )
                - full
            )
            found[name, batch] = [part / np.linalg.norm(full) for part in norm_of_mean(bias)]
    return found, predicted


def draw(results, batches, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colors = {"InfoNCE": "#2b5fc0", "decoupled": "#16a085", "jackknife": "#7f8c8d"}
    colors |= {
        "gamma, rate before": "#c0392b",
        "gamma, rate after": "#e59866",
        "GlobalContrastive": "#8e44ad",
    }
    figure, panels = pyplot.subplots(
        1,
        len(results),
        figsize=(4.2 * len(results), 4.2),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for panel, (temperature, (found, predicted)) in zip(panels[0], results.items(), strict=True):
        for name, color in colors.items():
            sizes, errors = np.array([found[name, batch] for batch in batches]).T
            seen = sizes > 0
            panel.errorbar(
                np.array(batches)[seen],
                sizes[seen],
                errors[seen],
                color=color,
                marker="o",
                capsize=3,
                label=name,
            )
        panel.plot(
            batches,
            [predicted[b] for b in batches],
            "k--",
            linewidth=1,
            label="decoupled, predicted (1/m)",
        )
        panel.set(
            title=f"temperature {temperature:g}", xlabel="batch size", xscale="log", yscale="log"
        )
        panel.set_xticks(batches, [str(b) for b in batches])
        panel.set_xticks([], minor=True)
    panels[0, 0].set_ylabel("bias / norm of the full gradient")
    panels[0, -1].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.05, 0.1, 0.3])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256])
    parser.add_argument("--epochs", type=int, default=10, help="epochs of each repetition")
    parser.add_argument("--repetitions", type=int, default=6)
    parser.add_argument(
        "--quick", action="store_true", help="one temperature, two batch sizes, two epochs"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the figure"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.temperature, arguments.batch_size, arguments.epochs = [0.1], [64, 256], 2
    x = fixed_features(1 if arguments.quick else 10)
    results = {}
    print(
        f"{keras.backend.backend()}; bias divided by the norm of the full gradient, ± its error\n"
    )
    for temperature in arguments.temperature:
        results[temperature] = found, predicted = measure(
            temperature, arguments.batch_size, arguments.epochs, arguments.repetitions, x
        )
        print(
            f"| temperature {temperature:g}, batch size | "
            + " | ".join(map(str, arguments.batch_size))
            + " |"
        )
        print("| --- |" + " --- |" * len(arguments.batch_size))
        for name in estimators(temperature):
            cells = [found[name, batch] for batch in arguments.batch_size]
            print(
                f"| {name} | "
                + " | ".join(f"{size:.4f} ± {error:.4f}" for size, error in cells)
                + " |"
            )
        cells = [f"{predicted[batch]:.4f}" for batch in arguments.batch_size]
        print("| decoupled, predicted | " + " | ".join(cells) + " |\n", flush=True)
    draw(results, arguments.batch_size, arguments.out / "gradient_bias.png")


if __name__ == "__main__":
    main()
