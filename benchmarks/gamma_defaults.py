"""What the defaults of `GammaContrastive` rest on: one number for each estimator, on held-out drawings.

Two small towers of dense layers match the two drawings of an emoji. Families of the validation split are
searched, never those of the test split. All estimators see the same batches from the same weights.

    python benchmarks/gamma_defaults.py
"""

import argparse
import math

import keras
import numpy as np

import keras_contrastive as kc


def estimators(temperature, num_items, seed):
    """The loss of each line of the table, by name."""

    def gamma(**kwargs):
        return kc.losses.GammaContrastive(temperature, num_items=num_items, seed=seed, **kwargs)

    return {
        "InfoNCE": kc.losses.InfoNCE(temperature),
        "gamma, nothing remembered (jackknife)": kc.losses.GammaContrastive(temperature, seed=seed),
        "gamma, rate of the same batch (decoupled)": gamma(rate="batch"),
        "gamma (defaults)": gamma(),
        "gamma, draws=8": gamma(draws=8),
        "gamma, draws=1": gamma(draws=1),
        "gamma, rate before": gamma(rate="before"),
        "gamma, momentum=0.5": gamma(momentum=0.5),
        "gamma, momentum=0.9": gamma(momentum=0.9),
        "gamma, momentum=visits": gamma(momentum="visits"),
        "gamma, positive included": gamma(include_positive=True),
    }


def tower(inputs):
    """One hidden layer, from flattened pixels to the embedding."""
    return keras.Sequential(
        [keras.Input((inputs,)), keras.layers.Dense(256, activation="relu"), keras.layers.Dense(64)]
    )


def recall_at_10(loss, data, batch_size, epochs, seed):
    """Train, then search the validation families, from each artist's drawings to the other's."""
    keras.utils.set_random_seed(seed)
    pixels = (1 - data.images[:, :, ::2, ::2] / 255.0).astype("float32").reshape(len(data), 2, -1)
    x = {"twemoji": pixels[:, 0], "openmoji": pixels[:, 1]}
    training, held_out = data.split == "train", (data.split == "validation") & ~data.is_flag
    model = kc.ContrastiveTrainer({name: tower(pixels.shape[-1]) for name in x})
    model.compile(keras.optimizers.Adam(1e-3 * math.sqrt(batch_size / 64)), loss)
    ids = np.arange(training.sum(), dtype="int32")
    model.fit({name: v[training] for name, v in x.items()}, ids, batch_size, epochs, verbose=0)
    vectors = model.predict({name: v[held_out] for name, v in x.items()}, verbose=0)
    pairs = [("twemoji", "openmoji"), ("openmoji", "twemoji")]
    return np.mean([kc.evaluation.retrieval(vectors[a], vectors[b])["recall_at_10"] for a, b in pairs])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16, 128])
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.05])
    arguments = parser.parse_args()
    data = kc.datasets.load_emoji()
    num_items = int((data.split == "train").sum())
    print(f"{'R@10, mean ± standard error':<44}{'temperature':>12}{'batch':>6}")
    for temperature in arguments.temperature:
        for batch_size in arguments.batch_size:
            for name in estimators(temperature, num_items, 0):
                found = [
                    recall_at_10(
                        estimators(temperature, num_items, seed)[name], data, batch_size, arguments.epochs, seed
                    )
                    for seed in range(arguments.seeds)
                ]
                error = np.std(found, ddof=1) / math.sqrt(len(found)) if len(found) > 1 else float("nan")
                print(f"{name:<44}{temperature:>12}{batch_size:>6}{np.mean(found):>9.3f} ± {error:.3f}", flush=True)


if __name__ == "__main__":
    main()
