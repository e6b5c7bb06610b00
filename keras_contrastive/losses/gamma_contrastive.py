"""GammaContrastive, the contrastive loss with gamma-distributed weights."""

import math
import random
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive.losses.base import ContrastiveLoss
from keras_contrastive.losses.draws import gamma_draws, hash_embeddings, hash_keys
from keras_contrastive.losses.item_rates import ItemRates, mean_by_id
from keras_contrastive.losses.jackknife import jackknife


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GammaContrastive(ContrastiveLoss):
    """The contrastive loss, with the gradient that small batches bias put right.

    The contrastive loss of anchor i is `-s_i + log S_i`: the logit of its positive, and the partition
    S_i, a mean of exp(logit) over *all* negatives. A minibatch knows few of them, and the gradient of
    the logarithm of a noisy mean is biased: hard negatives are under-weighted. The Bayesian augmentation
    removes the logarithm. With u_i ~ Gamma(1, rate S_i), the identity `1 / S = integral of exp(-u S) du`
    turns the loss into `-s_i + u_i S_i`, which is a plain sum over negatives: its minibatch gradient is
    unbiased for any batch size, provided that u_i does not come from the same batch.

    Hence a rate, the running estimate of S_i, is remembered for each item and direction:

    * With `num_items`, inside `ContrastiveTrainer`, and with ids: the remembered rate. Its memory
      is one float for each item and direction, saved with the model.
    * Without, in any Keras model: the rate of this batch, whose bias of order 1 / batch is removed by
      the jackknife (each negative left out in turn).

    The defaults (`draws=None`, `rate="after"`, `momentum=0.7`) are the stable choices among those that measured alike:
    `benchmarks/gamma_defaults.py --epochs 15 --batch-size 32` (PyTorch) gave R@10 0.573 so, 0.563 with `draws=1`,
    0.582 with 8, 0.565 and 0.585 with `momentum` 0.5 and 0.9, 0.588 with `include_positive` (standard errors 0.006 to
    0.020), against 0.560 for `InfoNCE`, 0.539 with `rate="before"`, 0.520 without `num_items` and 0.509 with
    `rate="batch"`.

    The *value* is the contrastive loss of the batch in nats, the same number whatever the draws and the
    rates, and comparable with `InfoNCE`'s. Only the *gradient* is that of the augmented loss.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities. A
            remembered rate belongs to the temperature at which it was estimated and follows a moving
            one with a lag of about 1 / (1 - momentum) visits.
        num_items: `None`, or the number of items: ids are in `[0, num_items)`. An item with another id
            is safe: it counts as never seen, and nothing is remembered of it.
        draws: How many exponential draws u_i averages: 1 is the plain augmentation, more have a smaller
            variance and the same optimum. `None` is their mean (deterministic expectation-maximisation),
            the default, which is the most robust: single draws diverge where logits have heavy tails.
        momentum: In `[0, 1)`, share of the old rate in the new one. An item's first visit sets its rate.
        rate: `"after"` weighs a batch by the rate that already contains it: stable, weights are at most
            1 / (1 - momentum), and the bias that this brings back is a share of 1 - momentum. `"before"`
            is free of it, and needs `max_weight`. `"batch"` uses this batch alone, which has all of
            InfoNCE's bias and exists to show it.
        include_positive: Whether the positive is part of the partition, as in InfoNCE, or not, as in
            the decoupled loss. With infinitely many negatives it makes no difference.
        max_weight: Cap of exp(log S of the batch - log-rate), against a rate that lags far behind. Caps
            are counted: see `num_capped`.
        seed: Int, seed of the draws. By default drawn from Python's `random`, which
            `keras.utils.set_random_seed` seeds. Saved with the loss.
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32.

    Call arguments: see `ContrastiveLoss`. With `num_items`, a training step needs ids.

    Returns:
        Nats. `log(batch - 1)` when all embeddings coincide (`log(batch)` with `include_positive`);
        zero for an anchor without negatives. It may be negative unless `include_positive`.

    Raises:
        ValueError: A training step with `num_items` but without ids, or by someone who neither builds
            the loss nor says `training`; arguments out of range.

    Reference:
        [Chen et al., 2022](https://openreview.net/forum?id=T1dhAPdS--), "Why do we need large batchsizes
        in contrastive learning? A gradient-bias perspective". It satisfies all that the abstract states;
        shape, rate and memory of u are our choices (shape 1 is the only one whose marginal is the
        contrastive likelihood), and the jackknife is ours.

    Example:

    >>> embeddings = keras.ops.eye(4)
    >>> loss = GammaContrastive(temperature=1.0)
    >>> round(float(loss(None, (embeddings, embeddings))), 4)  # -1 + log(3)
    0.0986
    """

    def __init__(
        self,
        temperature=0.1,
        num_items=None,
        draws=None,
        momentum=0.7,
        rate="after",
        include_positive=False,
        max_weight=20.0,
        seed=None,
        symmetric=True,
        normalize=True,
        reduction="sum_over_batch_size",
        name="gamma_contrastive",
        dtype=None,
    ):
        super().__init__(temperature, symmetric, normalize, reduction, name, dtype)
        _check_count("num_items", num_items, "the number of items")
        _check_count("draws", draws, "how many gamma draws are averaged")
        if not 0 <= momentum < 1:
            raise ValueError(
                "`momentum` must be in [0, 1), the share of the old rate in the new one. "
                f"Received: momentum={momentum}."
            )
        if rate not in ("after", "before", "batch"):
            raise ValueError(f"`rate` must be 'after', 'before' or 'batch'. Received: rate={rate!r}.")
        if not max_weight >= 1:
            raise ValueError(f"`max_weight` must be at least 1. Received: max_weight={max_weight}.")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise TypeError(f"`seed` must be an integer or `None`. Received: seed={seed!r}.")
        self.num_items = num_items
        self.draws = draws
        self.momentum = momentum
        self.rate = rate
        self.include_positive = include_positive
        self.max_weight = max_weight
        self.seed = random.randrange(2**31) if seed is None else seed
        self.state: Any = None  # `ItemRates`, once built

    @property
    def layers(self):
        return [*super().layers, *([self.state] if self.state is not None else [])]

    @property
    def num_capped(self):
        """How many weights `max_weight` has capped so far, as int; 0 where nothing is remembered."""
        return 0 if self.state is None else int(ops.convert_to_numpy(self.state.num_capped))

    def build(self, num_directions=2):
        super().build(num_directions)
        if self.state is None:
            self.state = ItemRates(self.num_items or 0, num_directions, name="item_rates")
            self.state.build()
        elif self.num_items and self.state.num_directions != num_directions:
            raise ValueError(
                f"This loss remembers rates for {self.state.num_directions} directions and cannot serve "
                f"{num_directions}. Give each model a loss of its own."
            )

    def call(self, y_true, y_pred, training=None, pairs=None):
        if self.num_items and self.state is None:
            raise ValueError(
                "`GammaContrastive(num_items=...)` remembers a rate for each item, which a plain `keras.Model` neither "
                "tracks nor saves. Compile a `keras_contrastive.ContrastiveTrainer` with it, leave `num_items` out, or "
                "call `build()` and pass `training` in a loop of your own."
            )
        return super().call(y_true, y_pred, training=training, pairs=pairs)

    def per_direction(self, contrast, ids, training):
        valid = contrast.valid
        value = contrast.softplus(contrast.negatives)
        log_count = ops.log(ops.maximum(contrast.num_negatives, 1))
        log_partition = contrast.negatives - log_count  # log of the mean over negatives, S / M
        if self.include_positive:
            # In the mean over M negatives in all, the positive counts one M-th.
            log_population = math.log(max(self.num_items - 1, 1)) if self.num_items else log_count
            log_partition = contrast.softplus(log_partition + log_population) + contrast.positive - log_population
        else:
            value = contrast.negatives - contrast.positive
        value = ops.where(valid, value, ops.zeros_like(value))
        if training is False:
            return value
        if self.num_items is None:
            log_partition = jackknife(contrast, log_partition)
            weights = self._draw(contrast, ids)
            if self.state is not None:
                self.state.advance(num_capped=0)
        else:
            weights = self._draw(contrast, ids) * self._weights(ops.stop_gradient(log_partition), valid, ids)
        # The gradient of u * S is that of (u S, detached) * log S: the same, and it never overflows.
        surrogate = ops.stop_gradient(weights) * log_partition - contrast.positive
        surrogate = ops.where(valid, surrogate, ops.zeros_like(surrogate))
        return ops.stop_gradient(value) + (surrogate - ops.stop_gradient(surrogate))

    def _draw(self, contrast, ids):
        if self.draws is None:
            return ops.ones_like(contrast.positive)
        if self.state is None:  # a plain model: nothing counts the steps, but the weights move
            keys = hash_keys(self.seed, hash_embeddings(ops.concatenate(contrast.views, axis=-1)))
        else:
            ids = ops.arange(ops.shape(contrast.positive)[0], dtype="int32") if ids is None else ids
            keys = hash_keys(self.seed, self.state.step, ids)
        return gamma_draws(keys, self.draws, contrast.positive.shape[1], self.dtype)

    def _weights(self, fresh, valid, ids):
        """S of the batch over the remembered rate, and remember."""
        if ids is None:
            raise ValueError(
                "`GammaContrastive(num_items=...)` looks up a rate for each item, and this training step has no ids. "
                "Pass integer ids as `y` (`fit` makes them itself only for arrays of exactly `num_items` rows), "
                "or leave `num_items` out."
            )
        old = self.state.read(ids)
        of_item = mean_by_id(ids, ops.where(valid, fresh, ops.full_like(fresh, float("-inf"))))
        # An item not seen yet starts with this batch; a batch without negatives says nothing of an item.
        old = ops.where(old > float("-inf"), old, of_item)
        of_item = ops.where(of_item > float("-inf"), of_item, old)
        log_momentum = math.log(self.momentum) if self.momentum else float("-inf")
        new = ops.logaddexp(old + log_momentum, of_item + math.log1p(-self.momentum))
        rate = {"after": new, "before": old, "batch": fresh}[self.rate]
        gap = ops.where(valid, fresh - rate, ops.zeros_like(fresh))
        too_far = gap > math.log(self.max_weight)
        self.state.write(ids, new)
        self.state.advance(ops.sum(ops.cast(too_far, "int32")))
        return ops.exp(ops.where(too_far, ops.full_like(gap, math.log(self.max_weight)), gap))

    def get_config(self):
        return {
            **super().get_config(),
            "num_items": self.num_items,
            "draws": self.draws,
            "momentum": self.momentum,
            "rate": self.rate,
            "include_positive": self.include_positive,
            "max_weight": self.max_weight,
            "seed": self.seed,
        }


def _check_count(name, value, meaning):
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"`{name}` must be `None` or a positive integer, {meaning}. Received: {name}={value!r}.")
    if value < 1:
        raise ValueError(f"`{name}` must be positive, {meaning}. Received: {name}={value}.")
