"""Image-text matching: tell pairs from hard negatives."""

from typing import Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._draws import as_seed, hash_keys, uniform
from keras_contrastive._engine import largest_negatives
from keras_contrastive._keras import EVALUATION_STEP, finish_build, replicated_weight
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ImageTextMatching(keras.layers.Layer):
    """Draws hard negatives and classifies fused image-text pairs as matching or not.

    For each image, one negative text is drawn, and for each text, one negative image. Their
    probabilities are the softmax of the similarities over all rows with another id.

    A draw depends only on the seed, the step (a weight of the layer), the row and the candidate. It
    is the same on every backend, on any number of replicas, and after a resume.

    Args:
        weight: Non-negative float. The trainer multiplies the matching loss with it. 0 switches the
            loss off.
        seed: Integer, or `None` to draw one from Python's `random`, which
            `keras.utils.set_random_seed` seeds.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        pooled: `(batch, dim)`, pooled output of the fusion encoder for image-text pairs.

    Returns:
        Logits, float32 `(batch, 2)`, of the classes "no match" and "match".

    Raises:
        TypeError: If `weight` is not a number or `seed` is not an integer.
        ValueError: If `weight` is negative or not finite.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 3.2.

    Example:

    >>> matching = ImageTextMatching(seed=1)
    >>> tuple(matching(keras.ops.ones((5, 8))).shape)
    (5, 2)
    """

    def __init__(
        self, weight: float = 1.0, seed: int | None = None, **kwargs: Unpack[LayerArguments]
    ) -> None:
        super().__init__(**kwargs)
        self.weight = _checks.non_negative("weight", weight)
        self.seed = as_seed(seed)

    def build(self, pooled_shape: Shape) -> None:
        """Creates the classification head and the step counter."""
        self.step = replicated_weight(self, "step", dtype="int32")
        self.head = keras.layers.Dense(2, dtype=self.dtype_policy, name="head")
        self.head.build((None, pooled_shape[-1]))
        finish_build(self)

    def call(self, pooled: Tensor) -> Tensor:
        return ops.cast(self.head(pooled), "float32")

    def compute_output_spec(self, pooled: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor((pooled.shape[0], 2), "float32")

    def advance(self) -> None:
        """Increments the step counter, so that the next draws differ."""
        self.step.assign(self.step + 1)

    def draw(
        self,
        anchors: Tensor,
        candidates: Tensor,
        ids: Tensor,
        candidate_ids: Tensor,
        rows: Tensor,
        direction: int = 0,
        training: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Draws a negative for each anchor.

        Args:
            anchors: Float tensor `(num_anchors, dim)`, multiplied with the scale of the logits.
            candidates: Float tensor `(num_candidates, dim)`.
            ids: int32 `(num_anchors,)`.
            candidate_ids: int32 `(num_candidates,)`. A candidate without an embedding has the id
                that the engine reserves for missing rows, and is never drawn.
            rows: int32 `(num_anchors,)`, positions of the anchors in the global batch.
            direction: Number of the direction. Directions draw independently.
            training: Whether this is a training step. An evaluation always draws the same.

        Returns:
            `(indices, has_negative)`: int32 `(num_anchors,)` and bool `(num_anchors,)`.
        """
        step = ops.convert_to_tensor(self.step)
        step = step if training else ops.full_like(step, EVALUATION_STEP)
        keys = hash_keys(self.seed, step, direction + 1, rows)
        return largest_negatives(anchors, candidates, ids, candidate_ids, keys, _gumbel)

    @staticmethod
    def cross_entropy(logits: Tensor, is_match: Tensor) -> Tensor:
        """Computes the cross-entropy of each pair.

        Args:
            logits: `(batch, 2)`.
            is_match: Bool `(batch,)`.

        Returns:
            `(batch,)`, in nats.
        """
        margin = logits[:, 1] - logits[:, 0]
        return ops.softplus(ops.where(is_match, -margin, margin))

    def get_config(self) -> Config:
        return {**super().get_config(), "weight": self.weight, "seed": self.seed}


def _gumbel(keys: Tensor, candidates: Tensor) -> Tensor:
    """Computes Gumbel noise: the largest noisy logit is a draw from the softmax of the logits."""
    shape = ops.shape(keys)[0], ops.shape(candidates)[0]
    keys = hash_keys(1, ops.expand_dims(keys, 1), ops.expand_dims(candidates, 0))
    draws = ops.reshape(uniform(ops.reshape(keys, (-1,)), 1), shape)
    return -ops.log(-ops.log(draws))
