"""Compares self-supervised and supervised methods of one trainer under equal steps.

All methods train the same encoder on the same rows, with the same augmentations, batches, projector
and optimizer. For each method, a grid of learning rates is scored on validation rows, and is
extended while the largest rate is the best. The best one trains again with other seeds, and is
scored once on test rows: by a k-NN probe and by a linear probe of the representation, the output of
the encoder. Probes have 5 labels of each class (the mean over 10 draws), or those of all training
rows. Accuracies are in percent.

Each run is a JSON file in `--out`. Runs that exist are not repeated, so the program can be stopped
and started again. The table of `docs/methods.md` is written from the files.

    pip install ".[jax,eval]"
    KERAS_BACKEND=jax python benchmarks/methods.py
"""

import argparse
import json
import pathlib
import time
import warnings

import keras
import numpy as np

import keras_contrastive as kc

BATCH, DIM, HIDDEN, CLASSES = 125, 64, 128, 10
RATES, WIDER = (0.001, 0.003, 0.01, 0.03), (0.1, 0.3)
TUNING_SEEDS = (100, 101)
SHOTS = 5  # labeled rows of each class
SCORES = (
    f"k-NN, {SHOTS} labels",
    f"linear, {SHOTS} labels",
    "k-NN, all labels",
    "linear, all labels",
)
START, END = "<!-- table: benchmarks/methods.py -->", "<!-- end of table -->"


def digits():
    """Returns images in [0, 1] and labels of 1,000 training, 297 validation and 500 test rows."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images = data.images[order, :, :, None].astype("float32") / 16
    labels = data.target[order].astype("int32")
    parts = {"train": slice(1000), "validation": slice(1000, 1297), "test": slice(1297, None)}
    return {name: (images[part], labels[part]) for name, part in parts.items()}


def stack(inputs, *sizes, last_norm=False, activation=False):
    """Returns dense layers with batch normalization and ReLU between them."""
    layers = [keras.Input(inputs)]
    if len(inputs) > 1:
        layers.append(keras.layers.Flatten())
    for place, size in enumerate(sizes):
        is_last = place == len(sizes) - 1
        normalized = not is_last or last_norm
        layers.append(keras.layers.Dense(size, use_bias=not normalized))
        if normalized:
            layers.append(keras.layers.BatchNormalization())
        if not is_last or activation:
            layers.append(keras.layers.ReLU())
    return keras.Sequential(layers)


def make_encoder(shape):
    return stack(shape, 256, HIDDEN, last_norm=True, activation=True)


def make_projector(last_norm=False):
    return stack((HIDDEN,), HIDDEN, DIM, last_norm=last_norm)


def make_augmenter(seed=0):
    crop = kc.augmentation.RandomResizedCrop(None, (0.5, 1.0), seed=seed)
    return keras.Sequential([crop, keras.layers.GaussianNoise(0.1, seed=seed)])


# Methods: functions of the shape of the images that return a trainer, a loss and its ids


def two_views(shape, loss, ids=None, last_norm=False, **parts):
    """Returns a trainer of two augmentations. `ids` is `None`, "rows" or "labels"."""
    encoder, projector = make_encoder(shape), make_projector(last_norm)
    trainer = kc.ContrastiveTrainer(encoder, make_augmenter(), projector, **parts)
    return trainer, loss, ids


def one_view(shape, loss):
    """Returns a trainer of one augmentation whose positives are rows with the same label."""
    encoder = keras.Sequential([keras.Input(shape), make_augmenter(), make_encoder(shape)])
    trainer = kc.ContrastiveTrainer({"image": encoder}, projectors=make_projector())
    return trainer, loss, "labels"


def moco(shape):
    loss = kc.losses.InfoNCE(0.2, memory=kc.layers.EmbeddingQueue(500, DIM))
    return two_views(shape, loss, "rows", teacher=kc.layers.MomentumTeacher(0.99))


def arc_face(shape):
    proxies = kc.layers.ClassProxies(CLASSES, DIM)
    return one_view(shape, kc.losses.ArcFace(proxies, temperature=1 / 16))


def predicted(shape, teacher=None, last_norm=False):
    parts = {"predictors": stack((DIM,), DIM // 2, DIM), "teacher": teacher}
    return two_views(shape, kc.losses.NegativeCosine(), last_norm=last_norm, **parts)


METHODS = {
    "SimCLR": lambda shape: two_views(shape, kc.losses.NTXent(0.2)),
    "MoCo": moco,
    "BYOL": lambda shape: predicted(shape, kc.layers.MomentumTeacher(0.99)),
    "SimSiam": lambda shape: predicted(shape, last_norm=True),
    "Barlow Twins": lambda shape: two_views(shape, kc.losses.BarlowTwins()),
    "VICReg": lambda shape: two_views(shape, kc.losses.VICReg()),
    "SupCon": lambda shape: two_views(shape, kc.losses.SupCon(0.1), "labels"),
    "Triplet": lambda shape: one_view(shape, kc.losses.Triplet()),
    "ArcFace": arc_face,
}
USES_LABELS = ("SupCon", "Triplet", "ArcFace")
BASELINES = ("raw pixels", "random features")


class Trainee:
    """One compiled trainer, which starts again from other weights for each run."""

    def __init__(self, method, data, steps):
        images, self.labels = data["train"]
        self.images, self.steps, self.make = images, steps, METHODS[method]
        self.trainer, loss, self.ids = self.make(images.shape[1:])
        self.trainer.compile(keras.optimizers.Adam(), loss)
        self.trainer(self.inputs(slice(2)))
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        self.start = [keras.ops.convert_to_numpy(x).copy() for x in self.state()]

    def inputs(self, rows):
        return {"image": self.images[rows]} if self.trainer.has_towers else self.images[rows]

    def state(self):
        return [*self.trainer.variables, *self.trainer.optimizer.variables]

    def train(self, rate, seed):
        """Trains from random weights and returns the encoder."""
        keras.utils.set_random_seed(seed)
        fresh = self.make(self.images.shape[1:])[0]
        for variable, value in zip(self.state(), self.start, strict=True):
            variable.assign(value)
        self.trainer.optimizer.learning_rate = rate
        for part in ("encoders", "projectors", "predictors"):
            layers = layers_of(self.trainer, part), layers_of(fresh, part)
            for mine, new in zip(*layers, strict=True):
                mine.set_weights(new.get_weights())
        draws, rows = np.random.default_rng(seed), np.zeros(0, int)
        while len(rows) < self.steps * BATCH:
            rows = np.concatenate([rows, draws.permutation(len(self.images))])
        rows = rows[: self.steps * BATCH]
        ids = {"rows": rows, "labels": self.labels[rows]}.get(self.ids)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows repeat, since one epoch has all steps
            self.trainer.fit(self.inputs(rows), ids, batch_size=BATCH, shuffle=False, verbose=0)
        return layers_of(self.trainer, "encoders")[0]


def layers_of(trainer, part):
    layers = getattr(trainer, part)
    layers = layers.values() if isinstance(layers, dict) else [layers]
    return [layer for layer in layers if layer is not None]


def scores(embed, data, part):
    """Returns the accuracies of the probes in percent."""
    rows = []
    for name in ("train", part):
        features = np.asarray(embed(data[name][0]), "float64")
        rows += [features, data[name][1]]
    mean, deviation = rows[0].mean(axis=0), rows[0].std(axis=0) + 1e-6
    scaled = [(rows[0] - mean) / deviation, rows[1], (rows[2] - mean) / deviation, rows[3]]
    few = f"{SHOTS}_shot_top_1_accuracy"
    found = (
        kc.evaluation.knn_probe(*rows, n_neighbors=SHOTS, shots=SHOTS)[few],
        kc.evaluation.linear_probe(*scaled, C=0.1, shots=SHOTS)[few],
        kc.evaluation.knn_probe(*rows)["top_1_accuracy"],
        kc.evaluation.linear_probe(*scaled, C=0.1)["top_1_accuracy"],
    )
    return dict(zip(SCORES, (100 * value for value in found), strict=True))


def baseline(name, data, seed):
    shape = data["train"][0].shape[1:]
    if name == "raw pixels":
        return scores(lambda x: x.reshape(len(x), -1), data, "test")
    keras.utils.set_random_seed(seed)
    encoder = make_encoder(shape)
    # One pass without training sets the statistics of the batch normalization.
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    encoder(data["train"][0], training=True)
    return scores(lambda x: keras.ops.convert_to_numpy(encoder(x)), data, "test")


def cell(path, compute):
    """Returns the content of a JSON file, and computes it first if there is none."""
    if not path.exists():
        start = time.perf_counter()
        found = compute()
        found["seconds"] = round(time.perf_counter() - start, 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".tmp").write_text(json.dumps(found))
        path.with_suffix(".tmp").rename(path)
        print(path.stem, {k: round(v, 1) for k, v in found.items()}, flush=True)
    return json.loads(path.read_text())


def run_method(method, data, arguments):
    """Returns the chosen rate and the test scores by seed."""
    trainee = []

    def run(rate, seed, part):
        if not trainee:
            trainee.append(Trainee(method, data, arguments.steps))
        encoder = trainee[0].train(rate, seed)
        return scores(lambda x: keras.ops.convert_to_numpy(encoder(x)), data, part)

    def cell_of(rate, seed, part):
        name = f"{method.replace(' ', '_')}-{rate}-{part}-{seed}.json"
        return cell(arguments.out / name, lambda: run(rate, seed, part))

    def tuned(rate):
        cells = [cell_of(rate, seed, "validation") for seed in TUNING_SEEDS]
        return np.mean([found[score] for found in cells for score in SCORES])

    rates = list(arguments.rates)
    rate = rates[0] if len(rates) == 1 else max(rates, key=tuned)
    for wider in WIDER if len(rates) > 1 else ():
        if rate == rates[-1]:  # the best rate should lie inside the grid
            rates.append(wider)
            rate = max(rates, key=tuned)
    return rate, [cell_of(rate, seed, "test") for seed in range(arguments.seeds)]


def table(results):
    """Returns the lines of a table, the best mean of all scores first."""
    titles = ("method", "trained with labels", "learning rate", *SCORES)
    lines = ["| " + " | ".join(titles) + " |", "| --- " * len(titles) + "|"]

    def mean(runs):
        return np.mean([run[score] for run in runs for score in SCORES])

    for name, (rate, runs) in sorted(results.items(), key=lambda item: -mean(item[1][1])):
        cells = [name, "yes" if name in USES_LABELS else "no", "" if rate is None else f"{rate:g}"]
        for score in SCORES:
            values = [run[score] for run in runs]
            mean_of_runs = f"{np.mean(values):.1f}"
            if len(values) > 1:
                mean_of_runs += f" ± {np.std(values, ddof=1) / len(values) ** 0.5:.1f}"
            cells.append(mean_of_runs)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=5, help="number of runs on test rows")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/methods"))
    parser.add_argument("--page", type=pathlib.Path, help="page whose table is replaced")
    parser.add_argument("--quick", action="store_true", help="few steps, to check that it runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.steps, arguments.seeds, arguments.rates = 8, 2, (0.003,)
    arguments.out = arguments.out / f"digits_{arguments.steps}_steps"
    data, results = digits(), {}
    for name in BASELINES:
        seeds = range(arguments.seeds if name == "random features" else 1)
        paths = [arguments.out / f"{name.replace(' ', '_')}-{seed}.json" for seed in seeds]
        runs = [cell(p, lambda s=s, n=name: baseline(n, data, s)) for s, p in enumerate(paths)]
        results[name] = None, runs
    for name in arguments.methods:
        results[name] = run_method(name, data, arguments)
    lines = table(results)
    print("\n".join(["", *lines]))
    if arguments.page is not None:
        before, rest = arguments.page.read_text().split(START)
        content = [before + START, "", *lines, "", END + rest.split(END)[1]]
        arguments.page.write_text("\n".join(content))


if __name__ == "__main__":
    main()
