"""Trains many small pairs of towers at once, with the losses of the library, on JAX.

Such small steps are dominated by overhead. So all steps of all runs are one compiled program: a
loop over the steps, mapped over the runs. On a CPU, convolutions in such a loop take five to ten
times as long, so towers on pixels run one step a call.
"""

import functools
import math

import jax
import keras
import numpy as np

OUTPUTS = 64
RUNS = {"linear": 5, "hidden": 5, "pixels": 3}  # that are trained at once


def linear():
    return keras.Sequential([keras.layers.Dense(OUTPUTS, use_bias=False)])


def hidden():
    return keras.Sequential(
        [keras.layers.Dense(256, "relu"), keras.layers.Dense(OUTPUTS, use_bias=False)]
    )


def convolutional():
    """A small network on pixels. Each block halves the height and the width."""
    layers = [keras.layers.Rescaling(1 / 255)]
    for width in (16, 32, 64, 128):
        layers += [
            keras.layers.Conv2D(width, 3, strides=2, padding="same"),
            keras.layers.GroupNormalization(8),
            keras.layers.ReLU(),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(OUTPUTS)])


TOWERS = {"linear": linear, "hidden": hidden, "pixels": convolutional}


class Runs:
    """Trains with one loss and one batch size, at several rates, temperatures and seeds at once.

    Args:
        loss: A loss of the library with `temperature=1.0` and `normalize=False`. The embeddings
            that it gets are unit vectors divided by the square root of the temperature.
        tower: Name of the towers.
        data: A `Data`.
        batch_size: Positive int.
        samples: Number of pairs that each run sees.
        fraction: Share of the training concepts. Each seed has other ones. Those of a smaller share
            are among those of a larger one.
    """

    def __init__(self, loss, tower, data, batch_size, samples, fraction=1.0):
        self.loss, self.data, self.batch_size, self.fraction = loss, data, batch_size, fraction
        self.make_tower = TOWERS[tower]
        self.at_once = RUNS[tower]
        self.num_steps = max(1, samples // batch_size)
        self.inputs = [jax.numpy.asarray(data.first)]
        self.inputs.append(
            self.inputs[0] if data.second is data.first else jax.numpy.asarray(data.second)
        )
        self.towers = self._fresh_towers(0)
        loss.build()
        if tower == "pixels":
            step = jax.jit(functools.partial(_step, loss, self.towers, self.num_steps))
            self._train = functools.partial(_train_by_steps, loss, step)
        else:
            one = functools.partial(_train, loss, self.towers)
            self._train = jax.jit(jax.vmap(one, (None, 0, 0, 0, 0, 0)))

    def train(self, rates, temperatures, seeds):
        """Returns the weights of the towers after training: a list of arrays `(runs, ...)`.

        Args:
            rates, temperatures, seeds: One number for each of `at_once` runs.
        """
        starts = [self._start(seed) for seed in seeds]
        starts = [np.stack(weights) for weights in zip(*starts, strict=True)]
        orders = {seed: self._order(seed) for seed in set(seeds)}
        rows, ids = (np.stack([orders[seed][part] for seed in seeds]) for part in (0, 1))
        scalars = np.array(rates, "float32"), np.array(temperatures, "float32")
        return self._train(self.inputs, starts, *scalars, rows, ids)

    def embed(self, weights, split):
        """Returns the embeddings of both views, `(runs, concepts, OUTPUTS)`, and the families."""
        rows, families = self.data.items(split)
        embeddings = []
        for view, tower in enumerate(self.towers):
            count = len(tower.variables)
            own = weights[view * count : (view + 1) * count]
            x = self.inputs[view][rows[:, view]]
            found = [_unit(tower, [w[run] for w in own], x) for run in range(len(own[0]))]
            embeddings.append(np.stack(found))
        return embeddings, families

    def _start(self, seed):
        towers = self._fresh_towers(seed)
        weights = [np.array(v) for tower in towers for v in tower.trainable_variables]
        return weights + [np.array(v) for v in self.loss.trainable_variables]

    def _fresh_towers(self, seed):
        keras.utils.set_random_seed(seed)
        towers = [self.make_tower(), self.make_tower()]
        for tower, x in zip(towers, self.inputs, strict=True):
            tower.build((None, *x.shape[1:]))
        return towers

    def _order(self, seed):
        """Returns the rows `(steps, batch, 2)` and ids `(steps, batch)`: new pairs each epoch."""
        rng = np.random.default_rng(seed)
        rows, ids = [], []
        while sum(map(len, ids)) < self.num_steps:
            pairs, _ = self.data.items("train", int(rng.integers(2**31)))
            if self.fraction < 1:
                chosen = np.random.default_rng([seed, 1]).permutation(len(pairs))
                pairs = pairs[chosen[: round(self.fraction * len(pairs))]]
            order = rng.permutation(len(pairs))
            order = order[: len(order) // self.batch_size * self.batch_size]
            ids.append(order.reshape(-1, self.batch_size))
            rows.append(pairs[order].reshape(-1, self.batch_size, 2))
        rows, ids = (np.concatenate(x)[: self.num_steps].astype("int32") for x in (rows, ids))
        return rows, ids


def _unit(tower, weights, x):
    z = tower.stateless_call(weights, [], x)[0]
    return z * jax.lax.rsqrt(jax.numpy.maximum(jax.numpy.sum(z**2, -1, keepdims=True), 1e-12))


def _train(loss, towers, inputs, start, rate, temperature, rows, ids):
    """Trains one run of a loss on pairs."""
    step = functools.partial(_step, loss, towers, len(rows), inputs, rate, temperature)
    return _scan(step, _first_carry(start, _state(loss)), (rows, ids))


def _train_by_steps(loss, step, inputs, starts, rates, temperatures, rows, ids):
    """Trains one run after the other, with a compiled step."""
    trained = []
    for run, (rate, temperature) in enumerate(zip(rates, temperatures, strict=True)):
        carry = _first_carry([start[run] for start in starts], _state(loss))
        for number, batch in enumerate(zip(rows[run], ids[run], strict=True)):
            carry = step(inputs, rate, temperature, carry, (np.float32(number), batch))
        trained.append(carry[0])
    return [np.stack(weights) for weights in zip(*trained, strict=True)]


def _step(loss, towers, num_steps, inputs, rate, temperature, carry, numbered):
    split = len(towers[0].trainable_variables)

    def objective(weights, state, batch):
        pairs, items = batch
        parts = weights[:split], weights[split : 2 * split]
        views = [
            _unit(tower, part, x[pairs[:, view]]) / jax.numpy.sqrt(temperature)
            for view, (tower, part, x) in enumerate(zip(towers, parts, inputs, strict=True))
        ]
        return loss.stateless_call(weights[2 * split :], state, items, views, training=True)

    return _adam(objective, num_steps, rate, carry, numbered)


def optimize(objective, start, state, rate, batches):
    """Returns the weights after Adam with a warm-up of 5 % and half a cosine.

    Args:
        objective: Function of weights, state and a batch. It returns a loss and the new state.
        start: List of weights.
        state: List of arrays, the state of the loss.
        rate: The highest learning rate.
        batches: Array whose first axis has the steps.
    """
    step = functools.partial(_adam, objective, len(batches), rate)
    return _scan(step, _first_carry(start, state), batches)


def _scan(step, carry, batches):
    """Returns the weights after one step for each entry of the first axis of `batches`."""
    numbers = jax.numpy.arange(len(jax.tree.leaves(batches)[0]), dtype="float32")
    return jax.lax.scan(lambda *both: (step(*both), None), carry, (numbers, batches))[0][0]


def _state(loss):
    return [jax.numpy.asarray(v.value) for v in loss.non_trainable_variables]


def _first_carry(start, state):
    """Returns weights, the two means of Adam, and the state of the loss."""
    weights = [jax.numpy.asarray(w) for w in start]
    zeros = [jax.numpy.zeros_like(w) for w in weights]
    return weights, zeros, zeros, list(state)


def _adam(objective, num_steps, rate, carry, numbered):
    np_ = jax.numpy
    weights, mean, square, state = carry
    number, batch = numbered
    (_, state), gradients = jax.value_and_grad(objective, has_aux=True)(weights, state, batch)
    mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradients, strict=True)]
    square = [0.98 * s + 0.02 * g**2 for s, g in zip(square, gradients, strict=True)]
    factor = np_.minimum(1.0, (number + 1) / (0.05 * num_steps))
    factor = rate * factor * (1 + np_.cos(math.pi * number / num_steps)) / 2
    unbiased = 1 - 0.9 ** (number + 1), 1 - 0.98 ** (number + 1)
    weights = [
        w - factor * (m / unbiased[0]) / (np_.sqrt(s / unbiased[1]) + 1e-8)
        for w, m, s in zip(weights, mean, square, strict=True)
    ]
    return weights, mean, square, list(state)
