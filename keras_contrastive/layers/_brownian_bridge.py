"""The Brownian bridge between two modalities."""

import zlib
from collections.abc import Sequence
from typing import Any, Literal, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._draws import as_seed, hash_keys, uniform
from keras_contrastive._keras import EVALUATION_STEP, replicated_weight
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor
from keras_contrastive.layers._modality import Modality, mean_over_present
from keras_contrastive.layers._view_regularizer import ViewRegularizer

# Shorter mixtures have almost opposite end points, and their direction is not meaningful.
_SHORTEST = 1e-3
_EXPECTED_T = "a number in [0, 1], or a pair (low, high) with 0 < low < high < 1"


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BrownianBridge(ViewRegularizer):
    """Penalizes the distance of augmented views from the arc between two modalities.

    Augmentation changes an image, and may change the text that describes it. So neither the image
    nor the text is the right place for the embedding of the augmented image. A point of the great
    circle between them is, the mean of a Brownian bridge. With V, T and V' the embeddings of image,
    text and augmented image:

        mu = (t V + (1 - t) T) / |t V + (1 - t) T|,        penalty = mean over items of |V' - mu|²

    This is the first line of the paper's bridge loss. Its second line is a misprint: it differs,
    and would push V' away from the bridge.

    `t` is the share of the augmented modality. The paper's 0.25 puts three quarters on the text.
    For a bridge that starts at the image at time 0 and ends at the text at time 1, this share is
    the time 0.75. With `t_means="time"`, `t` is that time.

    The paper augments only images. Here each modality with an augmented view is bridged to each
    other modality, and the penalty is the mean over these bridges. `modalities` selects some of
    them.

    Args:
        t: Float in [0, 1]. Or a pair (low, high) in (0, 1): then each item draws its own `t` in
            each step.
        t_means: `"share"`, the share of the augmented modality, or `"time"`, 1 - share.
        modalities: `None`, or the name or names of the modalities whose augmented views are
            bridged.
        likelihood_weight: Whether items are weighted by 1 / (2 t (1 - t)), the inverse variance of
            the bridge, if `t` is drawn. This is the maximum likelihood weight. A fixed `t` has no
            such weight, as in the paper.
        seed: Int, seed of the draws. By default it is drawn from Python's `random`. The seed and
            the step number are saved, so resumed training continues with the same draws. An
            evaluation always draws the same, and does not change the draws of training.
        weight: Non-negative float, multiplies the penalty.
        normalize: Whether to scale views to unit length first, as in the paper.
        **kwargs: See `keras.layers.Layer`.

    Call arguments: See `ViewRegularizer`. A bridge counts the items that have both modalities.

    Returns:
        The views. The penalty is between 0 and 4 for normalized views. It is 0 if each augmented
        view is the point mu, and 4 if it is opposite to it. If the end points are opposite to each
        other, mu is close to zero and the gradient is finite.

    Raises:
        TypeError: If `t` is not a number or a pair of numbers, or `seed` is not an integer.
        ValueError: If `t` is out of range, or if there is no augmented view or no second modality.

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
        t: float | tuple[float, float] = 0.25,
        t_means: Literal["share", "time"] = "share",
        modalities: str | Sequence[str] | None = None,
        likelihood_weight: bool = True,
        seed: int | None = None,
        weight: float = 1.0,
        normalize: bool = True,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__({"bridge": 1.0}, weight, normalize, **kwargs)
        self.t = _checked_t(t)
        self.t_means = _checks.one_of("t_means", t_means, ("share", "time"))
        self.bridged = [modalities] if isinstance(modalities, str) else list(modalities or ())
        self.likelihood_weight = likelihood_weight
        self.seed = as_seed(seed)

    def build(
        self,
        views_shape: dict[str, Shape],
        features_shape: dict[str, Shape] | None = None,
        ids_shape: Shape | None = None,
        present_shape: dict[str, Shape] | None = None,
    ) -> None:
        """Creates the step number, if `t` is drawn."""
        if isinstance(self.t, tuple):
            self.step = replicated_weight(self, "step", (), "int32")
        self.built = True

    def terms(
        self, modalities: list[Modality], ids: Tensor | None = None, training: bool | None = None
    ) -> dict[str, Tensor]:
        bridges = [
            self._bridge(start, end, training)
            for start in self._augmented(modalities)
            for end in modalities
            if end.name != start.name
        ]
        if training and isinstance(self.t, tuple):
            self.step.assign(self.step + 1)
        return {"bridge": sum(bridges) / len(bridges)}

    def _augmented(self, modalities: list[Modality]) -> list[Modality]:
        """Returns the modalities whose augmented views are bridged."""
        augmented = {m.name: m for m in modalities if m.augmented is not None}
        missing = [name for name in self.bridged if name not in augmented]
        if missing or not augmented or len(modalities) < 2:
            names = ", ".join(missing or self.bridged)
            expected = f"augmented views of {names}" if names else "an augmented view"
            received = ", ".join(
                f"{m.name} (augmented)" if m.name in augmented else m.name for m in modalities
            )
            raise ValueError(
                f"`views` must contain two modalities and {expected} for `BrownianBridge`. "
                f"Received: {received}. Pass `augmenters` to a `ContrastiveTrainer` "
                "with a dict of encoders."
            )
        return [m for name, m in augmented.items() if not self.bridged or name in self.bridged]

    def _bridge(self, start: Modality, end: Modality, training: bool | None) -> Tensor:
        """Returns the penalty of the augmented view of `start` on its bridge to `end`."""
        t = self._times(start, end, training)
        share = t if self.t_means == "share" else 1 - t
        mixture = share * start.plain + (1 - share) * end.plain
        squared_length = ops.sum(ops.square(mixture), axis=1, keepdims=True)
        # The limit keeps the gradient finite where the end points are opposite to each other.
        middle = mixture * ops.rsqrt(ops.maximum(squared_length, _SHORTEST**2))
        distances = ops.sum(ops.square(start.augmented - middle), axis=1)
        if isinstance(self.t, tuple) and self.likelihood_weight:
            distances = distances / (2 * t * (1 - t))[:, 0]
        return mean_over_present(distances, start.present, end.present)

    def _times(self, start: Modality, end: Modality, training: bool | None) -> Tensor:
        """Returns `t`: a float, or a tensor `(batch, 1)` if it is drawn."""
        if not isinstance(self.t, tuple):
            return self.t
        low, high = self.t
        rows = ops.arange(ops.shape(start.plain)[0], dtype="int32")
        salt = zlib.crc32(f"{start.name} to {end.name}".encode()) % 2**31
        step = ops.convert_to_tensor(self.step)
        if training is False:
            step = ops.full_like(step, EVALUATION_STEP)
        keys = hash_keys(self.seed + salt, step, rows)
        return low + (high - low) * uniform(keys, 1, start.plain.dtype)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "t": self.t,
            "t_means": self.t_means,
            "modalities": self.bridged or None,
            "likelihood_weight": self.likelihood_weight,
            "seed": self.seed,
        }


def _checked_t(t: Any) -> float | tuple[float, float]:
    if not isinstance(t, (tuple, list)):
        return _checks.real("t", t, 0, 1, expected=_EXPECTED_T)
    if len(t) != 2 or not all(map(_checks.is_number, t)):
        raise TypeError(f"`t` must be {_EXPECTED_T}. Received: t={t!r}.")
    low, high = map(float, t)
    if not 0 < low < high < 1:
        raise ValueError(
            f"`t` must be {_EXPECTED_T}. Received: t={t!r}. At 0 and 1 the bridge has no variance."
        )
    return low, high
