"""GammaContrastive, the contrastive loss with gamma-distributed weights."""

import math
from typing import Literal, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._draws import as_seed, gamma, hash_embeddings, hash_keys
from keras_contrastive._engine import Contrast
from keras_contrastive._typing import Config, Layer, LossArguments, Tensor
from keras_contrastive.losses._arguments import value_with_gradient_of
from keras_contrastive.losses._jackknife import jackknife
from keras_contrastive.losses._running_partition import RunningPartitionLoss


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GammaContrastive(RunningPartitionLoss):
    """Computes a contrastive loss whose gradient has less minibatch bias than that of InfoNCE.

    The contrastive loss of anchor i is `-s_i + log S_i`: the logit s_i of its positive, and the
    partition S_i, the mean of exp(logit) over *all* negatives. A minibatch contains few negatives,
    and the gradient of the log of a noisy mean is biased: hard negatives get too little weight. The
    Bayesian augmentation removes the logarithm. With u_i ~ Gamma(1, rate S_i), the identity
    `1 / S = integral of exp(-u S) du` turns the loss into `-s_i + u_i S_i`, a plain sum over
    negatives. Its minibatch gradient is unbiased for any batch size if u_i does not depend on the
    same batch.

    The rate is a running estimate of S_i:

    * With `num_items`, inside `ContrastiveTrainer` and with ids, the loss stores one estimate for
      each item and direction. It takes one float per item and direction, and is saved with the
      model.
    * Without `num_items`, in any Keras model, the rate is that of the batch. The jackknife, which
      leaves out each negative in turn, removes its bias of order 1 / batch.

    The *value* is the contrastive loss of the batch in nats. It does not depend on draws and rates,
    and is comparable with `InfoNCE`. Only the *gradient* is that of the augmented loss.
    `docs/results.md` compares the options. Do not clip gradients if logits have heavy tails.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities. With a learnable one, a stored estimate is adjusted to the current
            temperature to first order. This takes one more forward pass.
        num_items: `None`, or the number of items. Ids are in `[0, num_items)`. An item with another
            id counts as never seen, and nothing is stored for it.
        draws: Number of exponential draws that u_i averages. 1 is the plain augmentation. More
            draws have a smaller variance and the same optimum. `None` uses their mean, which is
            deterministic and the most robust choice: single draws diverge if logits have heavy
            tails.
        momentum: Share of the old estimate in the new one, in `[0, 1)`, or `"visits"`, which is
            1 - n**-0.7 at the n-th visit of an item. A constant follows a model that changes
            between visits, and leaves a share of 1 - momentum of the bias. `"visits"` leaves no
            bias for items that are seen hundreds of times. The first visit sets the estimate.
        rate: `"after"` divides by the estimate that includes the batch: stable, with weights of at
            most 1 / (1 - momentum), and a bias of a share of 1 - momentum. `"before"` has no such
            bias and needs `max_weight`. `"batch"` uses the batch alone and has the bias of InfoNCE,
            for comparison.
        include_positive: Whether the partition includes the positive, as in InfoNCE, or not, as in
            the decoupled loss. With infinitely many negatives there is no difference. A stored
            estimate is that of the negatives. The rate adds the positive as it is in this batch.
            An anchor with several positives has a partition, and a rate, for each of them.
        max_weight: Upper limit of the batch's partition divided by the estimate. `num_capped`
            counts how often it applied. `float("inf")` sets no limit.
        seed: Int, seed of the draws, or `None` to draw one from Python's `random`, which
            `keras.utils.set_random_seed` seeds. It is saved with the loss.
        all_views: Whether candidates come from all views, or the other view only. Use `False`
            across modalities.
        **kwargs: See `ContrastiveLoss`.

    Call arguments: see `ContrastiveLoss`. With `num_items`, a training step needs ids.

    Returns:
        Loss in nats: `log(batch - 1)` if all embeddings are equal (`log(batch)` with
        `include_positive`), and 0 for an anchor without negatives. It may be negative unless
        `include_positive`.

    Raises:
        ValueError: If a training step with `num_items` has no ids, the loss is neither built nor
            tracked, or an argument is out of range.

    Reference:
        - [Chen et al., 2022](https://openreview.net/forum?id=T1dhAPdS--), "Why do we need large
          batchsizes in contrastive learning? A gradient-bias perspective". The shape, rate and
          storage of u are choices of this implementation that satisfy the abstract. Shape 1 is the
          only one whose marginal is the contrastive likelihood. The jackknife is an addition.

    Example:

    >>> z = keras.ops.eye(4)
    >>> loss = GammaContrastive(temperature=1.0)
    >>> round(float(loss(None, (z, z))), 4)  # -1 + log(3)
    0.0986
    """

    def __init__(
        self,
        temperature: float | Layer = 0.1,
        num_items: int | None = None,
        draws: int | None = None,
        momentum: float | Literal["visits"] = 0.7,
        rate: Literal["after", "before", "batch"] = "after",
        include_positive: bool = False,
        max_weight: float = 20.0,
        seed: int | None = None,
        all_views: bool = False,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(num_items, momentum, max_weight, all_views, temperature, **kwargs)
        self.draws = _checks.optional_positive_int("draws", draws)
        self.rate = _checks.one_of("rate", rate, ("after", "before", "batch"))
        self.include_positive = include_positive
        self.seed = as_seed(seed)

    def per_direction(self, contrast: Contrast, training: bool | None) -> Tensor:
        log_sum = contrast.log_sum_negatives
        if self.include_positive:
            value = contrast.mean_softplus(log_sum)
        else:
            value = log_sum - contrast.positive_logit
        value = contrast.zero_where_invalid(value)
        if training is False:
            return value
        draws = ops.stop_gradient(self._draw(contrast))
        if self.num_items is None:
            log_partition = self._corrected(contrast, value)
            if self.state is not None:
                self.state.advance(num_capped=0)
        else:
            log_partition = self._divided_by_rate(contrast)
        # The gradient of u * S equals that of (u S, detached) * log S, which never overflows.
        surrogate = draws * log_partition - contrast.positive_logit
        return value_with_gradient_of(value, contrast.zero_where_invalid(surrogate))

    def _corrected(self, contrast: Contrast, value: Tensor) -> Tensor:
        """Returns the log-partition of the batch with the jackknife."""
        log_mean = contrast.log_sum_negatives - contrast.log_num_negatives
        if not self.include_positive:
            return jackknife(contrast, log_mean)
        # The positive counts as one of as many candidates as there are negatives.
        log_mean = value + contrast.positive_logit - contrast.log_num_negatives
        return jackknife(contrast, log_mean, with_positive=True)

    def _divided_by_rate(self, contrast: Contrast) -> Tensor:
        """Returns a value with the gradient of the partition divided by the detached rate."""
        # log of the mean over the negatives
        log_mean = contrast.log_sum_negatives - contrast.log_num_negatives
        before, after = self.update_estimates(
            contrast, log_mean, contrast.expected_logit, self.momentum
        )
        batch_rate = ops.stop_gradient(log_mean)
        rate = {"after": after, "before": before, "batch": batch_rate}[self.rate]
        weights = self.capped_weights(contrast, log_mean, rate)
        if not self.include_positive:
            return weights * log_mean
        # In a mean over all M negatives, an included positive has the weight 1 / M. The value is
        # log(rate + exp(logit) / M), and its gradient is that of the partition over that rate.
        threshold = ops.where(contrast.valid, rate, ops.zeros_like(rate))
        threshold = threshold + math.log(max((self.num_items or 2) - 1, 1))
        threshold = value_with_gradient_of(threshold, weights * log_mean)
        return contrast.mean_softplus(threshold) + contrast.positive_logit

    def _draw(self, contrast: Contrast) -> Tensor:
        if self.draws is None:
            return ops.ones_like(contrast.positive_logit)
        batch = contrast.batch
        if self.state is None:  # a plain model counts no steps, but its embeddings change
            embeddings = ops.concatenate(list(batch.views.values()), axis=-1)
            keys = hash_keys(self.seed, hash_embeddings(embeddings))
        else:
            keys = hash_keys(self.seed, self.state.step, batch.row_ids)
        return gamma(keys, self.draws, contrast.positive_logit.shape[1], self.dtype)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "draws": self.draws,
            "rate": self.rate,
            "include_positive": self.include_positive,
            "seed": self.seed,
        }
