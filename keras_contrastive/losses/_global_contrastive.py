"""GlobalContrastive, the loss over all data with a moving average of each item's partition."""

import math

import keras
from keras import ops

from keras_contrastive.losses._base import value_with_gradient_of
from keras_contrastive.losses._running_partition import RememberingLoss, check_count


@keras.saving.register_keras_serializable(package="keras_contrastive")
class GlobalContrastive(RememberingLoss):
    """SogCLR: the decoupled loss over all data, whose gradient weighs a batch by a remembered partition.

    Each item and direction has a moving average u of its partition, the mean of exp(logit - positive's logit) over
    its negatives. The gradient is that of (mean of this batch) / u in place of its logarithm, so that it is exact as
    the averages settle, whatever the batch. `GammaContrastive` with `draws=None` is its sibling, whose average leaves
    the positive out. It needs ids and `ContrastiveTrainer`.

    Args:
        num_items: Positive int, the number of items: ids are in `[0, num_items)`. An item with another id
            is safe: it counts as never seen, and nothing is remembered of it.
        temperature: Positive float, or a `kc.layers.LearnableTemperature`. Divides the similarities.
            With a learnable one, a remembered average is read as it would be at the temperature of the day.
        momentum: In `[0, 1)`, share of the old average in the new one (SogCLR's gamma is its complement), or
            `"visits"`, which is 1 - n**-0.7 at an item's n-th visit. An item's first visit sets its average.
            The default, mostly the batch at hand, found most on real data (`docs/results.md`, "Half the batch");
            `"visits"` is the one that reaches the optimum where an item is seen hundreds of times.
        momentum_steps: `None` for a constant momentum, or a positive int: it rises from 0 to `momentum` along half a
            cosine in so many steps. FastCLIP's advice is half of the training, and a `momentum` of 0.8.
        max_weight: Cap of the partition of the batch over its average. Caps are counted: see `num_capped`.
        all_views: Whether an anchor's candidates are the rows of all views (but the anchor itself), or those of the
            other view only. SogCLR has all for images, and the other for image and text.
        symmetric: Whether both views of a pair are anchors in turn, or the first view only.
        normalize: Whether the similarity is the cosine, or the plain inner product.
        memory: `None`, or a `kc.layers.EmbeddingQueue`.
        reduction: See `keras.losses.Loss`.
        name: Name of the loss.
        dtype: Dtype of the computation, at least float32.

    Call arguments: see `ContrastiveLoss`. A training step needs ids.

    Returns:
        Nats, and below zero where positives are recognized: log of the *mean* over the negatives of this batch,
        less the positive's logit. Zero when all embeddings coincide, and for an anchor without negatives.
        (The papers multiply by the temperature.)

    Raises:
        ValueError: A training step without ids, or by someone who neither builds the loss nor says `training`.

    Reference:
        - [Yuan et al., 2022](https://arxiv.org/abs/2202.12387), Alg. 1.
        - [Wei et al., 2024](https://arxiv.org/abs/2407.01445), Sec. 4, the cosine schedule.

    Example:

    >>> embeddings = keras.ops.eye(4)
    >>> loss = GlobalContrastive(num_items=4, temperature=1.0)
    >>> loss.build()
    >>> round(float(loss(np.arange(4), (embeddings, embeddings), training=True)), 4)  # log(1) - 1
    -1.0
    """

    def __init__(
        self,
        num_items,
        temperature=0.1,
        momentum=0.1,
        momentum_steps=None,
        max_weight=20.0,
        all_views=False,
        symmetric=True,
        normalize=True,
        memory=None,
        reduction="sum_over_batch_size",
        name="global_contrastive",
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
        if num_items is None:
            raise ValueError(
                "`num_items` must be the number of items: this loss cannot do without their memory."
            )
        check_count("momentum_steps", momentum_steps, "in how many steps the momentum rises")
        if momentum == "visits" and momentum_steps is not None:
            raise ValueError(
                "A momentum of 'visits' has a schedule of its own: `momentum_steps` must be `None`. "
                f"Received: momentum_steps={momentum_steps}."
            )
        self.momentum_steps = momentum_steps

    def per_direction(self, contrast, ids, training):
        value = contrast.or_zero(
            contrast.negatives - contrast.log_num_negatives - contrast.positive
        )
        if training is False:
            return value
        _, rate = self.update_rates(
            contrast,
            ids,
            value,
            lambda: contrast.expected_logit() - contrast.positive,
            self._momentum_of_the_step(),
        )
        weights = self.capped_weights(contrast, value, rate)
        # The gradient of exp(value) / u is that of (exp(value) / u, detached) * value.
        return value_with_gradient_of(value, weights * value)

    def _momentum_of_the_step(self):
        if self.momentum_steps is None:
            return self.momentum
        progress = ops.minimum(ops.cast(self.state.step, "float32") / self.momentum_steps, 1.0)
        return self.momentum * (1 - ops.cos(math.pi * progress)) / 2

    def get_config(self):
        return {**super().get_config(), "momentum_steps": self.momentum_steps}
