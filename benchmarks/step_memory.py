"""Measures the peak memory of a training step over the batch size, with and without stored logits.

The step is that of `ContrastiveTrainer`: two towers, the loss, all gradients and Adam. The measure
is the peak of the resident set above the memory of model, optimizer and batch. Each measurement
uses a fresh process that has run the same step once. Values below about 50 MiB are mostly noise
(see `measure.py`). *Direct logits* is the usual formula of InfoNCE, which stores the logits. On
PyTorch, the loss of open_clip is measured as well, if it is installed. Both run in the same
trainer.

The small towers are dense, so the loss dominates. The large towers are convolutions, whose
activations are stored for the gradient. *In parts* is `micro_batch_size=256`, which recomputes the
activations in chunks of 256 rows.

    KERAS_BACKEND=jax python benchmarks/step_memory.py
    KERAS_BACKEND=torch python benchmarks/step_memory.py
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import keras
import measure
import numpy as np
import peers

import keras_contrastive as kc

DIM = 128
SHAPES = {"small": (192,), "large": (32, 32, 3)}
BATCHES = {"small": [64, 1024, 2048, 4096, 8192, 16384], "large": [256, 1024, 2048]}
DIRECT = {"direct logits": "plain", "open_clip": "open_clip"}
NAMES = [*DIRECT, "InfoNCE", "GammaContrastive", "GammaContrastive, in parts"]
COLORS = dict(zip(NAMES, ["#2b5fc0", "#5dade2", "#7f8c8d", "#c0392b", "#e59866"], strict=True))


def make_loss(name, batch):
    if name in DIRECT:
        found = {
            candidate.who: candidate
            for candidate in peers.candidates(["InfoNCE"], name == "open_clip", DIM)
        }
        return peers.FunctionLoss(found[DIRECT[name]].make(batch))
    if name == "InfoNCE":
        return kc.losses.InfoNCE(peers.TEMPERATURE)
    return kc.losses.GammaContrastive(peers.TEMPERATURE, num_items=batch)


def tower(size):
    layers = keras.layers
    if size == "small":
        hidden = [layers.Dense(256, activation="relu")]
    else:
        hidden = [layers.Conv2D(width, 3, 2, "same", activation="relu") for width in (48, 96, 192)]
        hidden.append(layers.GlobalAveragePooling2D())
    return keras.Sequential([keras.Input(SHAPES[size]), *hidden, layers.Dense(DIM)])


def measure_one(size, name, batch):
    """Returns the peak in MiB and the seconds of a step."""
    keras.utils.set_random_seed(0)
    parts = 256 if name.endswith("in parts") else None
    model = kc.ContrastiveTrainer({"a": tower(size), "b": tower(size)}, micro_batch_size=parts)
    model.compile(keras.optimizers.Adam(1e-3), make_loss(name, batch))
    rng = np.random.default_rng(0)
    x = {view: rng.standard_normal((batch, *SHAPES[size]), dtype="float32") for view in ("a", "b")}
    inputs = [x, np.arange(batch, dtype="int32")]
    resident = measure.memory_of_step(model.train_on_batch, inputs)
    return resident / 2**20, measure.seconds(model.train_on_batch, inputs)


def measure_all(size, options):
    """Returns `{(name, batch): (MiB, seconds)}` for all that fits the limit and is installed."""
    found = {}
    who = {candidate.who: candidate for candidate in peers.candidates(["InfoNCE"], True, DIM)}
    for name in options.losses:
        for batch in options.batches or BATCHES[size]:
            if name in DIRECT:
                candidate = who.get(DIRECT[name])
                if candidate is None or candidate.stores(batch, DIM) * 4 / 2**30 > options.limit:
                    continue
            command = [sys.executable, __file__, "--measure-one", json.dumps([size, name, batch])]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env=os.environ
            )
            if done.returncode:
                sys.exit(done.stderr)
            found[name, batch] = json.loads(done.stdout.splitlines()[-1])
            print(
                size,
                name,
                batch,
                "{:.0f} MiB, {:.2f} s".format(*found[name, batch]),
                file=sys.stderr,
                flush=True,
            )
    return found


def print_table(size, found):
    batches = sorted({batch for _, batch in found})
    print(
        f"\n| {size} towers, {measure.BACKEND}, MiB (s) | "
        + " | ".join(f"{batch:,}" for batch in batches)
        + " |"
    )
    print("| --- |" + " --- |" * len(batches))
    for name in dict.fromkeys(name for name, _ in found):
        cells = [
            "{:,.0f} ({:.2f})".format(*found[name, b]) if (name, b) in found else ""
            for b in batches
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    for name in ("direct logits", "InfoNCE"):
        both = [((name, b), ("GammaContrastive", b // 2)) for b in batches]
        cells = [
            f"{found[half][0] / found[full][0]:.2f}" if {full, half} <= set(found) else ""
            for full, half in both
        ]
        print(
            f"| GammaContrastive at half the batch, over {name} | " + " | ".join(cells) + " |",
            flush=True,
        )


def draw(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(
        1, len(results), figsize=(5.5 * len(results), 4), layout="constrained", squeeze=False
    )
    for panel, (size, found) in zip(panels[0], results.items(), strict=True):
        for name in dict.fromkeys(name for name, _ in found):
            points = [
                (batch, mib)
                for (who, batch), (mib, _) in found.items()
                if who == name and mib >= 10
            ]
            panel.plot(*zip(*points, strict=True), color=COLORS[name], marker="o", label=name)
        panel.set(
            title=f"{size} towers, {measure.BACKEND}",
            xlabel="batch size",
            xscale="log",
            yscale="log",
        )
        panel.set_ylim(10, 5000)
        # Smaller values are noise.
        batches = sorted({batch for (_, batch), (mib, _) in found.items() if mib >= 10})
        panel.set_xticks(batches, [f"{batch:,}" for batch in batches], rotation=45)
        panel.set_xticks([], minor=True)
    panels[0, 0].set_ylabel("peak memory of a training step (MiB)")
    panels[0, 0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--towers", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--losses", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        help="default: up to 16,384, and 2,048 for the large towers",
    )
    parser.add_argument(
        "--limit", type=float, default=12, help="GiB; larger direct logits are skipped"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small towers, batches of 2,048 and 4,096, two losses"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the figure"
    )
    parser.add_argument("--measure-one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_one:
        return print(json.dumps(measure_one(*options.measure_one)))
    if options.quick:
        options.towers, options.losses, options.batches = (
            ["small"],
            ["direct logits", "GammaContrastive"],
            [2048, 4096],
        )
    results = {size: measure_all(size, options) for size in options.towers}
    for size, found in results.items():
        print_table(size, found)
    draw(results, options.out / f"step_memory_{measure.BACKEND}.png")


if __name__ == "__main__":
    main()
