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
from keras_contrastive.losses._running_partition import RunningPartitionLoss, share_of_the_batch
from keras_contrastive.losses._shared_rate import shrunk


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

    The rate is an estimate of S_i, in one of three ways:

    * One estimate for each direction, which all items share: in `ContrastiveTrainer`, or after
      `build()`. It needs no ids, and works for items that are seen once.
    * With `num_items` and ids: one estimate for each item and direction, of one float each.
    * In a plain `keras.Model`, which tracks no state: that of the batch. The jackknife, which
      leaves out each negative in turn, removes its bias of order 1 / batch.

    A stored estimate r is the mean of a gamma prior of strength a: u_i ~ Gamma(a, rate a r). With
    the partition P_i of the batch, u_i has the mean (a + 1) / (a r + P_i). The gradient of the
    batch's log-partition gets the weight (a + 1) P_i / (a r + P_i), which is below a + 1. The
    shared estimate maximizes the marginal likelihood of the prior, so the mean of the weights is 1.

    The *value* is the contrastive loss of the batch in nats. It does not depend on draws and rates,
    and is comparable with `InfoNCE`. Only the *gradient* is that of the augmented loss.
    `docs/results.md` compares the options. Do not clip gradients if logits have heavy tails.

    Args:
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the
            similarities. With a learnable one, the estimate of an item is adjusted to the current
            temperature to first order. This takes one more forward pass.
        num_items: `None`, or the number of items. Ids are in `[0, num_items)`. An item with another
            id counts as never seen, and nothing is stored for it.
        prior: Strength a of the prior, at least 0. 0 is `DecoupledContrastive`, which uses the
            batch alone and has its bias. A strong prior has less bias and more noise. A shared
            estimate also gives items with a large partition more weight. Use it for batches of up
            to about 16.
            `float("inf")` uses the estimate alone and does not limit the weights. `None` is
            momentum / (1 - momentum): the rate is then the estimate that includes this batch.
        momentum: Share of the old estimate in the new one, in `[0, 1)`, or `"visits"`, which is
            1 - n**-0.7 at the n-th visit of an item, or at step n for the shared estimate. A
            constant follows a model that changes between visits. With a `prior` of `None`, a
            constant leaves a share of 1 - momentum of the bias, and `"visits"` leaves none for
            items that are seen hundreds of times. The first visit sets the estimate.
        draws: Number of exponential draws that u_i averages. 1 is the plain augmentation. More
            draws have a smaller variance and the same optimum. `None` uses their mean, which is
            deterministic and the most robust choice: single draws diverge if logits have heavy
            tails.
        include_positive: Whether the partition includes the positive, as in InfoNCE, or not, as in
            the decoupled loss. With infinitely many negatives there is no difference. A stored
            estimate is that of the negatives. The rate adds the positive as it is in this batch:
            as one of `num_items`, or else as one of the candidates of the batch. An anchor with
            several positives has a partition, and a rate, for each of them.
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
          only one whose marginal is the contrastive likelihood. The prior and the jackknife are
          additions.

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
        prior: float | None = None,
        momentum: float | Literal["visits"] = 0.7,
        draws: int | None = None,
        include_positive: bool = False,
        seed: int | None = None,
        all_views: bool = False,
        **kwargs: Unpack[LossArguments],
    ) -> None:
        super().__init__(num_items, momentum, all_views, temperature, **kwargs)
        if prior is not None and prior != float("inf"):
            expected = "`None`, a number of at least 0, or `float('inf')`"
            prior = _checks.real("prior", prior, 0, expected=expected)
        self.prior = prior
        self.draws = _checks.optional_positive_int("draws", draws)
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
        if self.state is None:
            log_partition = self._corrected(contrast, value)
        else:
            log_partition = self._divided_by_rate(contrast)
            self.state.advance()
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
        log_mean = contrast.log_sum_negatives - contrast.log_num_negatives
        if self.num_items is None:
            estimate, share = self.update_shared_estimate(contrast, log_mean, self.prior)
            log_num_negatives = contrast.log_num_negatives
        else:
            estimate, _, momentum = self.update_estimates(
                contrast, log_mean, contrast.expected_logit, self.momentum
            )
            share = share_of_the_batch(self.prior, momentum)
            log_num_negatives = math.log(max(self.num_items - 1, 1))
        fresh = ops.stop_gradient(log_mean)
        rate = shrunk(estimate, fresh, share)
        gap = ops.where(contrast.valid, fresh - rate, ops.zeros_like(fresh))
        weighted = ops.exp(gap) * log_mean
        if not self.include_positive:
            return weighted
        # In a mean over M negatives, an included positive has the weight 1 / M. The value is
        # log(rate + exp(logit) / M), and its gradient is that of the partition over that rate.
        threshold = ops.where(contrast.valid, rate, ops.zeros_like(rate)) + log_num_negatives
        threshold = value_with_gradient_of(threshold, weighted)
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
            "prior": self.prior,
            "draws": self.draws,
            "include_positive": self.include_positive,
            "seed": self.seed,
        }
