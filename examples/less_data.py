"""How much data a loss needs: drawings of unseen families searched, over the share of the families learned from.

Two small towers of dense layers match the two drawings of an emoji, shifted and zoomed anew each time, from an eighth,
a quarter, half or all of the training families; a smaller share is a part of the larger one, each seed draws its own.
All runs take the **same number of steps**: from an eighth of the data, an emoji is seen eight times as often. The
temperature of each loss is chosen at each share on the validation families, with a seed of its own; the test families
are searched once.

    python examples/less_data.py --backend jax

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import itertools
import os
import pathlib


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Search drawings of unseen families, over the share of the families learned from.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each kind, from seed 0 on")
    parser.add_argument("--steps", type=int, default=600, help="of each run, whatever the share")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--temperature", type=float, nargs="+", default=[0.05, 0.1, 0.2, 0.4], help="tried"
    )
    parser.add_argument(
        "--share",
        type=float,
        nargs="+",
        default=[1 / 8, 1 / 4, 1 / 2, 1],
        help="of training families",
    )
    parser.add_argument(
        "--quick", action="store_true", help="two shares, 60 steps, one seed, nothing chosen"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the picture"
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
from information_gap import once_compiled  # noqa: E402

import keras_contrastive as kc  # noqa: E402

SEARCH_SEED = 1000  # the search has seeds of its own, from here on
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
    """One hidden layer, from 16 x 16 pixels to the embedding."""
    return keras.Sequential(
        [
            keras.Input((16 * 16 * 3,)),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(64),
        ]
    )


def share_of(data, share, seed):
    """Emoji of so many of the families, in an order that the seed draws."""
    families = np.random.default_rng(seed).permutation(np.unique(data.family))
    return data[np.isin(data.family, families[: round(share * len(families))])]


def pixels(images):
    """Every second pixel, flattened, the white background as zeros."""
    return (1 - images[:, ::2, ::2] / 255.0).astype("float32").reshape(len(images), -1)


def train(name, temperature, data, num_items, seed):
    keras.utils.set_random_seed(seed)
    model = kc.ContrastiveTrainer({style: tower() for style in kc.datasets.STYLES})
    model({style: np.zeros((1, 16 * 16 * 3)) for style in kc.datasets.STYLES})
    model.compile(keras.optimizers.Adam(1e-3), make_loss(name, temperature, num_items))
    model = once_compiled((name, temperature, num_items), model)
    rng, batch_size = np.random.default_rng(seed), arguments.batch_size
    per_epoch = len(data) // batch_size
    # Epochs of whole batches, one after the other, as one epoch of Keras.
    epochs = [
        rng.permutation(len(data))[: per_epoch * batch_size]
        for _ in range(-(-arguments.steps // per_epoch))
    ]
    ids = np.concatenate(epochs)[: arguments.steps * batch_size].astype("int32")
    x = {
        style: pixels(jitter(data.images[ids, i], rng))
        for i, style in enumerate(kc.datasets.STYLES)
    }
    model.fit(x, ids, batch_size, shuffle=False, verbose=0)
    return model


def recall(model, data):
    """R@10 from each artist's drawings to the other's."""
    x = {style: pixels(data.images[:, i]) for i, style in enumerate(kc.datasets.STYLES)}
    vectors = model.predict(x, batch_size=len(data), verbose=0).values()
    return np.mean(
        [kc.evaluation.retrieval(a, b)["recall_at_10"] for a, b in itertools.permutations(vectors)]
    )


def chosen_temperature(name, share, training, validation):
    """The one whose search of the validation families is best."""
    if len(arguments.temperature) == 1:
        return arguments.temperature[0]
    part = share_of(training, share, SEARCH_SEED)
    runs = {t: train(name, t, part, len(training), SEARCH_SEED) for t in arguments.temperature}
    return max(runs, key=lambda t: recall(runs[t], validation))


def error(runs):
    """The standard error of the mean over the last axis."""
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
        temperature = chosen_temperature(name, share, training, validation)
        parts = [share_of(training, share, seed) for seed in range(arguments.seeds)]
        items[share] = np.mean([len(part) for part in parts])
        found[name, share] = [
            recall(train(name, temperature, part, len(training), seed), test)
            for seed, part in enumerate(parts)
        ]
        print(f"share {share:g}, {name}: temperature {temperature:g} taken", flush=True)
    print(
        f"\n{keras.backend.backend()}: R@10 among {len(test)} emoji of other families, no flags\n"
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
