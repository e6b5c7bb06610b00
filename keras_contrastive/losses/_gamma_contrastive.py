"""GammaContrastive, the contrastive loss with gamma-distributed weights."""

import math

import keras
import numpy as np
from keras import ops

from keras_contrastive._draws import as_seed, gamma, hash_embeddings, hash_keys
from keras_contrastive.losses._base import value_with_gradient_of
from keras_contrastive.losses._jackknife import jackknife
from keras_contrastive.losses._running_partition import RememberingLoss, check_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GammaContrastive(RememberingLoss):
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

    The defaults (`draws=None`, `rate="after"`, `momentum=0.7`, without the positive) follow from `docs/results.md`,
    "Half the batch" and the synthetic data that it begins with. On real data momenta from 0.5 to 0.7 and `"visits"` are
    within the errors of each other at a temperature of 0.05: `"visits"` is ahead with few epochs or large batches, 0.7
    at a temperature of 0.02; 0.9 and `rate="before"` are behind. Draws, and the positive in the partition, make no
    difference there. `DecoupledContrastive`, which remembers nothing, finds as much. Where an item is seen hundreds of
    times or more and negatives are fresh, `"visits"` is what reaches the optimum, and a constant momentum may do
    worse than `InfoNCE`. Do not clip gradients: that takes away what a heavy tail has to say.

    The *value* is the contrastive loss of the batch in nats, the same number whatever the draws and the
    rates, and comparable with `InfoNCE`'s. Only the *gradient* is that of the augmented loss.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities. A
            remembered rate belongs to the temperature at which it was estimated; with a learnable one it is
            read as it would be at the temperature of the day (to first order, at one more forward sweep).
        num_items: `None`, or the number of items: ids are in `[0, num_items)`. An item with another id
            is safe: it counts as never seen, and nothing is remembered of it.
        draws: How many exponential draws u_i averages: 1 is the plain augmentation, more have a smaller
            variance and the same optimum. `None` is their mean (deterministic expectation-maximization),
            the default, which is the most robust: single draws diverge where logits have heavy tails.
        momentum: Share of the old rate in the new one: in `[0, 1)`, or `"visits"`, which is 1 - n**-0.7 at an item's
            n-th visit. A constant follows a model that changes between the few visits of an epoch-wise training, and
            leaves a share of 1 - momentum of the bias; `"visits"` averages ever more of them and leaves none, for
            items that are seen hundreds of times. An item's first visit sets its rate.
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
        all_views: Whether an anchor's candidates are the rows of all views (but the anchor itself), or those of the
            other view only. For modalities, which may lie apart, the other is the right choice.
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`.
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
        all_views=False,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="gamma_contrastive",
        dtype=None,
    ):
        super().__init__(
            num_items,
            momentum,
            max_weight,
            all_views,
            temperature=temperature,
            symmetric=symmetric,
            normalize=normalize,
            memory=memory,
            reduction=reduction,
            name=name,
            dtype=dtype,
        )
        check_count("draws", draws, "how many gamma draws are averaged")
        if rate not in ("after", "before", "batch"):
            raise ValueError(
                f"`rate` must be 'after', 'before' or 'batch'. Received: rate={rate!r}."
            )
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise TypeError(f"`seed` must be an integer or `None`. Received: seed={seed!r}.")
        self.draws = draws
        self.rate = rate
        self.include_positive = include_positive
        self.seed = as_seed(seed)

    def per_direction(self, contrast, ids, training):
        log_count = contrast.log_num_negatives
        log_partition = contrast.negatives - log_count  # log of the mean over negatives, S / M
        # In the mean over M negatives in all, an included positive counts one M-th.
        log_population = math.log(max(self.num_items - 1, 1)) if self.num_items else log_count
        if self.include_positive:
            value = contrast.softplus(contrast.negatives)
            log_partition = (
                contrast.softplus(log_partition + log_population)
                + contrast.positive
                - log_population
            )
        else:
            value = contrast.negatives - contrast.positive
        value = contrast.or_zero(value)
        if training is False:
            return value
        weights = ops.stop_gradient(self._draw(contrast, ids))
        if self.num_items is None:
            log_partition = jackknife(contrast, log_partition)
            if self.state is not None:
                self.state.advance(num_capped=0)
        else:

            def slope():
                if not self.include_positive:
                    return contrast.expected_logit()
                share = ops.exp(contrast.positive - log_population - log_partition)
                return (1 - share) * contrast.expected_logit() + share * contrast.positive

            before, after = self.update_rates(contrast, ids, log_partition, slope, self.momentum)
            rate = {"after": after, "before": before, "batch": ops.stop_gradient(log_partition)}[
                self.rate
            ]
            weights = weights * self.capped_weights(contrast, log_partition, rate)
        # The gradient of u * S is that of (u S, detached) * log S: the same, and it never overflows.
        return value_with_gradient_of(
            value, contrast.or_zero(weights * log_partition - contrast.positive)
        )

    def _draw(self, contrast, ids):
        if self.draws is None:
            return ops.ones_like(contrast.positive)
        if self.state is None:  # a plain model: nothing counts the steps, but the weights move
            keys = hash_keys(self.seed, hash_embeddings(ops.concatenate(contrast.views, axis=-1)))
        else:
            keys = hash_keys(self.seed, self.state.step, contrast.rows if ids is None else ids)
        return gamma(keys, self.draws, contrast.positive.shape[1], self.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "draws": self.draws,
            "rate": self.rate,
            "include_positive": self.include_positive,
            "seed": self.seed,
        }
