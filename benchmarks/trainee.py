"""Compiles small models on emoji once and trains them many times, to compare losses.

On JAX, an epoch is one compiled loop over the step of the trainer, because such small steps are
dominated by overhead. On the other backends, an epoch is a `fit` with the same result. The programs
`half_the_batch.py` and `gamma_defaults.py` use this module.
"""

import math
import pathlib
import sys

import keras
import numpy as np
from keras import ops

import keras_contrastive as kc

ITEMS = 1024
INPUTS, DIM = 128, 64
LEARNABLE = "learnable"
FACTORS = {"tuned": [0.3, 1.0, 3.0], "0.02": [0.3, 1.0, 3.0, 10.0]}  # factors of the learning rate
TUNING_SEED = 1000
SCORES = ("mrr", "recall_at_10")


# Settings


def scratch(file):
    """Returns two drawings of each emoji, 16 pixels wide."""
    data = kc.datasets.load_emoji()
    pixels = (1 - data.images[:, :, ::2, ::2] / 255.0).astype("float32").reshape(len(data), 2, -1)
    return split({"twemoji": pixels[:, 0], "openmoji": pixels[:, 1]}, data)


def frozen(file):
    """Returns features of a drawing and of its name, computed once and cached in `file`."""
    data = kc.datasets.load_emoji(size=128)
    if not file.exists():
        compute_features(data, file)
    return split(dict(np.load(file)), data)


def split(x, data):
    """Splits the views, without flags, and projects them on their principal components."""
    rows = {
        name: np.flatnonzero((data.split == name) & ~data.is_flag)
        for name in ("train", "validation", "test")
    }
    rows["train"] = np.random.default_rng(0).permutation(rows["train"])[:ITEMS]
    for view, z in x.items():
        learn = z[rows["train"]]
        main = np.linalg.svd(learn - learn.mean(axis=0), full_matrices=False)[2][:INPUTS]
        z = (z - learn.mean(axis=0)) @ main.T
        x[view] = (z / z[rows["train"]].std()).astype("float32")
    return {name: {view: z[selected] for view, z in x.items()} for name, selected in rows.items()}


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
RATES = {"frozen": 5e-3, "scratch": 3e-3}  # middle learning rates at a batch size of 64


def tower(inputs, hidden):
    layers = keras.layers
    body = [layers.Dense(width, activation="relu") for width in hidden]
    return keras.Sequential([keras.Input((inputs,)), layers.Dropout(0.3), *body, layers.Dense(DIM)])


# Training


class Temperature(kc.layers.LearnableTemperature):
    """A temperature that can be frozen without compiling again: its gradient becomes zero."""

    def build(self, input_shape=None):
        super().build(input_shape)
        self.moves = self.add_weight(name="moves", shape=(), initializer="ones", trainable=False)

    @property
    def scale(self):
        still = ops.stop_gradient(self.log_scale)
        return ops.exp(still + self.moves * (self.log_scale - still))


class Trainee:
    """A model that is compiled once and can be trained many times.

    Args:
        make_loss: Function of a temperature.
        hidden: List of widths of the hidden layers.
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
        """Resets the weights and trains with a learning rate that decays along half a cosine."""
        for variable, value in zip(self.variables, self.start, strict=True):
            variable.assign(value)
        keras.utils.set_random_seed(seed)
        for view, fresh in self._towers().items():
            self.model.encoders[view].set_weights(fresh.get_weights())
        learned = temperature == LEARNABLE
        self.temperature.moves.assign(float(learned))
        self.temperature.log_scale.assign(-math.log(0.07 if learned else temperature))
        rng = np.random.default_rng(seed)
        for epoch in range(epochs):
            self.model.optimizer.learning_rate.assign(
                rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
            )
            self.epoch(rng.permutation(ITEMS).astype("int32"))

    def _fit(self, order):
        x = {view: z[order] for view, z in self.data["train"].items()}
        self.model.fit(x, order, self.batch_size, shuffle=False, verbose=0)

    def _compiled_epoch(self):
        import jax

        model, x = (
            self.model,
            {view: jax.numpy.asarray(z) for view, z in self.data["train"].items()},
        )
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
            state = epoch(
                [[v.value for v in part] for part in parts], order.reshape(-1, self.batch_size)
            )
            for part, values in zip(parts, state, strict=True):
                for variable, value in zip(part, values, strict=True):
                    variable.assign(value)

        return run

    def embed(self, split):
        x = self.data[split]
        return list(
            self.model.predict(x, batch_size=len(next(iter(x.values()))), verbose=0).values()
        )

    def search(self, split):
        """Returns the scores, the mean of both directions."""
        first, second = self.embed(split)
        found = [kc.evaluation.retrieval(*pair) for pair in ((first, second), (second, first))]
        return [float(np.mean([run[name] for run in found])) for name in SCORES]


def middle_rate(setting, batch_size):
    return RATES[setting] * math.sqrt(batch_size / 64)


def choose_best(trainee, choices, epochs, seeds):
    """Returns the (temperature, learning rate) with the best score on the validation families."""
    found = dict.fromkeys(choices, 0.0)
    for seed in range(TUNING_SEED, TUNING_SEED + seeds):
        for choice in choices:
            trainee.train(*choice, epochs, seed)
            found[choice] += trainee.search("validation")[0]
    return max(found, key=found.get)


def tune(trainee, temperatures, rates, epochs):
    """Returns the best learning rate at temperature 0.1, and the best temperature at that rate."""
    at = 0.1 if 0.1 in temperatures else temperatures[0]
    choice = choose_best(trainee, [(at, rate) for rate in rates], epochs, 2)
    if len(temperatures) == 1:
        return choice
    return choose_best(
        trainee, [(temperature, choice[1]) for temperature in temperatures], epochs, 2
    )


def with_error(values):
    values = np.asarray(values)
    return values.mean(), values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else float(
        "nan"
    )


# Comparison of losses


def compare(make_lines, setting, data, conditions, seeds, split, objective=None):
    """Prints the scores of each loss at fixed conditions, with a tuned learning rate.

    Args:
        make_lines: Function of a batch size. Returns a dict of functions of a temperature by name.
        setting: Name of the setting.
        data: Data of the setting.
        conditions: List of (temperature, batch size, epochs).
        seeds: Number of runs, besides the run that tunes the learning rate.
        split: Name of the searched split.
        objective: `None`, or a function of a temperature. It returns a loss over all items, which
            is reported as well.
    """
    found = {}
    for batch_size in sorted({batch_size for _, batch_size, _ in conditions}):
        for name, make_loss in make_lines(batch_size).items():
            trainee = Trainee(make_loss, HIDDEN[setting], data, batch_size)
            for condition in [condition for condition in conditions if condition[1] == batch_size]:
                temperature, _, epochs = condition
                rates = [factor * middle_rate(setting, batch_size) for factor in FACTORS["0.02"]]
                _, rate = choose_best(trainee, [(temperature, rate) for rate in rates], epochs, 1)
                runs = []
                for seed in range(seeds):
                    trainee.train(temperature, rate, epochs, seed)
                    run = trainee.search(split)[:1]
                    if objective is not None:
                        run.append(float(objective(temperature)(None, trainee.embed("train"))))
                    runs.append(run)
                found[name, condition] = [with_error(scores) for scores in np.transpose(runs)]
                numbers = ", ".join(
                    f"{mean:.4f} ± {error:.4f}" for mean, error in found[name, condition]
                )
                print(
                    f"{setting}, {name}, {condition}, learning rate {rate:.2g}: {numbers}",
                    flush=True,
                )
    measured = ["mean reciprocal rank", "loss over all training items"][
        : 1 if objective is None else 2
    ]
    for place, what in enumerate(measured):
        titles = [f"{temperature}, {batch}, {epochs}" for temperature, batch, epochs in conditions]
        print(
            f"\n{what}; temperature, batch size, epochs:\n\n| {setting} | "
            + " | ".join(titles)
            + " |"
        )
        print("| --- |" + " --- |" * len(conditions))
        for name in dict.fromkeys(name for name, _ in found):
            row = [found[name, condition][place] for condition in conditions]
            print(
                f"| {name} | "
                + " | ".join(f"{mean:.3f} ± {error:.3f}" for mean, error in row)
                + " |"
            )
    return found
