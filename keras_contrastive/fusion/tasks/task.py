"""What the models of all tasks have in common: they read pictures and a text, and begin where others ended."""

import keras
from keras import ops

from keras_contrastive.fusion.checks import check_fusion_parts, check_num_images
from keras_contrastive.fusion.fusion_trainer import FusionTrainer
from keras_contrastive.fusion.tokens import as_text, check_tokens
from keras_contrastive.training.portable import portable_optimizer


class FusionTask(keras.Model):
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
        super().__init__(**kwargs)
        check_fusion_parts(encoders, fusion, None, "mean", padding_id)
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
            *args: Arguments of this class, after `encoders` and `fusion`.
            encoders: `None`, or a dict of towers that are taken in place of copies, such as
                `{"image": keras.layers.Identity()}` where `x` holds the image's tokens, computed once.
            fusion: `None`, or what is taken in place of a copy, such as `model.fusion.for_images(2)`.
            **kwargs: Further arguments of this class; by default as in the other model, where it has them.

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
            raise ValueError("There are no weights to begin with: train the model first, or call it on a batch.")
        copies = {name: _copied(name, tower) for name, tower in model.encoders.items() if name not in (encoders or {})}
        fusion = model.fusion.for_images(model.fusion.num_images) if fusion is None else fusion
        return cls({**copies, **(encoders or {})}, fusion, *args, **{**cls.settings_of(model), **kwargs})

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
        missing = [name for name in ("image", "text") if not isinstance(inputs, dict) or name not in inputs]
        if missing:
            found = ", ".join(map(str, inputs)) if isinstance(inputs, dict) else type(inputs).__name__
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
        return self.fusion({"text": text, "text_mask": mask, "image": image}, training=training), mask

    def _read_images(self, image, training):
        count = self.num_images
        if count > 1:
            if len(image.shape) < 3 or image.shape[1] != count:
                raise ValueError(
                    f"With each text there are {count} images, `(batch, {count}, height, width, channels)`. "
                    f"Received: image.shape={tuple(image.shape)}."
                )
            image = ops.reshape(image, (-1, *image.shape[2:]))
        tokens = self.encoders["image"](image, training=training)
        check_tokens("image", tokens, grid=True)
        together = self.fusion.num_images > 1
        return ops.reshape(tokens, (-1, count, *tokens.shape[1:])) if together else tokens

    # Saving

    def get_compile_config(self):
        config = super().get_compile_config()
        return {**config, "optimizer": portable_optimizer(config["optimizer"])} if config else config

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

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
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tower))
    shapes, found = ([tuple(weight.shape) for weight in layer.weights] for layer in (tower, copy))
    if shapes != found:
        raise ValueError(
            f"The tower of {name}, a `{type(tower).__name__}`, has {len(shapes)} weights, and what is made from its "
            f"configuration {len(found)}, or of other shapes. Received: a tower that is not built by `from_config` and "
            "`build_from_config`. Pass a copy of it as `encoders` yourself."
        )
    copy.set_weights(tower.get_weights())
    return copy
