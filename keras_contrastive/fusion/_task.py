"""The base class of models that fuse images with a text."""

import inspect
from typing import Any, ClassVar, Self

import keras
from keras import ops

from keras_contrastive._keras import copy_weights
from keras_contrastive._portable import PortableModel
from keras_contrastive._tokens import as_text, check_tokens
from keras_contrastive._typing import Config, Layer, Structure, Tensor
from keras_contrastive.fusion._checks import check_fusion_parts, check_num_images, names_or_type
from keras_contrastive.fusion._fusion_encoder import FusionEncoder
from keras_contrastive.fusion._fusion_trainer import FusionTrainer


class FusionTask(PortableModel):
    """Base of models that fuse one or several images with a text and predict from the result.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, as in `FusionTrainer`.
        fusion: A `FusionEncoder`.
        num_images: `None` for the number of images that the fusion encoder reads, or, if it reads
            one, a positive int.
        padding_id: Integer, the id after the last token of a text without a mask.
        **kwargs: See `keras.Model`.
    """

    layer_arguments: ClassVar[tuple[str, ...]] = ("encoders", "fusion")

    def __init__(
        self,
        encoders: dict[str, Layer],
        fusion: Layer,
        num_images: int | None = None,
        padding_id: int = 0,
        **kwargs: Any,
    ) -> None:
        # Without `autocast`: token ids must stay integers under every policy.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(fusion, FusionEncoder):
            raise TypeError(
                "`fusion` must be a `keras_contrastive.fusion.FusionEncoder`. "
                f"Received: fusion={fusion!r}."
            )
        check_fusion_parts(encoders, fusion, padding_id)
        check_num_images(num_images, fusion.num_images)
        self.encoders = encoders
        self.fusion = fusion
        self.num_images = num_images or fusion.num_images
        self.padding_id = padding_id

    @classmethod
    def from_pretrained(
        cls,
        model: keras.Model,
        *args: Any,
        encoders: dict[str, Layer] | None = None,
        fusion: Layer | None = None,
        **kwargs: Any,
    ) -> Self:
        """Creates a model from copies of the towers and the fusion encoder of another model.

        The other model does not change.

        Args:
            model: A `FusionTrainer` or a task model that is built.
            *args: Arguments of this class after `encoders` and `fusion`.
            encoders: `None`, or a dict of towers to use instead of copies. If `x` holds image
                tokens that were computed once, pass `{"image": keras.layers.Identity()}`.
            fusion: `None`, or the fusion encoder to use instead of a copy, such as
                `model.fusion.for_images(2)`.
            **kwargs: Further arguments of this class. By default, they have the values of the other
                model. Numbers of classes and decoders have no default.

        Raises:
            TypeError: If `model` is another kind of model.
            ValueError: If `model` is not built, or a tower cannot be recreated from its config.
        """
        if not isinstance(model, (FusionTrainer, FusionTask)):
            raise TypeError(
                f"`model` of `{cls.__name__}.from_pretrained` must be a `FusionTrainer` or a task "
                f"model. Received: {type(model).__name__}."
            )
        if not model.fusion.built:
            raise ValueError(
                f"`model` of `{cls.__name__}.from_pretrained` must be built. Received: a model "
                "without weights. Train it, or call it on a batch first."
            )
        copies = {
            name: _copy_of_tower(name, tower)
            for name, tower in model.encoders.items()
            if name not in (encoders or {})
        }
        inherited = cls.inherited_arguments(model)
        if fusion is None:
            fusion = model.fusion.for_images(model.fusion.num_images)
        elif getattr(fusion, "num_images", 1) > 1:
            inherited.pop("num_images", None)
        towers = {**copies, **(encoders or {})}
        arguments = inspect.signature(cls).bind_partial(towers, fusion, *args).arguments
        return cls(**{**inherited, **arguments, **kwargs})

    @classmethod
    def inherited_arguments(cls, model: keras.Model) -> dict[str, Any]:
        """Returns the arguments that `from_pretrained` takes from the other model."""
        return {"padding_id": model.padding_id}

    def fuse(self, inputs: Structure, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Computes text tokens that have attended to the images.

        Args:
            inputs: Dict with `"image"` and `"text"`.
            training: Whether dropout is active.

        Returns:
            `(tokens, mask)`: `(batch, length, dim)` and bool `(batch, length)`. If there are
            several images and the fusion encoder reads one, `(batch * num_images, length, dim)` and
            its mask: all images of the first row, then of the next.

        Raises:
            ValueError: If an input is missing or has the wrong shape.
        """
        if not isinstance(inputs, dict) or not {"image", "text"} <= set(inputs):
            raise ValueError(
                '`inputs` must be a dict with "image" and "text". '
                f"Received: {names_or_type(inputs)}."
            )
        text = self.encoders["text"](inputs["text"], training=training)
        check_tokens("text", text)
        mask = as_text(inputs["text"], self.padding_id)[1]
        image = self._encode_images(inputs["image"], training)
        if self.num_images > self.fusion.num_images:
            text, mask = (ops.repeat(x, self.num_images, axis=0) for x in (text, mask))
        fused = self.fusion({"text": text, "text_mask": mask, "image": image}, training=training)
        return fused, mask

    def _encode_images(self, image: Tensor, training: bool | None) -> Tensor:
        """Returns tokens of each image, as the fusion encoder reads them."""
        count = self.num_images
        if count > 1:
            if len(image.shape) < 3 or image.shape[1] not in (None, count):
                raise ValueError(
                    f'`"image"` must hold {count} images per text, '
                    f"`(batch, {count}, height, width, channels)`. "
                    f"Received: image.shape={tuple(image.shape)}."
                )
            image = ops.reshape(image, (-1, *ops.shape(image)[2:]))
        tokens = self.encoders["image"](image, training=training)
        check_tokens("image", tokens, grid=True)
        if self.fusion.num_images > 1:
            tokens = ops.reshape(tokens, (-1, count, *ops.shape(tokens)[1:]))
        return tokens

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoders": {name: serialize(tower) for name, tower in self.encoders.items()},
            "fusion": serialize(self.fusion),
            "padding_id": self.padding_id,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: dict[str, Any] | None = None) -> Self:
        deserialize = keras.saving.deserialize_keras_object
        layers = {
            name: deserialize(config[name], custom_objects=custom_objects)
            for name in cls.layer_arguments
        }
        return cls(**{**config, **layers})


def _copy_of_tower(name: str, tower: Layer) -> Layer:
    """Returns a tower with the same configuration and weights."""
    try:
        config = keras.saving.serialize_keras_object(tower)
        # The config comes from a layer of this process, so that its code is trusted.
        copy = keras.saving.deserialize_keras_object(config, safe_mode=False)
        copy_weights(copy, tower)
    except Exception as error:
        raise ValueError(
            f'`encoders["{name}"]` must be recreated from its config, which failed: {error} '
            f'Received: a `{type(tower).__name__}`. Pass a copy, `encoders={{"{name}": ...}}`.'
        ) from error
    return copy
