"""The two towers of an image-text backbone, with its temperature and bias."""

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from keras_contrastive._checks import known_names, positive
from keras_contrastive._keras import AtMost
from keras_contrastive._typing import Config, Layer, Shape, Tensor
from keras_contrastive.encoders._encoder import Encoder, TrainableBlocks, load_backbone

MODALITIES = ("image", "text")


@dataclasses.dataclass(frozen=True)
class ImageTextTowers:
    """The parts of an image-text backbone. See `split_image_text_backbone`.

    Attributes:
        encoders: `{"image": Encoder, "text": Encoder}`, for `ContrastiveTrainer`.
        temperature: A `BackboneTemperature`, for the `temperature` of any loss.
        bias: A `BackboneBias`, for `SigmoidContrastive(bias=...)`. `None` if the backbone has no
            bias, such as CLIP.
    """

    encoders: dict[str, Encoder]
    temperature: "BackboneTemperature"
    bias: "BackboneBias | None"


def split_image_text_backbone(
    backbone: keras.Model | str,
    trainable_blocks: TrainableBlocks | dict[str, TrainableBlocks] = None,
    lowest_temperature: float | None = 0.01,
) -> ImageTextTowers:
    """Splits an image-text backbone into towers for `ContrastiveTrainer` and any loss.

    Use it for `CLIPBackbone`, `SigLIPBackbone` and similar backbones of keras-hub. keras-hub does
    not train them, or needs two forward passes for each step. The towers end with the projections
    of the backbone. They share all weights with the backbone, including the logit scale. After
    training, `backbone.save_to_preset(folder)` saves the trained weights.

    ```python
    clip = keras_hub.models.CLIPBackbone.from_preset("clip_vit_base_patch32")
    parts = kc.encoders.split_image_text_backbone(clip)
    model = kc.ContrastiveTrainer(parts.encoders)
    model.compile(keras.optimizers.AdamW(1e-5), kc.losses.InfoNCE(parts.temperature))
    model.fit({"image": images, "text": token_ids})
    clip.save_to_preset("clip_finetuned")
    ```

    A saved and loaded trainer has its own weights, without a backbone. To copy them to a backbone,
    split a backbone of the same kind. Then call
    `parts.encoders[name].set_weights(loaded.encoders[name].get_weights())` for both modalities, and
    assign `loaded.loss.temperature.log_scale` to `parts.temperature.log_scale`.

    keras-hub initializes a new SigLIP with a scale of 1 and a bias of 0. The paper uses 10 and -10.
    Before you train one from scratch, assign `parts.temperature.log_scale` and `parts.bias.bias`.

    Args:
        backbone: A model with `get_vision_embeddings`, `get_text_embeddings` and a layer with a
            `logit_scale`, or the name (or folder) of such a preset of keras-hub.
        trainable_blocks: Trained blocks of both towers (see `Encoder`), or a dict with `"image"`
            and `"text"`. `{"image": 0}` locks the image tower, as in
            [LiT](https://arxiv.org/abs/2111.07991). The projections of the backbone are blocks.
        lowest_temperature: Lower bound of the temperature, 0.01 as in CLIP. If the temperature of
            the backbone is lower, it is the bound. `None` for no bound.

    Returns:
        An `ImageTextTowers`. The image encoder takes the images of the backbone. The text encoder
        takes `token_ids`, alone or in a dict.

    Raises:
        TypeError: If `backbone` is not an image-text backbone.
        ValueError: If an argument is out of range.
        ImportError: If `backbone` is the name of a preset and keras-hub is not installed.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 2.5, the bound.
        - [Zhai et al., 2023](https://arxiv.org/abs/2303.15343), Sec. 3.2, the bias.

    Example:

    >>> import keras_hub
    >>> size = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "intermediate_dim": 8}
    >>> vision = keras_hub.models.CLIPVisionEncoder(patch_size=8, image_shape=(16, 16, 3), **size)
    >>> text = keras_hub.models.CLIPTextEncoder(10, embedding_dim=8, max_sequence_length=4, **size)
    >>> clip = keras_hub.models.CLIPBackbone(vision, text, projection_dim=6)
    >>> parts = split_image_text_backbone(clip, trainable_blocks={"image": 0})
    >>> parts.encoders["image"].predict(np.ones((2, 16, 16, 3)), verbose=0).shape
    (2, 6)
    >>> parts.temperature.log_scale is clip.clip_head.logit_scale
    True
    """
    backbone = load_backbone(backbone)
    head = _find_head(backbone)
    if lowest_temperature is not None:
        positive("lowest_temperature", lowest_temperature, "Pass `None` for no bound.")
    if isinstance(trainable_blocks, dict):
        known_names("trainable_blocks", trainable_blocks, MODALITIES, "names of modalities")
        blocks = trainable_blocks
    else:
        blocks = dict.fromkeys(MODALITIES, trainable_blocks)
    images = keras.Input(backbone.vision_encoder.image_shape, name="images")
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    models = {
        "image": keras.Model({"images": images}, backbone.get_vision_embeddings(images)),
        "text": keras.Model({"token_ids": token_ids}, backbone.get_text_embeddings(token_ids)),
    }
    encoders = {
        name: Encoder(model, trainable_blocks=blocks.get(name), name=f"{name}_tower")
        for name, model in models.items()
    }
    if lowest_temperature is not None:
        lowest_temperature = min(lowest_temperature, math.exp(-_as_float(head.logit_scale)))
    return ImageTextTowers(
        encoders,
        BackboneTemperature(head.logit_scale, lowest_temperature),
        BackboneBias(head.logit_bias) if hasattr(head, "logit_bias") else None,
    )


def _find_head(backbone: Any) -> Layer:
    heads = [layer for layer in getattr(backbone, "layers", []) if hasattr(layer, "logit_scale")]
    methods = ("get_vision_embeddings", "get_text_embeddings")
    if len(heads) != 1 or not all(callable(getattr(backbone, name, None)) for name in methods):
        raise TypeError(
            "`backbone` must be an image-text backbone with a logit scale, such as "
            "`keras_hub.models.CLIPBackbone` or `SigLIPBackbone`. Received: "
            f"`{type(backbone).__name__}`. For a backbone of one modality, use "
            "`kc.encoders.Encoder`."
        )
    return heads[0]


def _as_float(weight: Any) -> float:
    return float(ops.convert_to_numpy(ops.cast(weight, "float32")))


class _BackboneScalar(keras.layers.Layer):
    """A layer that holds a scalar weight of a backbone.

    A layer that is loaded from a file has no backbone. It creates its own weight.
    """

    def __init__(
        self, attribute: str, weight: Any, initial: float, constraint: Any = None, **kwargs: Any
    ) -> None:
        # float32 under every policy, as the temperature of `kc.layers`.
        kwargs.pop("dtype", None)
        super().__init__(dtype="float32", **kwargs)
        self._attribute, self._initial, self._constraint = attribute, initial, constraint
        if weight is not None:
            setattr(self, attribute, weight)
            if constraint is not None:
                weight.constraint = constraint
            self.built = True

    def build(self, input_shape: Shape | None = None) -> None:
        if not hasattr(self, self._attribute):
            weight = self.add_weight(
                name=self._attribute,
                shape=(),
                initializer=keras.initializers.Constant(self._initial),
                constraint=self._constraint,
                autocast=False,
            )
            setattr(self, self._attribute, weight)
        self.built = True

    def get_config(self) -> Config:
        weight = getattr(self, self._attribute, None)
        initial = self._initial if weight is None else _as_float(weight)
        return {**super().get_config(), "initial": initial}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BackboneTemperature(_BackboneScalar):
    """Uses the logit scale of an image-text backbone as the temperature of a loss.

    `split_image_text_backbone` creates it. Pass it to a loss:
    `InfoNCE(temperature=parts.temperature)`.

    Args:
        log_scale: The weight of the backbone, log(1 / temperature). `None` creates a weight.
        lowest: Positive float or `None`, the lower bound of the temperature. It is a constraint of
            the weight, as in `LearnableTemperature`.
        initial: Initial value of a created weight.
        **kwargs: See `keras.layers.Layer`.

    Example:

    >>> temperature = BackboneTemperature(keras.Variable(1.0))
    >>> round(float(temperature.scale), 3)
    2.718
    """

    def __init__(
        self,
        log_scale: Any = None,
        lowest: float | None = 0.01,
        initial: float = 0.0,
        **kwargs: Any,
    ) -> None:
        constraint = None if lowest is None else AtMost(-math.log(positive("lowest", lowest)))
        super().__init__("log_scale", log_scale, initial, constraint, **kwargs)
        self.lowest = lowest

    @property
    def scale(self) -> Tensor:
        """1 / temperature, a float32 scalar."""
        return ops.exp(ops.cast(self.log_scale, "float32"))

    def call(self, similarities: Tensor) -> Tensor:
        """Returns logits: similarities divided by the temperature."""
        return similarities * ops.cast(self.scale, similarities.dtype)

    def get_config(self) -> Config:
        return {**super().get_config(), "lowest": self.lowest}


@keras.saving.register_keras_serializable(package="keras_contrastive")
class BackboneBias(_BackboneScalar):
    """Uses the logit bias of an image-text backbone as the bias of `SigmoidContrastive`.

    `split_image_text_backbone` creates it.

    Args:
        bias: The weight of the backbone. `None` creates a weight.
        initial: Initial value of a created weight.
        **kwargs: See `keras.layers.Layer`.

    Example:

    >>> float(BackboneBias(keras.Variable(-10.0)).bias)
    -10.0
    """

    def __init__(self, bias: Any = None, initial: float = 0.0, **kwargs: Any) -> None:
        super().__init__("bias", bias, initial, **kwargs)

    def call(self, logits: Tensor) -> Tensor:
        """Returns logits plus the bias."""
        return logits + ops.cast(self.bias, logits.dtype)
