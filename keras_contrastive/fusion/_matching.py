"""Image-text matching: tell a pair from two that only look like one."""

import keras
from keras import ops

from keras_contrastive._draws import as_seed, hash_keys, uniform
from keras_contrastive._engine import largest_negatives
from keras_contrastive._keras import finish_build


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ImageTextMatching(keras.layers.Layer):
    """Draws hard negatives, and says of what has read both whether a text and an image belong together.

    For each image a negative text is drawn, and for each text a negative image, with the probabilities of the softmax
    of the similarities: never the own one, nor one with an equal id.

    A draw depends on the seed, the number of the step (a weight), the row and the candidate alone: it is the same on
    every backend, on any number of replicas, and after a resume.

    Args:
        seed: Integer, or `None` to draw one from Python's `random`, which `keras.utils.set_random_seed` seeds.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        pooled: `(batch, dim)`, what the fusion encoder says of pairs.

    Returns:
        Logits, float32 `(batch, 2)`: of no match, and of a match.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 3.2.

    Example:

    >>> matching = ImageTextMatching(seed=1)
    >>> tuple(matching(keras.ops.ones((5, 8))).shape)
    (5, 2)
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = as_seed(seed)

    def build(self, pooled_shape):
        """Create the head, and the number of the step."""
        # In a distributed step, each replica makes the same move.
        state = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        self.step = self.add_weight(
            name="step", shape=(), dtype="int32", initializer="zeros", **state
        )
        self.head = keras.layers.Dense(2, dtype=self.dtype_policy, name="head")
        self.head.build((None, pooled_shape[-1]))
        finish_build(self)

    def call(self, pooled):
        return ops.cast(self.head(pooled), "float32")

    def compute_output_spec(self, pooled):
        return keras.KerasTensor((pooled.shape[0], 2), "float32")

    def advance(self):
        """End the step: the next draws are others."""
        self.step.assign(self.step + 1)

    def draw(self, anchors, candidates, ids, candidate_ids, rows, direction=0):
        """Draw a negative for each anchor.

        Args:
            anchors: Float tensor `(num_anchors, dim)`, normalized if that is wanted, which the logits' scale is
                multiplied into.
            candidates: Float tensor `(num_candidates, dim)`.
            ids: int32 `(num_anchors,)`.
            candidate_ids: int32 `(num_candidates,)`; where it is `keras_contrastive._engine.EMPTY`, it is nobody's
                negative.
            rows: int32 `(num_anchors,)`, the places of the anchors in the whole batch.
            direction: Python int; other directions draw by themselves.

        Returns:
            int32 `(num_anchors,)`, the numbers of the negatives; and bool `(num_anchors,)`, False where there is none.
        """
        keys = hash_keys(self.seed, ops.convert_to_tensor(self.step), direction + 1, rows)
        return largest_negatives(anchors, candidates, ids, candidate_ids, keys, _gumbel)

    @staticmethod
    def losses_of(logits, matches):
        """The cross-entropy of each pair, `(batch,)`; `matches` is bool `(batch,)`."""
        margin = logits[:, 1] - logits[:, 0]
        return ops.softplus(ops.where(matches, -margin, margin))

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


def _gumbel(keys, candidates):
    """With it, the largest of logits is a draw from their softmax."""
    shape = ops.shape(keys)[0], ops.shape(candidates)[0]
    keys = hash_keys(1, ops.expand_dims(keys, 1), ops.expand_dims(candidates, 0))
    draws = ops.reshape(uniform(ops.reshape(keys, (-1,)), 1), shape)
    return -ops.log(-ops.log(draws))
