"""Deep feature separation: features of the information that only one modality contains."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import (
    LOWEST,
    Batch,
    Contrast,
    log_gaussian_potential,
    num_pairs_of_different_ids,
)
from keras_contrastive._typing import Config, Layer, LayerArguments, Shape, Tensor
from keras_contrastive._view_names import INDEPENDENT, modality_name
from keras_contrastive.layers._modality import Modality, mean_over_present
from keras_contrastive.layers._view_regularizer import ViewRegularizer

_LARGEST_T = 1e4  # the rounding of float32, times `t`, is an error of the exponents


@keras.saving.register_keras_serializable(package="keras_contrastive")
class DeepFeatureSeparation(ViewRegularizer):
    """Gives each modality independent features, separate from those that it shares with the others.

    A contrastive loss between modalities keeps what they share and discards the rest. This layer
    adds a head to each modality, which computes its independent features z_i. Three terms separate
    them from the shared embedding z, and make them tell the items of the modality apart. Their sum,
    with all weights 1, is the paper's L_Sep:

    | term | value |
    | --- | --- |
    | `orthogonality` | mean of <z, z_i>², summed over modalities |
    | `contrast` | InfoNCE from z_i to that of the augmented view, summed over modalities |
    | `uniformity` | log of (sum over pairs of items of exp(-t |z_i - z_i'|²) / items) |

    Outputs are named `"<modality>_independent"`, in `predict` of a `ContrastiveTrainer` with this
    layer and in a Functional model. Concatenate them with the embeddings for downstream tasks.

    `normalize` leaves a row of zeros as it is. So the distance of two such rows is 0, and that to a
    row of length 1 is 1.

    There are two differences from the printed equations. The printed positive of `contrast` is the
    feature itself, so that its similarity is constant. Here it is the augmented view, and
    `contrast_with="itself"` is the printed form. The printed logarithm of `uniformity` has no
    brackets, so `uniformity_form` selects one of three readings. `"joint"` takes one logarithm of
    the sum over all modalities. `"separate"` adds one logarithm for each modality. `"distinct"`
    does too, of the mean over pairs of different items, as Wang and Isola define uniformity.

    The first two forms count each item with itself and divide by the number of items. So they grow
    with the log of the batch. With `per_pair=True` they divide by its square and do not grow.

    Args:
        orthogonality: Non-negative float, weight of the term.
        contrast: Non-negative float, weight of the term. It needs an augmented view of at least one
            modality.
        uniformity: Non-negative float, weight of the term.
        temperature: Positive float, temperature of the contrast.
        source: Input of the heads. `"embedding"`, or `"features"` for the output of the encoder,
            before the projector.
        depth: Positive int, number of dense layers of a head. 1 is a linear head.
        units: Positive int, width of the hidden layers. By default the dimension of the embedding,
            which is always the width of the last layer.
        activation: Activation of the hidden layers.
        contrast_with: `"augmented"` or `"itself"`.
        uniformity_form: `"joint"`, `"separate"` or `"distinct"`.
        t: Float in (0, 10,000]. Larger values concentrate the uniformity on close pairs.
        per_pair: Whether the uniformity is a mean over pairs of items.
        weight: Non-negative float, multiplies the whole penalty.
        **kwargs: See `keras.layers.Layer`.

    Call arguments: See `ViewRegularizer`. Rows with the same id are not negatives of each other. An
    item that lacks a modality is left out of its terms.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, if the contrast has no augmented view, or if
            `source="features"` without features.

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
        orthogonality: float = 1.0,
        contrast: float = 1.0,
        uniformity: float = 1.0,
        temperature: float = 0.1,
        source: Literal["embedding", "features"] = "embedding",
        depth: int = 2,
        units: int | None = None,
        activation: str | Callable[[Tensor], Tensor] | None = "relu",
        contrast_with: Literal["augmented", "itself"] = "augmented",
        uniformity_form: Literal["joint", "separate", "distinct"] = "joint",
        t: float = 2.0,
        per_pair: bool = False,
        weight: float = 1.0,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        weights = {"orthogonality": orthogonality, "contrast": contrast, "uniformity": uniformity}
        super().__init__(weights, weight, **kwargs)
        self.orthogonality, self.contrast, self.uniformity = map(float, weights.values())
        self.temperature = _checks.divisor("temperature", temperature)
        self.source = _checks.one_of("source", source, ("embedding", "features"))
        self.depth = _checks.positive_int("depth", depth)
        self.units = _checks.optional_positive_int("units", units)
        self.activation = keras.activations.get(activation)
        self.contrast_with = _checks.one_of("contrast_with", contrast_with, ("augmented", "itself"))
        self.uniformity_form = _checks.one_of(
            "uniformity_form", uniformity_form, ("joint", "separate", "distinct")
        )
        self.t = _checks.real("t", t, 0, _LARGEST_T, include_low=False)
        self.per_pair = per_pair
        self.heads: dict[str, Any] = {}

    def build(
        self,
        views_shape: dict[str, Shape],
        features_shape: dict[str, Shape] | None = None,
        ids_shape: Shape | None = None,
        present_shape: dict[str, Shape] | None = None,
    ) -> None:
        """Creates the heads.

        Args:
            views_shape: Shapes by view.
            features_shape: Shapes of the features by view, for `source="features"`.
            ids_shape: Not used. Keras passes it.
            present_shape: Not used. Keras passes it.
        """
        source = views_shape if self.source == "embedding" else features_shape or {}
        names = [name for name in views_shape if name == modality_name(name)]
        _check_sources(names, source)
        for name in names:
            self.heads[name] = self._head(name, source[name][-1], views_shape[name][-1])
        self.built = True

    def _head(self, name: str, input_dim: int | None, dim: int | None) -> keras.Sequential:
        hidden = [
            keras.layers.Dense(self.units or dim, self.activation, dtype=self.dtype_policy)
            for _ in range(self.depth - 1)
        ]
        last = keras.layers.Dense(dim, dtype=self.dtype_policy)
        head = keras.Sequential([*hidden, last], name=f"{name}_head")
        head.build((None, input_dim))
        return head

    def extended(
        self, views: dict[str, Tensor], features: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Returns the views and the independent features of all views that lack them."""
        names = self._without_features(views)
        source = views if self.source == "embedding" else features or {}
        _check_sources(names, source)
        independent = {
            name + INDEPENDENT: self.heads[modality_name(name)](source[name]) for name in names
        }
        return {**views, **independent}

    def _without_features(self, views: Mapping[str, Any]) -> list[str]:
        """Returns the names of the views whose independent features are not among the views."""
        return [
            name
            for name in views
            if not self.is_independent(name) and name + INDEPENDENT not in views
        ]

    def output_heads(self, modalities: Sequence[str]) -> dict[str, tuple[str, Layer | None]]:
        return {name + INDEPENDENT: (self.source, self.heads.get(name)) for name in modalities}

    def compute_output_spec(
        self,
        views: dict[str, Any],
        features: dict[str, Any] | None = None,
        ids: Any = None,
        present: dict[str, Any] | None = None,
        training: bool | None = None,
    ) -> dict[str, keras.KerasTensor]:
        independent = {
            name + INDEPENDENT: keras.KerasTensor(views[name].shape, self.compute_dtype)
            for name in self._without_features(views)
        }
        return {**super().compute_output_spec(views), **independent}

    def terms(
        self, modalities: list[Modality], ids: Tensor | None = None, training: bool | None = None
    ) -> dict[str, Tensor]:
        terms = {
            "orthogonality": lambda: sum(map(_squared_products, modalities)),
            "contrast": lambda: self._contrast(modalities, ids),
            "uniformity": lambda: self._uniformity(modalities, ids),
        }
        return {name: terms[name]() for name in self.term_weights}

    def _contrast(self, modalities: list[Modality], ids: Tensor | None) -> Tensor:
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
                "`views` must contain an augmented view for the term `contrast`. Received: "
                f"{', '.join(m.name for m in modalities)}. Pass `augmenters` to a trainer with a "
                "dict of encoders, or leave the term out: `DeepFeatureSeparation(contrast=0.0)`."
            )
        return sum(
            self._info_nce(m.independent, candidates, ids, m.present) for m, candidates in pairs
        )

    def _info_nce(
        self, anchors: Tensor, candidates: Tensor, ids: Tensor | None, present: Tensor | None
    ) -> Tensor:
        masks = {} if present is None else {"anchor": present, "candidate": present}
        batch = Batch({"anchor": anchors, "candidate": candidates}, ids, masks)
        contrast = Contrast(batch, [("anchor", "candidate")], 1 / self.temperature)
        losses = contrast.mean_softplus(contrast.log_sum_negatives)
        return mean_over_present(contrast.zero_where_invalid(losses)[:, 0], present)

    def _uniformity(self, modalities: list[Modality], ids: Tensor | None) -> Tensor:
        logs = ops.stack([self._log_potential(m, ids) for m in modalities])
        if self.uniformity_form == "joint":
            logs = ops.expand_dims(ops.logsumexp(logs), 0)
        return ops.sum(ops.where(logs > LOWEST / 2, logs, ops.zeros_like(logs)))

    def _log_potential(self, modality: Modality, ids: Tensor | None) -> Tensor:
        """Returns the log of the sum, or mean, of exp(-t |u - v|²) over pairs of items.

        Without pairs it is `LOWEST`.
        """
        units: Tensor = modality.independent
        present = modality.present
        if self.uniformity_form != "distinct":
            ids = None
        elif ids is None:
            ids = ops.arange(ops.shape(units)[0], dtype="int32")
        potentials = log_gaussian_potential(units, self.t, ids, present)  # (batch,)
        num_items = ops.cast(ops.shape(units)[0], units.dtype)
        if present is not None:
            potentials = ops.where(present, potentials, ops.full_like(potentials, LOWEST))
            num_items = ops.sum(ops.cast(present, units.dtype))
        if ids is not None:
            divisor = num_pairs_of_different_ids(ids, present, units.dtype)
        else:
            divisor = num_items**2 if self.per_pair else num_items
        total = ops.logsumexp(potentials)
        value = total - ops.log(ops.maximum(divisor, 1))
        return ops.where(divisor > 0, value, ops.full_like(total, LOWEST))

    def get_config(self) -> Config:
        config = super().get_config()
        del config["normalize"]  # This layer always normalizes.
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


def _squared_products(modality: Modality) -> Tensor:
    """Returns the mean of <z, z_i>²."""
    products = ops.sum(modality.plain * modality.independent, axis=1)
    return mean_over_present(ops.square(products), modality.present)


def _check_sources(names: list[str], source: dict[str, Any]) -> None:
    missing = [name for name in names if name not in source]
    if missing:
        raise ValueError(
            f"`features` must contain {', '.join(missing)}, as `views` does, for "
            f'`source="features"`. Received: {", ".join(source) or None}. Pass the outputs of the '
            "encoders, by the names of the views."
        )
