"""The encoder that reads a text together with images."""

from typing import Any, Self, Unpack

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._keras import finish_build
from keras_contrastive._tokens import as_sequence, check_tokens
from keras_contrastive._transformer import Transformer
from keras_contrastive._typing import Config, LayerArguments, Shape, Tensor
from keras_contrastive.fusion._checks import names_or_type


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionEncoder(Transformer):
    """Encodes the tokens of a text with cross-attention to the tokens of an image.

    The inputs are the outputs of any text tower and any image tower. Their dimensions can differ.
    ALBEF uses `FusionEncoder(6, num_heads=12, hidden_dim=3072, dropout=0.1)` over the first six
    layers of BERT-base and a ViT-B/16. `load_bert` copies the weights of a BERT of keras-hub into
    the text tower and the fusion encoder.

    Args:
        num_layers: Positive int, number of layers. A layer has one block per image.
        num_heads: Positive int that divides the dimension of the text tokens.
        hidden_dim: `None` for four times the dimension, or the number of units in the feed-forward
            parts.
        image_dim: `None`, or the dimension of the image tokens. It is needed only if the first call
            has no image.
        dropout: Float in [0, 1). With 0, JAX cannot compile float16 for a CPU, as with the
            attention layers of Keras itself. bfloat16 compiles.
        activation: Activation in the feed-forward parts.
        epsilon: Epsilon of the layer normalization.
        num_images: Positive int, number of images per text. A layer is then a sequence of
            `num_images` blocks, and each of them reads one image. ALBEF does the same for two
            images, except that its blocks share the keys and values of the cross-attention.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: A dict:

            * `"text"`: `(batch, length, dim)`.
            * `"image"`: `(batch, patches, image_dim)`, or a grid
              `(batch, height, width, image_dim)`, channels last. For several images,
              `(batch, num_images, patches, image_dim)` or
              `(batch, num_images, height, width, image_dim)`. Without `"image"`, the
              cross-attention is skipped, and the layer is a transformer over the text alone.
            * `"text_mask"`: optional, bool `(batch, length)`, False for padding.
            * `"image_mask"`: optional, bool `(batch, patches)` or `(batch, height, width)`. For
              several images, with `num_images` after the batch.

    Returns:
        `(batch, length, dim)`. Padding does not change the output at other positions.

    Raises:
        TypeError: If the inputs are not a dict.
        ValueError: If an input is missing or unknown, or has the wrong rank, or if the layer was
            built without an image and without `image_dim`, and receives an image.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651), Sec. 3.1.

    Example:

    >>> fusion = FusionEncoder(num_layers=2, num_heads=2)
    >>> text, image = keras.ops.ones((5, 7, 8)), keras.ops.ones((5, 3, 3, 4))
    >>> tuple(fusion({"text": text, "image": image}).shape)
    (5, 7, 8)
    """

    def __init__(
        self,
        num_layers: int = 2,
        num_heads: int = 4,
        hidden_dim: int | None = None,
        image_dim: int | None = None,
        dropout: float = 0.0,
        activation: Any = "gelu",
        epsilon: float = 1e-12,
        num_images: int = 1,
        **kwargs: Unpack[LayerArguments],
    ) -> None:
        super().__init__(num_layers, num_heads, hidden_dim, dropout, activation, epsilon, **kwargs)
        self.num_images = _checks.positive_int("num_images", num_images)
        self.image_dim = _checks.optional_positive_int("image_dim", image_dim)

    def build(self, inputs_shape: dict[str, Shape]) -> None:
        """Creates the blocks for inputs of these shapes."""
        text, image = inputs_shape["text"], inputs_shape.get("image")
        self.dim = text[-1]
        self.context_dim = self.image_dim if image is None else image[-1]
        self.blocks = self.make_blocks(int(text[-1] or 0), self.context_dim, self.num_images)
        finish_build(self)

    def call(self, inputs: dict[str, Tensor], training: bool | None = None) -> Tensor:
        text, image = inputs["text"], inputs.get("image")
        check_tokens("text", text)
        images: list[tuple[Tensor, Tensor]] = [(None, None)]
        if image is not None:
            if image.shape[-1] != self.context_dim:
                raise ValueError(
                    f"Image tokens must have the dimension {self.context_dim}, for which this "
                    f"encoder was built. Received: image.shape={tuple(image.shape)}. If the first "
                    "call has no image, pass `image_dim`."
                )
            images = self._image_sequences(image, inputs.get("image_mask"))
        for position, block in enumerate(self.blocks):
            image, image_mask = images[position % len(images)]
            text = block(
                text,
                tokens_mask=inputs.get("text_mask"),
                context=image,
                context_mask=image_mask,
                training=training,
            )
        return text

    def _image_sequences(self, image: Tensor, mask: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """Returns the tokens and the mask of each image."""
        if self.num_images == 1:
            images = [(image, mask)]
        else:
            self._check_images(image, mask)
            images = [
                (image[:, i], None if mask is None else mask[:, i]) for i in range(self.num_images)
            ]
        sequences = [as_sequence(*pair) for pair in images]
        # A copy has no Keras mask, which the attention layers would apply. One copy for all blocks.
        return [(ops.copy(tokens), tokens_mask) for tokens, tokens_mask in sequences]

    def _check_images(self, image: Tensor, mask: Tensor | None) -> None:
        count = self.num_images
        if len(image.shape) not in (4, 5) or image.shape[1] != count:
            raise ValueError(
                f"`image` must hold the tokens of {count} images, `(batch, {count}, patches, "
                f"image_dim)` or `(batch, {count}, height, width, image_dim)`. "
                f"Received: image.shape={tuple(image.shape)}."
            )
        if mask is not None and len(mask.shape) != len(image.shape) - 1:
            raise ValueError(
                f"`image_mask` must hold a mask for each of the {count} images, "
                f"`(batch, {count}, ...)`. Received: image_mask.shape={tuple(mask.shape)}, "
                f"image.shape={tuple(image.shape)}."
            )

    def for_images(self, num_images: int) -> Self:
        """Returns a copy that reads `num_images` images.

        Each block of a layer of the copy starts from the weights of the same layer.

        Args:
            num_images: Positive int.

        Raises:
            ValueError: If this encoder is not built, or reads another number of images than 1 or
                `num_images`.

        Example:

        >>> fusion = FusionEncoder(num_layers=2, num_heads=2)
        >>> fusion.build({"text": (None, None, 8), "image": (None, None, 4)})
        >>> len(fusion.for_images(2).blocks)
        4
        """
        if not self.built or self.num_images not in (1, num_images):
            state = f"reads {self.num_images} images" if self.built else "is not built"
            raise ValueError(
                f"`for_images({num_images})` requires a built encoder of 1 or {num_images} images. "
                f"Received: an encoder that {state}."
            )
        copy = type(self).from_config({**self.get_config(), "num_images": num_images})
        copy.build({"text": (None, None, self.dim), "image": (None, None, self.context_dim)})
        for position, block in enumerate(copy.blocks):
            block.copy_from(self.blocks[position * self.num_images // num_images])
        return copy

    def __call__(self, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        if not isinstance(inputs, dict):
            raise TypeError(
                f"`inputs` must be a dict with {', '.join(_INPUTS)}. Only the first is required. "
                f"Received: {type(inputs).__name__}."
            )
        if inputs.get("text") is None or not set(inputs) <= set(_INPUTS):
            raise ValueError(
                f"`inputs` must be a dict with {', '.join(_INPUTS)}. Only the first is required. "
                f"Received: {names_or_type(inputs)}."
            )
        given = {name: x for name, x in inputs.items() if x is not None}
        return super().__call__(given, *args, **kwargs)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None  # masks are passed explicitly

    def compute_output_spec(
        self, inputs: dict[str, Tensor], training: bool | None = None
    ) -> keras.KerasTensor:
        return keras.KerasTensor(inputs["text"].shape, self.compute_dtype)

    def compute_output_shape(self, inputs_shape: dict[str, Shape]) -> Shape:
        return tuple(inputs_shape["text"])

    def get_config(self) -> Config:
        return {**super().get_config(), "num_images": self.num_images, "image_dim": self.image_dim}


_INPUTS = ("text", "image", "text_mask", "image_mask")
