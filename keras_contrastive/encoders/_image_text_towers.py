"""The two towers of an image-text backbone, with its own logit scale."""

import dataclasses
import math

import keras
from keras import ops

from keras_contrastive.encoders._encoder import Encoder
from keras_contrastive.encoders._presets import load_backbone

MODALITIES = ("image", "text")


@dataclasses.dataclass(frozen=True)
class Towers:
    """What `towers` makes of an image-text backbone.

    Attributes:
        encoders: `{"image": Encoder, "text": Encoder}`, for `ContrastiveTrainer`.
        temperature: A `BackboneTemperature`, for `temperature=` of any loss.
        bias: A `BackboneBias`, for `SigmoidContrastive(bias=...)`; `None` where the backbone has none (CLIP).
    """

    encoders: dict
    temperature: keras.layers.Layer
    bias: keras.layers.Layer | None


def towers(backbone, trainable_blocks=None, lowest_temperature=0.01):
    """Take an image-text backbone apart into towers that `ContrastiveTrainer` trains, with any loss.

    For keras-hub's `CLIPBackbone`, `SigLIPBackbone` and their kin, which train by themselves not at all, or with two
    forward passes a step. The towers end in the backbone's own projections. Every weight is shared with it, the logit
    scale included: after training, `backbone.save_to_preset(folder)` holds what was learned.

    ```python
    clip = keras_hub.models.CLIPBackbone.from_preset("clip_vit_base_patch32")
    towers = kc.encoders.towers(clip)
    model = kc.ContrastiveTrainer(towers.encoders)
    model.compile("adamw", kc.GammaContrastive(temperature=towers.temperature, num_items=len(images)))
    model.fit({"image": images, "text": token_ids})
    clip.save_to_preset("clip_finetuned")
    ```

    A trainer that was saved and loaded again has weights of its own, without a backbone. To bring them into one, match
    the towers of a backbone of the same kind:
    `towers(backbone).encoders[name].set_weights(loaded.encoders[name].get_weights())`, and assign
    `loaded.loss.temperature.log_scale` likewise.

    keras-hub starts a *new* SigLIP at a scale of 1 and a bias of 0, its paper at 10 and -10: before training one from
    nothing, assign `towers.temperature.log_scale` and `towers.bias.bias`.

    Args:
        backbone: A model with `get_vision_embeddings`, `get_text_embeddings` and a head that owns `logit_scale`, or the
            name (or folder) of such a preset of keras-hub.
        trainable_blocks: How much of each tower is trained, see `Encoder`; or a dict with `"image"` and `"text"`:
            `{"image": 0}` locks the image tower, as in [LiT](https://arxiv.org/abs/2111.07991). The backbone's
            projections count as blocks.
        lowest_temperature: The temperature does not fall below it, nor below the backbone's own where that is lower.
            CLIP's is 0.01. `None` for no bound.

    Returns:
        A `Towers`. The image tower takes images as the backbone does, the text tower `token_ids`, alone or in a dict.

    Raises:
        TypeError: A backbone that is not of this kind.
        ValueError: Arguments out of range.
        ImportError: The name of a preset, and keras-hub is not installed.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 2.5, the bound on the logit scale.
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343), Sec. 3.2, the bias.

    Example:

    >>> import keras_hub
    >>> size = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}
    >>> vision = keras_hub.models.CLIPVisionEncoder(patch_size=8, image_shape=(16, 16, 3), **size)
    >>> text = keras_hub.models.CLIPTextEncoder(10, embedding_dim=8, max_sequence_length=4, **size)
    >>> clip = keras_hub.models.CLIPBackbone(vision, text, projection_dim=6)
    >>> parts = towers(clip, trainable_blocks={"image": 0})
    >>> parts.encoders["image"].predict(np.ones((2, 16, 16, 3)), verbose=0).shape
    (2, 6)
    >>> parts.temperature.log_scale is clip.clip_head.logit_scale
    True
    """
    backbone = load_backbone(backbone)
    head = _head_of(backbone)
    if lowest_temperature is not None and not lowest_temperature > 0:
        raise ValueError(
            f"`lowest_temperature` must be positive, or `None`. Received: lowest_temperature={lowest_temperature}."
        )
    counts = (
        trainable_blocks
        if isinstance(trainable_blocks, dict)
        else dict.fromkeys(MODALITIES, trainable_blocks)
    )
    unknown = [name for name in counts if name not in MODALITIES]
    if unknown:
        raise ValueError(
            f"`trainable_blocks` may have 'image' and 'text'. Received: {', '.join(map(str, unknown))}."
        )
    images = keras.Input(backbone.vision_encoder.image_shape, name="images")
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    models = {
        "image": keras.Model({"images": images}, backbone.get_vision_embeddings(images)),
        "text": keras.Model({"token_ids": token_ids}, backbone.get_text_embeddings(token_ids)),
    }
    encoders = {
        name: Encoder(model, trainable_blocks=counts.get(name), name=f"{name}_tower")
        for name, model in models.items()
    }
    if lowest_temperature is not None:
        own = math.exp(-float(ops.convert_to_numpy(ops.cast(head.logit_scale, "float32"))))
        lowest_temperature = min(lowest_temperature, own)
    bias = BackboneBias(head.logit_bias) if hasattr(head, "logit_bias") else None
    return Towers(encoders, BackboneTemperature(head.logit_scale, lowest_temperature), bias)


def _head_of(backbone):
    heads = [layer for layer in getattr(backbone, "layers", []) if hasattr(layer, "logit_scale")]
    methods = all(
        callable(getattr(backbone, f"get_{part}_embeddings", None)) for part in ("vision", "text")
    )
    if not methods or len(heads) != 1:
        raise TypeError(
            "`backbone` must be an image-text backbone with a logit scale, such as `keras_hub.models.CLIPBackbone` or "
            f"`SigLIPBackbone`. Received: `{type(backbone).__name__}`. For a backbone of one modality, see "
            "`kc.encoders.Encoder`."
        )
    return heads[0]


class _BackboneNumber(keras.layers.Layer):
    """One number of a backbone. Loaded from a file, where there is no backbone, it has a weight of its own."""

    def __init__(self, attribute, weight, initial, constraint=None, **kwargs):
        kwargs.pop("dtype", None)  # float32 under every policy, as the temperature of `kc.layers`
        super().__init__(dtype="float32", **kwargs)
        self._attribute, self._initial, self._constraint = attribute, initial, constraint
        if weight is not None:
            setattr(self, attribute, weight)
            if constraint is not None:
                weight.constraint = constraint
            self.built = True

    def build(self, input_shape=None):
        if not hasattr(self, self._attribute):
            initializer = keras.initializers.Constant(self._initial)
            settings = {
                "initializer": initializer,
                "constraint": self._constraint,
                "autocast": False,
            }
            setattr(
                self, self._attribute, self.add_weight(name=self._attribute, shape=(), **settings)
            )
        self.built = True

    def _value(self):
        weight = getattr(self, self._attribute, None)
        return (
            self._initial
            if weight is None
            else float(ops.convert_to_numpy(ops.cast(weight, "float32")))
        )

    def get_config(self):
        return {**super().get_config(), "initial": self._value()}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BackboneTemperature(_BackboneNumber):
    """The logit scale of an image-text backbone as the temperature of a loss: the very same weight.

    Made by `towers`. Give it to a loss: `InfoNCE(temperature=towers.temperature)`.

    Args:
        log_scale: The backbone's weight, the logarithm of 1 / temperature, or `None` for a weight of its own.
        lowest: Positive float or `None`; the temperature never falls below it. A constraint, as in
            `LearnableTemperature`.
        initial: Where a weight of its own starts.
        **kwargs: See `keras.layers.Layer`.

    Example:

    >>> temperature = BackboneTemperature(keras.Variable(1.0))
    >>> round(float(temperature.scale), 3)
    2.718
    """

    def __init__(self, log_scale=None, lowest=0.01, initial=0.0, **kwargs):
        super().__init__(
            "log_scale",
            log_scale,
            initial,
            None if lowest is None else _AtMost(-math.log(lowest)),
            **kwargs,
        )
        self.lowest = lowest

    @property
    def scale(self):
        """1 / temperature, a scalar tensor."""
        return ops.exp(ops.cast(self.log_scale, "float32"))

    def call(self, similarities):
        """Logits: similarities divided by the temperature."""
        return similarities * ops.cast(self.scale, similarities.dtype)

    def get_config(self):
        return {**super().get_config(), "lowest": self.lowest}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BackboneBias(_BackboneNumber):
    """The logit bias of an image-text backbone as the bias of `SigmoidContrastive`: the very same weight.

    Made by `towers`.

    Args:
        bias: The backbone's weight, or `None` for a weight of its own.
        initial: Where a weight of its own starts.
        **kwargs: See `keras.layers.Layer`.

    Example:

    >>> float(BackboneBias(keras.Variable(-10.0)).bias)
    -10.0
    """

    def __init__(self, bias=None, initial=0.0, **kwargs):
        super().__init__("bias", bias, initial, **kwargs)

    def call(self, logits):
        """Logits with the bias."""
        return logits + ops.cast(self.bias, logits.dtype)


class _AtMost(keras.constraints.Constraint):
    def __init__(self, bound):
        self.bound = bound

    def __call__(self, w):
        return ops.minimum(w, ops.cast(self.bound, w.dtype))
