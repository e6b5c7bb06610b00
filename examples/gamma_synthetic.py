"""Compares losses on noisy synthetic data with a known optimum.

An anchor theta has a positive at distance D from the mean of its negatives x ~ N(0, I). Each step
draws new negatives, so their number is unlimited. The positive is the point mu ("fixed"), or is
drawn from N(mu, I) in each step ("drawn"). With the score theta . x, the contrastive loss over all
negatives is, for both,

    L(theta) = -theta . mu + log E exp(theta . x) = -theta . mu + |theta|^2 / 2.

Its minimum is theta = mu. The script measures c = theta . mu / |mu|^2, which is exactly 1 at the
optimum. A loss with m negatives per step is biased if c converges to another value. The noise D is
the standard deviation of the scores at the optimum. There, the mean square of the weight of a
negative is exp(D^2).

With a drawn positive, exp(theta . x) can equal the ratio of the densities of positives and
negatives up to a constant. The optimum of `InfoNCE` is then theta = mu for any number of negatives,
although its minibatch gradients are biased elsewhere. No theta represents the ratio for a fixed
positive, and the optimum of `InfoNCE` depends on the number of negatives.

All runs of a cell share one Keras model and one loss of this library. Each run has its own anchor,
negatives and initial values. c is computed from the mean of theta over the second half of the
steps.

    python examples/gamma_synthetic.py --backend jax

The experiment follows Chen et al., "Why do we need large batch sizes in contrastive learning? A
gradient-bias perspective", NeurIPS 2022. Their data are not published. The data of this script have
an optimum in closed form.
"""

import argparse
import json
import os
import pathlib

DIM = 8


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Compare estimators of the partition on synthetic data with an optimum of 1.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--noise", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0], help="values of D"
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        default=[2, 8, 32, 128],
        help="values of m, the negatives per step",
    )
    parser.add_argument(
        "--positive",
        nargs="+",
        choices=("fixed", "drawn"),
        default=["fixed", "drawn"],
        help="whether the positive is mu, or drawn around it in each step",
    )
    parser.add_argument(
        "--estimators", nargs="+", metavar="NAME", help="names or parts of names; default: all"
    )
    parser.add_argument("--optimizer", choices=("adam", "sgd", "sgd-clipped"), default="adam")
    parser.add_argument("--runs", type=int, default=10, help="runs of each cell")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="two cells, two runs and few steps, to check that it runs",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder of the files"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import ops  # noqa: E402

import keras_contrastive as kc  # noqa: E402

SCORE = {"temperature": 1.0, "normalize": False, "symmetric": False}
# Each step visits the same item.
RUNNING_PARTITION = {"num_items": 1, "momentum": "visits", **SCORE}
ESTIMATORS = {
    "InfoNCE": lambda: kc.losses.InfoNCE(**SCORE),
    "decoupled": lambda: kc.losses.DecoupledContrastive(all_views=False, **SCORE),
    "jackknife": lambda: kc.losses.DecoupledContrastive(
        all_views=False, bias_correction="jackknife", **SCORE
    ),
    "GlobalContrastive": lambda: kc.losses.GlobalContrastive(
        max_weight=float("inf"), **RUNNING_PARTITION
    ),
    "gamma, 1 draw": lambda: kc.losses.GammaContrastive(draws=1, seed=0, **RUNNING_PARTITION),
    "gamma, 8 draws": lambda: kc.losses.GammaContrastive(draws=8, seed=0, **RUNNING_PARTITION),
    "gamma, mean": lambda: kc.losses.GammaContrastive(**RUNNING_PARTITION),
    "gamma, mean, prior 19": lambda: kc.losses.GammaContrastive(prior=19.0, **RUNNING_PARTITION),
    "gamma, shared": lambda: kc.losses.GammaContrastive(momentum="visits", **SCORE),
    "gamma, mean, momentum 0.7": lambda: kc.losses.GammaContrastive(
        **{**RUNNING_PARTITION, "momentum": 0.7}
    ),
}
CURVES = {  # Of these, c is shown over the steps: label and color.
    "InfoNCE": ("InfoNCE", "#0072b2"),
    "gamma, shared": ("GammaContrastive", "#009e73"),
    "gamma, 8 draws": ("GammaContrastive, 8 draws", "#cc79a7"),
}


class Runs(keras.Model):
    """A model with one independent anchor for each run, and the loss that trains them."""

    def __init__(self, loss, runs, negatives, steps):
        super().__init__()
        self.contrast = loss
        self.runs, self.negatives, self.steps = runs, negatives, steps
        # Each run is a pair of views and the direction from its anchor to its positive.
        self.directions = {(f"anchor_{run}", f"positive_{run}"): 1.0 for run in range(runs)}
        loss.build(self.directions)
        self.loss_layers = loss.layers
        self.random = keras.random.SeedGenerator(0)
        self.random_positive = keras.random.SeedGenerator(1)
        state = {"initializer": "zeros", "trainable": False}
        self.anchors = [self.add_weight(shape=(DIM,), name=f"anchor_{run}") for run in range(runs)]
        self.positive = self.add_weight(shape=(DIM,), name="positive", **state)
        self.spread = self.add_weight(shape=(), name="spread", **state)  # 0: the positive is fixed
        # The sum of the anchors over the second half of the steps.
        self.total = self.add_weight(shape=(runs, DIM), name="total", **state)
        self.step = self.add_weight(shape=(), name="step", **state)

    def call(self, x):
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        seen = keras.random.normal((self.runs, self.negatives, DIM), seed=self.random)
        anchors = [ops.convert_to_tensor(anchor) for anchor in self.anchors]
        in_second_half = ops.cast(self.step >= self.steps // 2, "float32")
        self.total.assign(self.total + in_second_half * ops.stop_gradient(ops.stack(anchors)))
        self.step.assign(self.step + 1)
        positives = keras.random.normal((self.runs, DIM), seed=self.random_positive)
        positives = self.positive + self.spread * positives
        views = {}
        for run, anchor in enumerate(anchors):
            views |= {f"anchor_{run}": anchor[None], f"positive_{run}": positives[run][None]}
        return self.contrast(
            np.zeros(1, "int32"),
            views,
            training=True,
            directions=self.directions,
            hard_negatives={f"positive_{run}": seen[run] for run in range(self.runs)},
        )


class InverseRoot(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that decays as 1 / sqrt(step), for which averages of the weights converge."""

    def __init__(self, first, warm):
        self.first, self.warm = first, warm

    def __call__(self, step):
        return self.first / ops.sqrt(1 + ops.cast(step, "float32") / self.warm)

    def get_config(self):
        return {"first": self.first, "warm": self.warm}


def make_optimizer(kind):
    if kind == "adam":
        return keras.optimizers.Adam(InverseRoot(0.02, 500))
    return keras.optimizers.SGD(
        InverseRoot(0.05, 100), clipnorm=20.0 if kind == "sgd-clipped" else None
    )


class RecordCurve(keras.callbacks.Callback):
    """Records c of each run at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.curve = []

    def on_epoch_end(self, epoch, logs=None):
        self.curve.append(
            relative_length(
                self.model, np.array([ops.convert_to_numpy(a) for a in self.model.anchors])
            )
        )


def relative_length(model, anchors):
    """Returns c of each row; it is 1 at the optimum."""
    positive = ops.convert_to_numpy(model.positive)
    return anchors @ positive / (positive @ positive)


def train(name, negatives, conditions, points=40):
    """Returns the final c of each run, and c over the steps, by (positive, noise)."""
    keras.utils.set_random_seed(0)
    steps = arguments.steps
    model = Runs(ESTIMATORS[name](), arguments.runs, negatives, steps)
    model.compile(make_optimizer(arguments.optimizer))
    x = np.zeros((steps // points, 1), "float32")
    model(x[:1])
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    initial_values = [ops.convert_to_numpy(variable) for variable in variables]
    found = {}
    for positive, noise in conditions:
        for variable, value in zip(variables, initial_values, strict=True):
            variable.assign(value)
        rng = np.random.default_rng(0)
        for anchor in model.anchors:
            anchor.assign(rng.normal(scale=0.3, size=DIM))
        model.positive.assign(noise * np.eye(1, DIM)[0])
        model.spread.assign(float(positive == "drawn"))
        record = RecordCurve()
        model.fit(x, batch_size=1, epochs=points, shuffle=False, verbose=0, callbacks=[record])
        seen = float(ops.convert_to_numpy(model.step)) - steps // 2
        final = relative_length(model, ops.convert_to_numpy(model.total) / seen)
        found[positive, noise] = {"c": np.round(final, 4).tolist()}
        if name in CURVES:
            found[positive, noise]["curve"] = np.round(record.curve, 3).tolist()
    return found


def key(positive, noise, negatives, name):
    return f"{positive}, {noise:g}, {negatives}, {name}"


def compute(names, path):
    """Returns the cells of the file by `key`, after training those that are missing."""
    cells = json.loads(path.read_text()) if path.exists() else {}
    for negatives in arguments.batch:
        for name in names:
            conditions = [
                (positive, noise)
                for positive in arguments.positive
                for noise in arguments.noise
                if key(positive, noise, negatives, name) not in cells
            ]
            if not conditions:
                continue
            for condition, cell in train(name, negatives, conditions).items():
                cells[key(*condition, negatives, name)] = cell
                print(f"m = {negatives}, {name}, {condition}: {np.mean(cell['c']):.3f}", flush=True)
            path.write_text(json.dumps(cells) + "\n")
    return cells


def print_tables(cells, names):
    backend, steps, runs = keras.backend.backend(), arguments.steps, arguments.runs
    print(f"\n{backend}, {arguments.optimizer}, {steps} steps, {runs} runs.")
    print(
        "c, mean ± standard deviation over the runs. In brackets: the number of runs within 5 % of "
        "the optimum, 1."
    )
    for positive in arguments.positive:
        print(f"\n| {positive}: D | m | " + " | ".join(names) + " |")
        print("| --- | --- |" + " --- |" * len(names))
        for noise in arguments.noise:
            for negatives in arguments.batch:
                row = []
                for name in names:
                    c = np.array(cells[key(positive, noise, negatives, name)]["c"])
                    near = int((np.abs(c - 1) <= 0.05).sum())
                    row.append(f"{c.mean():.3f} ± {c.std(ddof=1):.3f} ({near}/{len(c)})")
                print(f"| {noise:g} | {negatives} | " + " | ".join(row) + " |")


def draw(cells, names, path):
    """Draws c over the steps for the noisiest data: one panel for each kind of positive."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    noise, batches = max(arguments.noise), arguments.batch
    negatives = batches[min(1, len(batches) - 1)]
    figure, panels = pyplot.subplots(
        1,
        len(arguments.positive),
        figsize=(7.2, 3.6),
        layout="constrained",
        squeeze=False,
        sharey=True,
    )
    for panel, positive in zip(panels[0], arguments.positive, strict=True):
        for name in (name for name in CURVES if name in names):
            label, color = CURVES[name]
            curve = np.array(cells[key(positive, noise, negatives, name)]["curve"])
            steps = np.arange(1, len(curve) + 1) * (arguments.steps / len(curve))
            panel.plot(steps, curve, color=color, linewidth=0.8, alpha=0.7)
            panel.plot([], [], color=color, label=label)
        panel.axhline(1, color="black", linestyle=":", linewidth=1)
        panel.set_title(f"positive {positive}")
        panel.set(xlabel="steps", ylim=(0, 3))
        panel.spines[["right", "top"]].set_visible(False)
    panels[0, 0].set_ylabel(f"c of {arguments.runs} runs (optimum: 1)")
    panels[0, 0].legend(frameon=False, loc="upper left")
    if len(arguments.positive) > 1:
        figure.suptitle("InfoNCE misses the optimum only if the positive is a fixed point")
    figure.savefig(path, dpi=200)
    print(f"\nwrote {path}")


def main():
    if arguments.quick:
        arguments.noise, arguments.batch, arguments.runs, arguments.steps = [0.5, 1.0], [8], 2, 400
    names = [
        name for name in ESTIMATORS if any(part in name for part in arguments.estimators or [""])
    ]
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = "gamma_synthetic_quick" if arguments.quick else "gamma_synthetic"
    cells = compute(names, arguments.out / f"{stem}.json")
    print_tables(cells, names)
    draw(cells, names, arguments.out / f"{stem}.png")


if __name__ == "__main__":
    main()
