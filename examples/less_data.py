"""Measures how much training data a loss needs for the retrieval of unseen drawings.

Two small dense towers match the two drawings of an emoji, randomly shifted and zoomed. They are
trained on an eighth, a quarter, half or all of the training families. A smaller share is a subset
of the larger one, and each seed draws its own subsets. All runs take the **same number of steps**:
with an eighth of the data, each emoji is seen eight times as often. The temperature of each loss is
chosen for each share on the validation families, with a separate seed. The test families are
searched once.

    python examples/less_data.py --backend jax

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import itertools
import os
import pathlib


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Compare losses over the share of the training families.",
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
    parser.add_argument("--steps", type=int, default=600, help="steps of each run, for every share")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--temperature", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.4], help="candidates"
    )
    parser.add_argument(
        "--share",
        type=float,
        nargs="+",
        default=[1 / 8, 1 / 4, 1 / 2, 1],
        help="shares of the training families",
    )
    parser.add_argument(
        "--quick", action="store_true", help="two shares, 60 steps, one seed, a fixed temperature"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the figure"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.share, arguments.steps, arguments.seeds, arguments.temperature = (
            [1 / 8, 1],
            60,
            1,
            [0.1],
        )
    return arguments


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
from emoji_retrieval import jitter  # noqa: E402
from information_gap import reuse_compiled  # noqa: E402

import keras_contrastive as kc  # noqa: E402

SEARCH_SEED = 1000  # first seed of the runs that choose the temperature
COLORS = {
    "InfoNCE": "#2b5fc0",
    "DecoupledContrastive": "#16a085",
    "GammaContrastive": "#c0392b",
    "GlobalContrastive": "#8e44ad",
}


def make_loss(name, temperature, num_items):
    return {
        "InfoNCE": lambda: kc.losses.InfoNCE(temperature),
        "DecoupledContrastive": lambda: kc.losses.DecoupledContrastive(
            temperature, all_views=False
        ),
        "GammaContrastive": lambda: kc.losses.GammaContrastive(
            temperature, num_items, momentum="visits"
        ),
        "GlobalContrastive": lambda: kc.losses.GlobalContrastive(num_items, temperature),
    }[name]()


def tower():
    """Returns a tower with one hidden layer for images of 16 x 16 pixels."""
    return keras.Sequential(
        [
            keras.Input((16 * 16 * 3,)),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(64),
        ]
    )


def take_share(data, share, seed):
    """Returns the emoji of a random share of the families."""
    families = np.random.default_rng(seed).permutation(np.unique(data.family))
    return data[np.isin(data.family, families[: round(share * len(families))])]


def to_pixels(images):
    """Returns every second pixel, flattened, with a background of zeros."""
    return (1 - images[:, ::2, ::2] / 255.0).astype("float32").reshape(len(images), -1)


def train(name, temperature, data, num_items, seed):
    keras.utils.set_random_seed(seed)
    model = kc.ContrastiveTrainer({style: tower() for style in kc.datasets.STYLES})
    model({style: np.zeros((1, 16 * 16 * 3)) for style in kc.datasets.STYLES})
    model.compile(keras.optimizers.Adam(1e-3), make_loss(name, temperature, num_items))
    model = reuse_compiled((name, temperature, num_items), model)
    rng, batch_size = np.random.default_rng(seed), arguments.batch_size
    per_epoch = len(data) // batch_size
    # Several passes over the data, concatenated into one epoch of Keras.
    epochs = [
        rng.permutation(len(data))[: per_epoch * batch_size]
        for _ in range(-(-arguments.steps // per_epoch))
    ]
    ids = np.concatenate(epochs)[: arguments.steps * batch_size].astype("int32")
    x = {
        style: to_pixels(jitter(data.images[ids, i], rng))
        for i, style in enumerate(kc.datasets.STYLES)
    }
    model.fit(x, ids, batch_size, shuffle=False, verbose=0)
    return model


def recall(model, data):
    """Returns R@10 between the drawings of the two artists, the mean of both directions."""
    x = {style: to_pixels(data.images[:, i]) for i, style in enumerate(kc.datasets.STYLES)}
    vectors = model.predict(x, batch_size=len(data), verbose=0).values()
    return np.mean(
        [kc.evaluation.retrieval(a, b)["recall_at_10"] for a, b in itertools.permutations(vectors)]
    )


def choose_temperature(name, share, training, validation):
    """Returns the temperature with the best recall on the validation families."""
    if len(arguments.temperature) == 1:
        return arguments.temperature[0]
    part = take_share(training, share, SEARCH_SEED)
    runs = {t: train(name, t, part, len(training), SEARCH_SEED) for t in arguments.temperature}
    return max(runs, key=lambda t: recall(runs[t], validation))


def error(runs):
    """Returns the standard error of the mean over the last axis."""
    count = np.shape(runs)[-1]
    return (
        np.std(runs, axis=-1, ddof=1) / np.sqrt(count) if count > 1 else 0 * np.mean(runs, axis=-1)
    )


def draw(found, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shares = arguments.share
    figure, axes = pyplot.subplots(figsize=(6.5, 4.2), layout="constrained")
    for name, color in COLORS.items():
        runs = np.array([found[name, share] for share in shares])
        axes.errorbar(
            shares, runs.mean(axis=1), error(runs), color=color, marker="o", capsize=3, label=name
        )
    axes.set(
        xlabel="share of the training families",
        ylabel="R@10, drawing to drawing, unseen families",
        xscale="log",
    )
    axes.set_xticks(shares, [f"1/{1 / share:g}" if share < 1 else "1" for share in shares])
    axes.set_xticks([], minor=True)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def main():
    data = kc.datasets.load_emoji()
    training, validation, test = (
        data[(data.split == split) & ~data.is_flag] for split in ("train", "validation", "test")
    )
    found, items = {}, {}
    for share, name in itertools.product(arguments.share, COLORS):
        temperature = choose_temperature(name, share, training, validation)
        parts = [take_share(training, share, seed) for seed in range(arguments.seeds)]
        items[share] = np.mean([len(part) for part in parts])
        found[name, share] = [
            recall(train(name, temperature, part, len(training), seed), test)
            for seed, part in enumerate(parts)
        ]
        print(f"share {share:g}, {name}: temperature {temperature:g} chosen", flush=True)
    print(
        f"\n{keras.backend.backend()}: R@10 among {len(test)} emoji of unseen families, no flags\n"
    )
    print(
        "| share (emoji) | "
        + " | ".join(f"{share:g} ({items[share]:.0f})" for share in arguments.share)
        + " |"
    )
    print("| --- |" + " --- |" * len(arguments.share))
    for name in COLORS:
        cells = [
            f"{np.mean(found[name, share]):.3f} ± {error(found[name, share]):.3f}"
            for share in arguments.share
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    draw(found, arguments.out / "less_data.png")


if __name__ == "__main__":
    main()
