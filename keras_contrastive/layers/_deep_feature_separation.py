"""Deep feature separation: what a modality alone knows has features of its own."""

import keras
from keras import ops

from keras_contrastive._engine import Batch, Contrast, log_gaussian_potential
from keras_contrastive.layers._view_regularizer import (
    AUGMENTED,
    INDEPENDENT,
    ViewRegularizer,
    masked_mean,
)

_LOWEST = -1e30  # the log of nothing


@keras.saving.register_keras_serializable(package="keras_contrastive")
class DeepFeatureSeparation(ViewRegularizer):
    """Gives each modality *independent features*, apart from those that it shares with the others.

    Contrast between modalities keeps what they share and lets go of the rest. Here a head for each modality
    makes a second embedding z_i, which three terms keep apart from the shared embedding z, and full of what tells the
    items of the modality from each other. Their sum is (P2-10), where all weights are 1:

    | term | is | |
    | --- | --- | --- |
    | `orthogonality` | mean of <z, z_i>², summed over the modalities | (P2-6) |
    | `contrast` | InfoNCE from z_i to that of the augmented view, summed over the augmented modalities | (P2-7) |
    | `uniformity` | log of the sum over pairs of exp(-t |z_i - z_i'|²), over the number of items | (P2-9) |

    The independent features come out by name: `predict` of a `ContrastiveTrainer` that holds this layer, and this layer
    in a Functional model, return them as `"<modality>_independent"`, to be concatenated with the embeddings.

    Where we differ from the print: the positive of (P2-8) is there a feature with itself, whose similarity is
    constant; ours is the augmented view (`contrast_with="itself"` for the printed form). The logarithm of (P2-9) has no
    brackets there: `uniformity_form` is `"joint"`, one logarithm of the sum over all modalities, as we read it;
    `"separate"`, one for each modality, added; or `"distinct"`, each of the mean over pairs of different items, as Wang
    and Isola define uniformity. The first two count a row with itself, divide by the number of items, and so grow by
    the logarithm of the batch; `per_pair=True` divides by its square instead, and `"distinct"` does not grow either.

    Args:
        orthogonality: Non-negative float, weight of the term.
        contrast: The same. It needs an augmented view of at least one modality.
        uniformity: The same.
        temperature: Positive float, of the contrast.
        source: `"embedding"`, or `"features"` for what the encoder gives before the projector: what the heads
            are applied to.
        depth: Positive int, number of dense layers of a head; 1 is linear.
        units: Width of their hidden layers. Defaults to the dimension of the embedding, which is always the last one's.
        activation: Of the hidden layers.
        contrast_with: `"augmented"` or `"itself"`.
        uniformity_form: `"joint"`, `"separate"` or `"distinct"`.
        t: Positive float, sharpness of the uniformity.
        per_pair: Whether the uniformity is a mean over pairs of items.
        weight: Non-negative float, multiplies the whole penalty.
        **kwargs: See `keras.layers.Layer`.

    Call arguments: see `ViewRegularizer`. Rows with the same id are not contrasted; items that lack a modality take no
    part in its terms.

    Raises:
        ValueError: No augmented view for the contrast, `source="features"` without features, and see `ViewRegularizer`.

    Reference:
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 4.1.
        - [Wang and Isola, 2020](https://arxiv.org/abs/2005.10242), uniformity.

    Example:

    >>> layer = DeepFeatureSeparation(contrast=0.0)
    >>> views = layer({"image": keras.ops.eye(3), "text": keras.ops.ones((3, 3))})
    >>> sorted(views)
    ['image', 'image_independent', 'text', 'text_independent']
    """

    def __init__(
        self,
        orthogonality=1.0,
        contrast=1.0,
        uniformity=1.0,
        temperature=0.1,
        source="embedding",
        depth=2,
        units=None,
        activation="relu",
        contrast_with="augmented",
        uniformity_form="joint",
        t=2.0,
        per_pair=False,
        weight=1.0,
        **kwargs,
    ):
        self.orthogonality, self.contrast, self.uniformity = orthogonality, contrast, uniformity
        weights = {"orthogonality": orthogonality, "contrast": contrast, "uniformity": uniformity}
        super().__init__(weights, weight, **kwargs)
        _check_choice("source", source, ("embedding", "features"))
        _check_choice("contrast_with", contrast_with, ("augmented", "itself"))
        _check_choice("uniformity_form", uniformity_form, ("joint", "separate", "distinct"))
        for name, value in (("temperature", temperature), ("t", t)):
            if not value > 0:
                raise ValueError(f"`{name}` must be positive. Received: {name}={value!r}.")
        for name, value in (("depth", depth), ("units", units)):
            if (value is not None or name == "depth") and (not isinstance(value, int) or value < 1):
                raise ValueError(
                    f"`{name}` must be a positive integer. Received: {name}={value!r}."
                )
        self.temperature = temperature
        self.source = source
        self.depth = depth
        self.units = units
        self.activation = keras.activations.get(activation)
        self.contrast_with = contrast_with
        self.uniformity_form = uniformity_form
        self.t = t
        self.per_pair = per_pair
        self.heads: dict = {}

    def build(self, views_shape, features_shape=None, ids_shape=None, present_shape=None):
        """Create the heads.

        Args:
            views_shape: Dict of the shapes of the views.
            features_shape: Dict of the shapes of the features, for `source="features"`.
        """
        for name, shape in views_shape.items():
            if name.endswith((AUGMENTED, INDEPENDENT)):
                continue
            source = views_shape if self.source == "embedding" else features_shape
            if not source or name not in source:
                raise ValueError(
                    f'With `source="features"`, `features` must have {name!r}, as `views` has. Received: '
                    f"{', '.join(source or ()) or None}."
                )
            hidden = [
                keras.layers.Dense(
                    self.units or shape[-1], self.activation, dtype=self.dtype_policy
                )
                for _ in range(self.depth - 1)
            ]
            last = keras.layers.Dense(shape[-1], dtype=self.dtype_policy)
            self.heads[name] = keras.Sequential([*hidden, last], name=f"{name}_head")
            self.heads[name].build((None, source[name][-1]))
        self.built = True

    def extended(self, views, features=None):
        """The views, and the independent features of all of them that do not have theirs yet."""
        names = [
            name
            for name in views
            if not name.endswith(INDEPENDENT) and name + INDEPENDENT not in views
        ]
        source = views if self.source == "embedding" else features or {}
        missing = [name for name in names if name not in source]
        if missing:
            raise ValueError(
                'With `source="features"`, the heads are applied to what the encoders give before their projectors: '
                f"`features` must have {', '.join(missing)}. Received: features={features and list(features)}."
            )
        heads = {name: self.heads[name.removesuffix(AUGMENTED)] for name in names}
        return {**views, **{name + INDEPENDENT: heads[name](source[name]) for name in names}}

    def compute_output_spec(self, views, features=None, ids=None, present=None, training=None):
        own = {
            name + INDEPENDENT: keras.KerasTensor(view.shape, self.compute_dtype)
            for name, view in views.items()
        }
        return super().compute_output_spec(views) | own

    def terms(self, modalities, ids=None, training=None):
        terms = {
            "orthogonality": self._orthogonality,
            "contrast": lambda modalities: self._contrast(modalities, ids),
            "uniformity": self._uniformity,
        }
        return {name: terms[name](modalities) for name in self.term_weights}

    @staticmethod
    def _orthogonality(modalities):
        products = (ops.square(ops.sum(m.plain * m.independent, axis=1)) for m in modalities)
        return sum(
            masked_mean(product, m.present) for product, m in zip(products, modalities, strict=True)
        )

    def _contrast(self, modalities, ids):
        if self.contrast_with == "itself":
            pairs = [(m, m.independent) for m in modalities]
        else:
            pairs = [
                (m, m.independent_augmented)
                for m in modalities
                if m.independent_augmented is not None
            ]
        if not pairs:
            raise ValueError(
                "The contrast of the independent features is with those of an augmented view, and there is none. "
                f"Received the modalities {', '.join(m.name for m in modalities)}. Pass `augmenters` to the trainer, "
                "or leave the term out: `DeepFeatureSeparation(contrast=0.0)`."
            )
        return sum(
            self._info_nce(m.independent, candidates, ids, m.present) for m, candidates in pairs
        )

    def _info_nce(self, anchors, candidates, ids, present):
        present = None if present is None else present > 0
        masks = {} if present is None else {"anchor": present, "candidate": present}
        batch = Batch({"anchor": anchors, "candidate": candidates}, ids, masks)
        contrast = Contrast(batch, [("anchor", "candidate")], 1 / self.temperature)
        losses = contrast.mean_softplus(contrast.log_sum_negatives)
        losses = contrast.zero_where_invalid(losses)[:, 0]
        return masked_mean(losses, None if present is None else ops.cast(present, losses.dtype))

    def _uniformity(self, modalities):
        logs = ops.stack([self._log_potential(m) for m in modalities])
        if self.uniformity_form == "joint":
            logs = ops.expand_dims(ops.logsumexp(logs), 0)
        return ops.sum(ops.where(logs > _LOWEST / 2, logs, ops.zeros_like(logs)))

    def _log_potential(self, modality):
        """Log of the sum of exp(-t |u - v|²) over pairs of items, over the number of items or of pairs; or very low."""
        units, present = (
            modality.independent,
            None if modality.present is None else modality.present > 0,
        )
        distinct = self.uniformity_form == "distinct"
        rows = ops.arange(ops.shape(units)[0], dtype="int32") if distinct else None
        of_rows = log_gaussian_potential(units, self.t, rows, present)
        num_items = ops.cast(ops.shape(units)[0], units.dtype)
        if present is not None:
            of_rows = ops.where(present, of_rows, ops.full_like(of_rows, _LOWEST))
            num_items = ops.sum(ops.cast(present, units.dtype))
        total = ops.logsumexp(of_rows)
        divisor = (
            num_items * (num_items - 1)
            if distinct
            else num_items**2
            if self.per_pair
            else num_items
        )
        return ops.where(
            divisor > 0, total - ops.log(ops.maximum(divisor, 1)), ops.full_like(total, _LOWEST)
        )

    def get_config(self):
        config = super().get_config()
        del config["normalize"]  # features of a direction, always
        return {
            **config,
            "orthogonality": self.orthogonality,
            "contrast": self.contrast,
            "uniformity": self.uniformity,
            "temperature": self.temperature,
            "source": self.source,
            "depth": self.depth,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "contrast_with": self.contrast_with,
            "uniformity_form": self.uniformity_form,
            "t": self.t,
            "per_pair": self.per_pair,
        }


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}."
        )
