"""Measures bias and noise of minibatch gradients against the gradient of all data at once.

Two small towers are trained to match the two drawings of 1,024 emoji, and then frozen. A linear map
on each side remains trainable. The script collects the gradient of each minibatch at fixed weights,
over many epochs. The full gradient is that of one batch with all items, of the same loss (with a
running partition: of the decoupled loss). It reports three numbers for each loss:

* bias: the norm of (mean minibatch gradient - full gradient) / the norm of the full gradient.
  Products of independent epochs estimate its square, so noise does not count as bias;
* noise: the root mean square deviation of one minibatch gradient from the mean, divided by the
  length of the mean along the full gradient;
* cosine: between the mean gradient of one epoch and the full gradient.

"oracle" divides by the exact partition of each item. No estimate can have less bias. "predicted" is
the bias of order 1/m of the decoupled loss: the gradient of -(E[w^2] - 1) / (2 m), where w is the
share of a negative in the partition, divided by its mean share, for draws without replacement.

    KERAS_BACKEND=jax python benchmarks/gradient_bias.py

Each cell is added to `gradient_bias.json`. A further run computes only the cells that are missing,
and writes the table and the figure again.
"""

import argparse
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import keras
import numpy as np
from gradient_report import draw, print_tables
from keras import ops

import keras_contrastive as kc
from keras_contrastive.extend import Contrast

ITEMS = 1024
DIM = 32
WARM_UP = 20  # epochs, until running partitions match the features
VISITS = {"momentum": "visits"}


class Oracle(kc.losses.ContrastiveLoss):
    """Has the gradient of the partition of the batch, divided by the exact one of each item."""

    def __init__(self, temperature, log_partitions):
        super().__init__(temperature)
        self.log_partitions = log_partitions

    def per_direction(self, contrast, training):
        log_mean = contrast.log_sum_negatives - contrast.log_num_negatives
        exact = ops.take(ops.convert_to_tensor(self.log_partitions), contrast.batch.ids, axis=0)
        weights = ops.exp(ops.stop_gradient(log_mean) - exact)
        return weights * log_mean - contrast.positive_logit


class WeightSpread(kc.losses.ContrastiveLoss):
    """Computes (E[w^2] - 1) / 2. Its gradient predicts the bias of order 1/m."""

    def per_direction(self, contrast, training):
        twice = Contrast(contrast.batch, contrast.directions, 2 / self.temperature)
        log_spread = twice.log_sum_negatives - 2 * contrast.log_sum_negatives
        return 0.5 * ops.exp(log_spread + contrast.log_num_negatives)


def estimators(temperature, x):
    """Returns the losses by name."""
    t = {"temperature": temperature}

    def gamma(**kwargs):
        return kc.losses.GammaContrastive(**t, **kwargs)

    return {
        "InfoNCE": kc.losses.InfoNCE(**t),
        "decoupled": kc.losses.DecoupledContrastive(all_views=False, **t),
        "jackknife": kc.losses.DecoupledContrastive(
            all_views=False, bias_correction="jackknife", **t
        ),
        "global, visits": kc.losses.GlobalContrastive(
            ITEMS, max_weight=float("inf"), **VISITS, **t
        ),
        "gamma, per item, 0.7": gamma(num_items=ITEMS),
        "gamma, per item, visits": gamma(num_items=ITEMS, **VISITS),
        "gamma, shared": gamma(),
        "gamma, shared, visits": gamma(**VISITS),
        "oracle": Oracle(temperature, exact_log_partitions(temperature, x)),
    }


def exact_log_partitions(temperature, x):
    """Returns the log of the mean of exp(logit) over all other items, `(items, directions)`."""
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in x.values())
    logits = (a @ b.T).astype("float64") / temperature
    np.fill_diagonal(logits, -np.inf)
    sums = [np.logaddexp.reduce(logits, axis=axis) for axis in (1, 0)]
    return (np.stack(sums, axis=1) - math.log(len(a) - 1)).astype("float32")


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


def gradients(loss, x, batch_size, epochs, warm_up=0):
    """Returns the mean gradient of each epoch, and the mean squared norm of a gradient."""
    loss.build()
    state = [variable.value for variable in loss.non_trainable_variables]
    features = {name: jnp.asarray(z) for name, z in x.items()}
    heads = {name: jnp.eye(DIM) for name in x}
    rng, steps = np.random.default_rng(1), ITEMS // batch_size

    def step(carry, ids):
        def value(heads):
            views = {name: z[ids] @ heads[name] for name, z in features.items()}
            return loss.stateless_call([], carry[0], ids, views, training=True)

        found, state = jax.grad(value, has_aux=True)(heads)
        found = jnp.concatenate([part.ravel() for part in found.values()])
        return (state, carry[1] + found, carry[2] + found @ found), None

    @jax.jit
    def epoch(state, batches):
        start = (state, jnp.zeros(len(x) * DIM**2), jnp.zeros(()))
        return jax.lax.scan(step, start, batches)[0]

    means, squares = [], 0.0
    for index in range(-warm_up, epochs):
        batches = rng.permutation(ITEMS).astype("int32").reshape(steps, batch_size)
        state, total, squared = epoch(state, batches)
        if index >= 0:
            means.append(np.asarray(total, "float64") / steps)
            squares += float(squared) / steps / epochs
    return np.array(means), squares


def full_gradient(name, temperature, x, known):
    """Returns the gradient for all data at once. `known` keeps it for the next batch size."""
    loss = estimators(temperature, x)[name]
    if not isinstance(loss, (kc.losses.InfoNCE, kc.losses.DecoupledContrastive)):
        name = "decoupled"  # the loss with the partitions over all data
        loss = estimators(temperature, x)[name]
    if (name, temperature) not in known:
        known[name, temperature] = gradients(loss, x, ITEMS, 1)[0][0]
    return known[name, temperature]


def measure(name, temperature, batch_size, epochs, x, known):
    """Returns bias, length of the mean along the full gradient, noise and cosine as a dict."""
    full = full_gradient(name, temperature, x, known)
    length = np.linalg.norm(full)
    loss = estimators(temperature, x)[name]
    warm_up = WARM_UP if name.startswith(("gamma", "global")) else 0
    means, squared = gradients(loss, x, batch_size, epochs, warm_up)
    bias, error = norm_of_mean((means - full) / length)
    mean = means.mean(axis=0)
    cosines = means @ full / (np.linalg.norm(means, axis=1) * length)
    return {
        "bias": bias,
        "bias_error": error,
        "length": mean @ full / length**2,
        "noise": math.sqrt(max(squared - mean @ mean, 0.0)) * length / (mean @ full),
        "cosine": cosines.mean(),
        "cosine_error": cosines.std(ddof=1) / math.sqrt(epochs),
    }


def predicted_bias(temperature, batch_size, x, known):
    """Returns the predicted bias of the decoupled loss, and how partitions differ, as a dict."""
    full = full_gradient("decoupled", temperature, x, known)
    if ("spread", temperature) not in known:
        known["spread", temperature] = gradients(WeightSpread(temperature), x, ITEMS, 1)[0][0]
    spread = known["spread", temperature]
    negatives = batch_size - 1
    share = (1 - (negatives - 1) / (ITEMS - 2)) / negatives
    return {
        "bias": share * np.linalg.norm(spread) / np.linalg.norm(full),
        "log_partition_std": exact_log_partitions(temperature, x).std(axis=0).mean(),
    }


def norm_of_mean(vectors):
    """Estimates the norm of the mean of independent vectors, and its error, from pair products."""
    count = len(vectors)
    total = vectors.sum(axis=0)
    products = vectors @ total - np.sum(vectors**2, axis=1)  # of each with all others
    products /= count - 1
    # Each product is in the mean twice, so the error of the mean of the products is doubled.
    squared, error = products.mean(), 2 * products.std(ddof=1) / math.sqrt(count)
    size = math.sqrt(max(squared, 0.0))
    return size, math.sqrt(size**2 + error) - size


def compute(arguments, path):
    """Returns the cells of the file by "temperature, batch size, loss", after adding new ones."""
    cells = json.loads(path.read_text()) if path.exists() else {}
    x, known = None, {}
    for temperature in arguments.temperature:
        for batch_size in arguments.batch_size:
            for name in arguments.losses:
                key = f"{temperature:g}, {batch_size}, {name}"
                if key in cells:
                    continue
                if x is None:
                    x = fixed_features(1 if arguments.quick else 10)
                if name == "decoupled, predicted":
                    found = predicted_bias(temperature, batch_size, x, known)
                else:
                    found = measure(name, temperature, batch_size, arguments.epochs, x, known)
                cells[key] = {part: round(float(value), 5) for part, value in found.items()}
                path.write_text(json.dumps(cells, indent=1) + "\n")
    return cells


def main():
    names = [
        "InfoNCE",
        "decoupled",
        "jackknife",
        "global, visits",
        "gamma, per item, 0.7",
        "gamma, per item, visits",
        "gamma, shared",
        "gamma, shared, visits",
        "oracle",
        "decoupled, predicted",
    ]
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.05, 0.1, 0.3])
    parser.add_argument("--batch-size", type=int, nargs="+", default=[8, 16, 64, 256])
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each cell, at least 2")
    parser.add_argument("--losses", nargs="+", choices=names, metavar="NAME", default=names)
    parser.add_argument(
        "--quick", action="store_true", help="one temperature, two batch sizes, few epochs"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder of the files"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.temperature, arguments.batch_size, arguments.epochs = [0.1], [64, 256], 12
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = "gradient_bias_quick" if arguments.quick else "gradient_bias"
    cells = compute(arguments, arguments.out / f"{stem}.json")
    shape = (arguments.temperature, arguments.batch_size, arguments.losses)
    print_tables(cells, *shape)
    draw(cells, *shape, arguments.out / f"{stem}.png")


if __name__ == "__main__":
    main()
