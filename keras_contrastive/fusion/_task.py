"""What the models of all tasks have in common: they read pictures and a text, and begin where others ended."""

import inspect

import keras
from keras import ops

from keras_contrastive._keras import copy_weights
from keras_contrastive._tokens import as_text, check_tokens
from keras_contrastive.fusion._checks import check_fusion_parts, check_num_images
from keras_contrastive.fusion._fusion_encoder import FusionEncoder
from keras_contrastive.fusion._fusion_trainer import FusionTrainer
from keras_contrastive._portable import PortableModel


class FusionTask(PortableModel):
    """Base of models that fuse an image, or several, with a text, and say something of it.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower, as in `FusionTrainer`.
        fusion: A `FusionEncoder`.
        num_images: `None` for as many as the fusion encoder reads, or a positive int where it reads one.
        padding_id: Integer, the id after the last token of a text that comes without a mask.
        **kwargs: See `keras.Model`.
    """

    parts: tuple[str, ...] = ("encoders", "fusion")  # arguments that are layers

    def __init__(self, encoders, fusion, num_images=None, padding_id=0, **kwargs):
        super().__init__(autocast=False, **kwargs)  # ids stay whole
        if not isinstance(fusion, FusionEncoder):
            raise TypeError(
                f"`fusion` must be a `keras_contrastive.fusion.FusionEncoder`. Received: fusion={fusion!r}."
            )
        check_fusion_parts(encoders, fusion, padding_id)
        check_num_images(num_images, fusion.num_images)
        self.encoders = encoders
        self.fusion = fusion
        self.num_images = num_images or fusion.num_images
        self.padding_id = padding_id

    @classmethod
    def from_pretrained(cls, model, *args, encoders=None, fusion=None, **kwargs):
        """Begin with copies of the towers and of the fusion encoder of another model, which stays as it is.

        Args:
            model: A `FusionTrainer`, or the model of a task, that has been trained or at least called.
            *args: Arguments of this class, those after `encoders` and `fusion`.
            encoders: `None`, or a dict of towers that are taken in place of copies, such as
                `{"image": keras.layers.Identity()}` where `x` holds the image's tokens, computed once.
            fusion: `None`, or what is taken in place of a copy, such as `model.fusion.for_images(2)`.
            **kwargs: Further arguments of this class. What is not given is as in the other model, if it has it, but for
                a number of classes or a decoder.

        Raises:
            TypeError: Another kind of model.
            ValueError: A model that is not built, or whose towers cannot be made again from their configuration.
        """
        if not isinstance(model, (FusionTrainer, FusionTask)):
            raise TypeError(
                f"`{cls.__name__}.from_pretrained` begins with a `FusionTrainer` or the model of a task. "
                f"Received: {type(model).__name__}."
            )
        if not model.fusion.built:
            raise ValueError(
                "There are no weights to begin with: train the model first, or call it on a batch."
            )
        copies = {
            name: _copied(name, tower)
            for name, tower in model.encoders.items()
            if name not in (encoders or {})
        }
        settings = cls.settings_of(model)
        if fusion is None:
            fusion = model.fusion.for_images(model.fusion.num_images)
        elif getattr(fusion, "num_images", 1) > 1:
            settings.pop("num_images", None)
        given = (
            inspect.signature(cls)
            .bind_partial({**copies, **(encoders or {})}, fusion, *args)
            .arguments
        )
        return cls(**{**settings, **given, **kwargs})

    @classmethod
    def settings_of(cls, model):
        """What is taken over from the other model, besides its weights."""
        return {"padding_id": model.padding_id}

    def fuse(self, inputs, training=None):
        """The tokens of the text, which have read the images, and which of them are there.

        Returns:
            `(batch, length, dim)` and bool `(batch, length)`. Where the fusion encoder reads one image, and there are
            several, `(batch * num_images, length, dim)` and its mask: those of the first row, then of the next.
        """
        missing = [
            name for name in ("image", "text") if not isinstance(inputs, dict) or name not in inputs
        ]
        if missing:
            found = (
                ", ".join(map(str, inputs)) if isinstance(inputs, dict) else type(inputs).__name__
            )
            raise ValueError(
                f'The inputs must be a dict with "image" and "text"; {" and ".join(missing)} is missing. '
                f"Received: {found}."
            )
        text = self.encoders["text"](inputs["text"], training=training)
        check_tokens("text", text)
        mask = as_text(inputs["text"], self.padding_id)[1]
        image = self._read_images(inputs["image"], training)
        if self.num_images > self.fusion.num_images:
            text, mask = (ops.repeat(x, self.num_images, axis=0) for x in (text, mask))
        return self.fusion(
            {"text": text, "text_mask": mask, "image": image}, training=training
        ), mask

    def _read_images(self, image, training):
        count = self.num_images
        if count > 1:
            if len(image.shape) < 3 or image.shape[1] not in (None, count):
                raise ValueError(
                    f"With each text there are {count} images, `(batch, {count}, height, width, channels)`. "
                    f"Received: image.shape={tuple(image.shape)}."
                )
            image = ops.reshape(image, (-1, *ops.shape(image)[2:]))
        tokens = self.encoders["image"](image, training=training)
        check_tokens("image", tokens, grid=True)
        together = self.fusion.num_images > 1
        return ops.reshape(tokens, (-1, count, *ops.shape(tokens)[1:])) if together else tokens

    # Saving

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoders": {name: serialize(tower) for name, tower in self.encoders.items()},
            "fusion": serialize(self.fusion),
            "padding_id": self.padding_id,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in cls.parts
        }
        return cls(**{**config, **parts})


def _copied(name, tower):
    """A tower of the same configuration with the same weights."""
    try:
        config = keras.saving.serialize_keras_object(tower)
        copy = keras.saving.deserialize_keras_object(
            config, safe_mode=False
        )  # it is the user's own, of this process
        copy_weights(copy, tower)
    except Exception as error:
        raise ValueError(
            f"The tower of {name} cannot be made again from its configuration: {error} Pass a copy of it yourself, "
            f'`encoders={{"{name}": ...}}`. Received: a `{type(tower).__name__}`.'
        ) from error
    return copy
