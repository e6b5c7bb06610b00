"""Noisy synthetic data: the conventional loss misses its optimum, the gamma augmentation reaches it.

One anchor theta has a positive mu at a distance D from the mean of its negatives x ~ N(0, I), which are fresh at every
step, so that there are infinitely many. With the score theta . x, the contrastive loss over all negatives is

    L(theta) = -theta . mu + log E exp(theta . x) = -theta . mu + |theta|^2 / 2,

whose minimum is theta = mu. What is measured is c = theta . mu / |mu|^2, whose optimum is exactly 1: a loss that sees m
negatives at a time is biased if c settles elsewhere. The noise is D, the standard deviation of the scores at the
optimum: there, the mean square of a negative's weight is exp(D^2).

All runs of a cell are one Keras model that is trained with a loss of this library: each has its own anchor, its own
negatives and its own initial values. c is that of the mean of theta over the second half of the steps.

    python examples/gamma_synthetic.py --backend jax

After the synthetic experiment of Chen et al., "Why do we need large batch sizes in contrastive learning? A
gradient-bias perspective", NeurIPS 2022, whose data are not published; these have an optimum in closed form.
"""

import argparse
import os
import pathlib

DIM = 8


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Noisy synthetic data with an optimum of 1.0, for every estimator of the partition.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument("--noise", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0], help="D")
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[2, 8, 32, 128], help="m, negatives at a step"
    )
    parser.add_argument(
        "--estimators", nargs="+", metavar="NAME", help="default: all; part of a name will do"
    )
    parser.add_argument("--optimizer", choices=("adam", "sgd", "sgd-clipped"), default="adam")
    parser.add_argument("--runs", type=int, default=10, help="of each cell")
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument(
        "--quick", action="store_true", help="two cells, two runs, few steps: to see that it runs"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the picture"
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
# One item, visited at every step. The weights of rates that contain their own batch are bounded without a cap.
REMEMBERED = {"num_items": 1, "momentum": "visits", "max_weight": float("inf"), **SCORE}
ESTIMATORS = {
    "InfoNCE": lambda: kc.losses.InfoNCE(**SCORE),
    "decoupled": lambda: kc.losses.DecoupledContrastive(all_views=False, **SCORE),
    "jackknife": lambda: kc.losses.DecoupledContrastive(
        all_views=False, bias_correction="jackknife", **SCORE
    ),
    "GlobalContrastive": lambda: kc.losses.GlobalContrastive(**REMEMBERED),
    "gamma, 1 draw": lambda: kc.losses.GammaContrastive(draws=1, seed=0, **REMEMBERED),
    "gamma, 8 draws": lambda: kc.losses.GammaContrastive(draws=8, seed=0, **REMEMBERED),
    "gamma, mean": lambda: kc.losses.GammaContrastive(**REMEMBERED),
    "gamma, mean, weights <= 20": lambda: kc.losses.GammaContrastive(
        **{**REMEMBERED, "max_weight": 20.0}
    ),
    "gamma, mean, momentum 0.7": lambda: kc.losses.GammaContrastive(
        **{**REMEMBERED, "momentum": 0.7}
    ),
}
RED, BLUE = "#c0392b", "#2b5fc0"  # ours and the conventional loss, as the article has them


class Runs(keras.Model):
    """Anchors that know nothing of each other, one for each run, and the loss that trains them."""

    def __init__(self, loss, runs, negatives, steps):
        super().__init__()
        self.contrast = loss
        self.runs, self.negatives, self.steps = runs, negatives, steps
        # Each run is a pair of views, and a direction from the first, its anchor, to the second.
        self.directions = {(2 * run, 2 * run + 1): 1.0 for run in range(runs)}
        loss.build(self.directions)
        self.loss_layers = loss.layers
        self.random = keras.random.SeedGenerator(0)
        state = {"initializer": "zeros", "trainable": False}
        self.anchors = [self.add_weight(shape=(DIM,), name=f"anchor_{run}") for run in range(runs)]
        self.positive = self.add_weight(shape=(DIM,), name="positive", **state)
        self.total = self.add_weight(shape=(runs, DIM), name="total", **state)  # of the second half
        self.step = self.add_weight(shape=(), name="step", **state)

    def call(self, x):
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        seen = keras.random.normal((self.runs, self.negatives, DIM), seed=self.random)
        anchors = [ops.convert_to_tensor(anchor) for anchor in self.anchors]
        late = ops.cast(self.step >= self.steps // 2, "float32")
        self.total.assign(self.total + late * ops.stop_gradient(ops.stack(anchors)))
        self.step.assign(self.step + 1)
        views = [view for anchor in anchors for view in (anchor[None], self.positive[None])]
        return self.contrast(
            np.zeros(1, "int32"),
            views,
            training=True,
            directions=self.directions,
            hard_negatives={2 * run + 1: seen[run] for run in range(self.runs)},
        )


class InverseRoot(keras.optimizers.schedules.LearningRateSchedule):
    """Steps that shrink as 1 / sqrt(step), of which the averages converge."""

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


class Watch(keras.callbacks.Callback):
    """c of each run at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.curve = []

    def on_epoch_end(self, epoch, logs=None):
        self.curve.append(
            closeness(self.model, np.array([ops.convert_to_numpy(a) for a in self.model.anchors]))
        )


def closeness(model, anchors):
    """c: 1 at the optimum, of each row."""
    positive = ops.convert_to_numpy(model.positive)
    return anchors @ positive / (positive @ positive)


def train(name, negatives, noises, runs, steps, points=40):
    """By noise: c of the averaged anchor of each run, and its way there, `(points, runs)`."""
    keras.utils.set_random_seed(0)
    model = Runs(ESTIMATORS[name](), runs, negatives, steps)
    model.compile(make_optimizer(arguments.optimizer))
    x = np.zeros((steps // points, 1), "float32")
    model(x[:1])
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    untrained = [ops.convert_to_numpy(variable) for variable in variables]
    found = {}
    for noise in noises:
        for variable, value in zip(variables, untrained, strict=True):
            variable.assign(value)
        rng = np.random.default_rng(0)
        for anchor in model.anchors:
            anchor.assign(rng.normal(scale=0.3, size=DIM))
        model.positive.assign(noise * np.eye(1, DIM)[0])
        watch = Watch()
        model.fit(x, batch_size=1, epochs=points, shuffle=False, verbose=0, callbacks=[watch])
        seen = float(ops.convert_to_numpy(model.step)) - steps // 2
        found[noise] = (
            closeness(model, ops.convert_to_numpy(model.total) / seen),
            np.array(watch.curve),
        )
    return found


def print_table(found, noises, batches, names):
    print(
        f"\n{keras.backend.backend()}, {arguments.optimizer}, {arguments.steps} steps, {arguments.runs} runs."
    )
    print(
        "c, mean ± standard deviation over the runs, and in how many of them it is within 5 % of its optimum, 1.\n"
    )
    print("| D | m | " + " | ".join(names) + " |")
    print("| --- | --- |" + " --- |" * len(names))
    for noise in noises:
        for negatives in batches:
            cells = []
            for name in names:
                c = found[name, negatives, noise][0]
                near = int((np.abs(c - 1) <= 0.05).sum())
                cells.append(f"{c.mean():.3f} ± {c.std(ddof=1):.3f} ({near}/{len(c)})")
            print(f"| {noise:g} | {negatives} | " + " | ".join(cells) + " |")


def draw(found, noises, batches, names, path):
    """Above: the way of each run, at one batch size. Below: where the estimators end, over the batch size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = batches[min(1, len(batches) - 1)]
    figure, rows = pyplot.subplots(
        2,
        len(noises),
        figsize=(3.6 * len(noises), 6.4),
        layout="constrained",
        squeeze=False,
        sharey="row",
    )
    curves = {"InfoNCE": BLUE, "gamma, 8 draws": RED}
    lines = {
        "InfoNCE": BLUE,
        "jackknife": "#7f8c8d",
        "GlobalContrastive": "#27ae60",
        "gamma, 1 draw": "#e59866",
    }
    lines |= {"gamma, 8 draws": RED, "gamma, mean, momentum 0.7": "#8e44ad"}
    for column, noise in enumerate(noises):
        above, below = rows[:, column]
        for name, color in curves.items():
            if name in names:
                curve = found[name, shown, noise][1]
                steps = np.arange(1, len(curve) + 1) * (arguments.steps / len(curve))
                above.plot(steps, curve, color=color, linewidth=0.8, alpha=0.7)
                above.plot([], [], color=color, label=name)
        above.axhline(1, color="black", linestyle=":", linewidth=1)
        above.set(title=f"D = {noise:g}, {shown} negatives", xlabel="steps", ylim=(0, 3))
        for name, color in lines.items():
            if name in names:
                runs = np.array([found[name, negatives, noise][0] for negatives in batches])
                below.errorbar(
                    batches,
                    runs.mean(1),
                    runs.std(1),
                    color=color,
                    marker="o",
                    capsize=3,
                    label=name,
                )
        below.axhline(1, color="black", linestyle=":", linewidth=1)
        below.set(
            xlabel="negatives at a step, m",
            xscale="log",
            yscale="log",
            xticks=batches,
            ylim=(0.8, 40),
        )
        below.set_xticks(batches, [str(m) for m in batches])
        below.set_xticks([], minor=True)
        below.set_yticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        below.set_yticks([], minor=True)
    rows[0, 0].set_ylabel("c (optimum: 1)")
    rows[1, 0].set_ylabel("c at the end (optimum: 1)")
    rows[0, 0].legend(fontsize=8, loc="upper left")
    rows[1, 0].legend(fontsize=8, loc="upper right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nwrote {path}")


def main():
    if arguments.quick:
        arguments.noise, arguments.batch, arguments.runs, arguments.steps = [0.5, 1.0], [8], 2, 400
    names = [
        name for name in ESTIMATORS if any(part in name for part in arguments.estimators or [""])
    ]
    found = {}
    for negatives in arguments.batch:
        for name in names:
            of_noise = train(name, negatives, arguments.noise, arguments.runs, arguments.steps)
            found |= {(name, negatives, noise): result for noise, result in of_noise.items()}
            print(
                f"m = {negatives}, {name}: "
                + ", ".join(f"{c.mean():.3f}" for c, _ in of_noise.values()),
                flush=True,
            )
    print_table(found, arguments.noise, arguments.batch, names)
    draw(found, arguments.noise, arguments.batch, names, arguments.out / "gamma_synthetic.png")


if __name__ == "__main__":
    main()
