"""The Brownian bridge between modalities."""

import zlib

import keras
from keras import ops

from keras_contrastive._draws import as_seed, hash_keys, uniform
from keras_contrastive.layers._view_regularizer import ViewRegularizer, masked_mean

_SHORTEST = (
    1e-3  # of a mixture of end points; below it they are opposite, and say nothing of a direction
)


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BrownianBridge(ViewRegularizer):
    """Asks that an augmented view lie on the way from its own modality to the other.

    Augmenting an image changes it, and may change what a text would say of it. Neither the image nor the text is
    then the right place for its embedding; a point of the great circle between them is: the mean of a Brownian bridge,

        mu = (t V + (1 - t) T) / |t V + (1 - t) T|,        penalty = mean over the items of |V' - mu|².

    This is (P2-13), the first line of the paper's loss. (Its second line is not equal to it, and would push V' away.)
    `t` is the share of the modality that is augmented: the paper's 0.25 puts three quarters on the text. On a
    bridge that leaves the image at time 0 and reaches the text at time 1, that is the time 0.75; say
    `t_is="time"` to give the time instead of the share.

    The paper augments the image alone. Here each modality that has an augmented view, or those that `modalities`
    names, is bridged to each other modality, and the penalty is the mean over these bridges.

    Args:
        t: Float in [0, 1]; or a pair (lowest, highest) in (0, 1), between which each item draws its own in each step.
        t_is: `"share"`, of the augmented modality, or `"time"`, on the way from it to the other: 1 - share.
        modalities: `None`, or the name or names of the modalities whose augmented views are bridged.
        likelihood_weight: Whether a drawn t weighs its item by 1 / (2 t (1 - t)), the inverse variance of the bridge,
            as maximum likelihood asks. A fixed t has one weight for all, which is left out as in the paper.
        seed: Int, seed of the draws. By default drawn from Python's `random`. Saved, as is the number of the step, so
            that a resumed training draws what it would have drawn. An evaluation draws without taking a step.
        weight: Non-negative float, multiplies the penalty.
        normalize: Whether the views are projected onto the unit sphere first, as the paper does.
        **kwargs: See `keras.layers.Layer`.

    Call arguments: see `ViewRegularizer`. A bridge counts the items that have both modalities.

    Returns:
        For normalized views between 0 and 4: 0 where each augmented view is the point of its bridge, 4 where it is
        opposite to it. End points that are opposite themselves have no midpoint; theirs is near zero, with a
        finite gradient.

    Reference:
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 4.2.

    Example:

    >>> layer = BrownianBridge(t=0.5)
    >>> views = {
    ...     "image": keras.ops.array([[1.0, 0.0]]),
    ...     "text": keras.ops.array([[0.0, 1.0]]),
    ...     "image_augmented": keras.ops.array([[0.6, 0.8]]),
    ... }
    >>> round(float(layer.penalty(views)), 4)
    0.0201
    """

    def __init__(
        self,
        t=0.25,
        t_is="share",
        modalities=None,
        likelihood_weight=True,
        seed=None,
        weight=1.0,
        normalize=True,
        **kwargs,
    ):
        super().__init__({"bridge": 1.0}, weight, normalize, **kwargs)
        if t_is not in ("share", "time"):
            raise ValueError(
                '`t_is` must be "share", of the augmented modality, or "time", on the way from it to the other. '
                f"Received: t_is={t_is!r}."
            )
        self.t = _checked_t(t)
        self.t_is = t_is
        self.bridged = (
            [modalities] if isinstance(modalities, str) else modalities and list(modalities)
        )
        self.likelihood_weight = likelihood_weight
        self.seed = as_seed(seed)

    def build(self, views_shape, features_shape=None, ids_shape=None, present_shape=None):
        if isinstance(self.t, tuple):
            self.step = self.add_weight(
                name="step",
                shape=(),
                dtype="int32",
                initializer="zeros",
                trainable=False,
                autocast=False,
                aggregation="only_first_replica",
            )
        self.built = True

    def terms(self, modalities, ids=None, training=None):
        bridges = [
            self._bridge(own, other)
            for own in self._bridged(modalities)
            for other in modalities
            if other.name != own.name
        ]
        if training and isinstance(self.t, tuple):
            self.step.assign(self.step + 1)
        return {"bridge": sum(bridges) / len(bridges)}

    def _bridged(self, modalities):
        augmented = [m for m in modalities if m.augmented is not None]
        missing = [name for name in self.bridged or () if name not in [m.name for m in augmented]]
        if missing or not augmented or len(modalities) < 2:
            wanted = (
                f"the augmented views of {', '.join(self.bridged)}"
                if self.bridged
                else "an augmented view"
            )
            found = ", ".join(
                m.name + (" (augmented)" if m.augmented is not None else "") for m in modalities
            )
            raise ValueError(
                f"`BrownianBridge` needs two modalities and {wanted}. Received the modalities {found}. "
                "`ContrastiveTrainer(augmenters={...})` makes augmented views."
            )
        return [m for m in augmented if not self.bridged or m.name in self.bridged]

    def _bridge(self, own, other):
        t = self._times(own, other)
        share = t if self.t_is == "share" else 1 - t
        mixture = share * own.plain + (1 - share) * other.plain
        squared_length = ops.sum(ops.square(mixture), axis=1, keepdims=True)
        # Of a mixture that is long enough, its direction, whatever the units; else a gradient that is not.
        middle = mixture * ops.rsqrt(ops.maximum(squared_length, _SHORTEST**2))
        distances = ops.sum(ops.square(own.augmented - middle), axis=1)
        if isinstance(self.t, tuple) and self.likelihood_weight:
            distances = distances / (2 * t * (1 - t))[:, 0]
        return masked_mean(distances, own.present, other.present)

    def _times(self, own, other):
        """A float, or `(batch, 1)`."""
        if not isinstance(self.t, tuple):
            return self.t
        lowest, highest = self.t
        rows = ops.arange(ops.shape(own.plain)[0], dtype="int32")
        salt = zlib.crc32(f"{own.name} to {other.name}".encode()) % 2**31
        keys = hash_keys(self.seed + salt, self.step, rows)
        return lowest + (highest - lowest) * uniform(keys, 1, own.plain.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "t": self.t,
            "t_is": self.t_is,
            "modalities": self.bridged,
            "likelihood_weight": self.likelihood_weight,
            "seed": self.seed,
        }


def _checked_t(t):
    sampled = isinstance(t, (tuple, list))
    numbers = list(t) if sampled else [t]
    if (
        any(isinstance(x, bool) or not isinstance(x, (int, float)) for x in numbers)
        or len(numbers) != 1 + sampled
    ):
        raise TypeError(
            f"`t` must be a float, or a pair (lowest, highest) to draw from. Received: t={t!r}."
        )
    if sampled and not 0 < numbers[0] < numbers[1] < 1:
        raise ValueError(
            f"A drawn `t` needs 0 < lowest < highest < 1: at 0 and 1 the bridge has no variance. Received: t={t!r}."
        )
    if not sampled and not 0 <= t <= 1:
        raise ValueError(f"`t` must be in [0, 1]. Received: t={t!r}.")
    return tuple(numbers) if sampled else t
