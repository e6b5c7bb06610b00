"""The encoder that reads a text and a picture together."""

import keras
from keras import ops

from keras_contrastive._checks import check_optional_sizes, check_sizes
from keras_contrastive._keras import finish_build
from keras_contrastive._tokens import as_sequence, check_tokens
from keras_contrastive._transformer import Transformer


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionEncoder(Transformer):
    """A transformer over the tokens of a text, each block of which also attends to those of an image.

    It takes what any text tower says of its tokens and any image tower of its patches or grid, which may have another
    dimension. ALBEF's is `FusionEncoder(6, num_heads=12, hidden_dim=3072, dropout=0.1)` over the six first layers of a
    BERT-base and a ViT-B/16; `load_bert` copies the weights of a BERT of keras-hub into both halves.

    Args:
        num_layers: Positive int, how many layers; of one block each, unless there are several images.
        num_heads: Positive int, which divides the dimension of the text's tokens.
        hidden_dim: `None`, or the units inside the feed-forward parts; by default four times the dimension.
        image_dim: `None`, or the dimension of the image's tokens; it is needed only where the first call has no image.
        dropout: In [0, 1). At 0, JAX cannot compile float16 for a processor, as it cannot for Keras' own attention: its
            products lack the precision that is asked for. bfloat16 can be compiled.
        activation: Activation inside the feed-forward parts.
        epsilon: Of the layer normalization.
        num_images: Positive int, how many images there are with each text. Each layer is as many blocks in a row, and
            each of them reads one of the images. So does ALBEF for reasoning over two, but that its blocks share the
            keys and values of the cross-attention.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        inputs: A dict:

            * `"text"`: `(batch, length, dim)`.
            * `"image"`: `(batch, patches, image_dim)`, or a grid `(batch, height, width, image_dim)`, channels last.
              Of several images, `(batch, num_images, patches, image_dim)` or
              `(batch, num_images, height, width, image_dim)`.
              Without it the cross-attention is skipped: what is left is a transformer over the text alone.
            * `"text_mask"`: optional, bool `(batch, length)`, False for padding.
            * `"image_mask"`: optional, bool `(batch, patches)` or `(batch, height, width)`; of several images,
              with `num_images` after the batch.

    Returns:
        `(batch, length, dim)`. Padding changes nothing but what stands at its own place.

    Raises:
        TypeError: Inputs that are not a dict.
        ValueError: An input that is missing or unknown, or has another rank; an image where there was none, and no
            `image_dim`.

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
        num_layers=2,
        num_heads=4,
        hidden_dim=None,
        image_dim=None,
        dropout=0.0,
        activation="gelu",
        epsilon=1e-12,
        num_images=1,
        **kwargs,
    ):
        super().__init__(num_layers, num_heads, hidden_dim, dropout, activation, epsilon, **kwargs)
        check_sizes(num_images=num_images)
        check_optional_sizes(image_dim=image_dim)
        self.num_images = num_images
        self.image_dim = image_dim

    def build(self, inputs_shape):
        """Create the blocks from a dict of shapes."""
        text, image = inputs_shape["text"], inputs_shape.get("image")
        context_dim = self.image_dim if image is None else image[-1]
        self.dim = text[-1]
        self.context_dim = context_dim
        self.blocks = self.make_blocks(self.dim, context_dim, self.num_images)
        finish_build(self)

    def call(self, inputs, training=None):
        text, image = inputs["text"], inputs.get("image")
        check_tokens("text", text)
        images = [(None, None)]
        if image is not None:
            if image.shape[-1] != self.context_dim:
                raise ValueError(
                    f"This encoder was built for image tokens of dimension {self.context_dim}. Received: "
                    f"image.shape={tuple(image.shape)}. Was it first called without an image, and without `image_dim`?"
                )
            images = self._sequences(image, inputs.get("image_mask"))
        for place, block in enumerate(self.blocks):
            image, image_mask = images[place % len(images)]
            text = block(
                text,
                tokens_mask=inputs.get("text_mask"),
                context=image,
                context_mask=image_mask,
                training=training,
            )
        return text

    def _sequences(self, image, mask):
        """The tokens and the mask of each image."""
        if self.num_images == 1:
            images = [(image, mask)]
        else:
            if len(image.shape) not in (4, 5) or image.shape[1] != self.num_images:
                raise ValueError(
                    f"This encoder reads {self.num_images} images, `(batch, {self.num_images}, patches, image_dim)` or "
                    f"`(batch, {self.num_images}, height, width, image_dim)`. Received: "
                    f"image.shape={tuple(image.shape)}."
                )
            if mask is not None and len(mask.shape) != len(image.shape) - 1:
                raise ValueError(
                    f"`image_mask` must tell of each of the {self.num_images} images which tokens are there, "
                    f"`(batch, {self.num_images}, ...)`. Received: image_mask.shape={tuple(mask.shape)}, "
                    f"image.shape={tuple(image.shape)}."
                )
            images = [
                (image[:, i], None if mask is None else mask[:, i]) for i in range(self.num_images)
            ]
        images = [as_sequence(*pair) for pair in images]
        # Once for all blocks, free of a mask that Keras may have hung on it.
        return [(ops.copy(tokens), there) for tokens, there in images]

    def for_images(self, num_images):
        """A copy that reads so many images: each of the blocks of a layer begins with the weights of this layer's.

        Args:
            num_images: Positive int.

        Raises:
            ValueError: This encoder is not built, or already reads several images, and others than these.

        Example:

        >>> fusion = FusionEncoder(num_layers=2, num_heads=2)
        >>> fusion.build({"text": (None, None, 8), "image": (None, None, 4)})
        >>> len(fusion.for_images(2).blocks)
        4
        """
        if not self.built or self.num_images not in (1, num_images):
            state = f"one of {self.num_images} images" if self.built else "one that is not built"
            raise ValueError(
                f"A fusion encoder for {num_images} images begins with a built one for as many, or for one image. "
                f"Received: {state}."
            )
        copy = type(self).from_config({**self.get_config(), "num_images": num_images})
        copy.build({"text": (None, None, self.dim), "image": (None, None, self.context_dim)})
        for place, block in enumerate(copy.blocks):
            block.copy_from(self.blocks[place * self.num_images // num_images])
        return copy

    def __call__(self, inputs, *args, **kwargs):
        if not isinstance(inputs, dict):
            raise TypeError(
                f"`FusionEncoder` takes a dict with {', '.join(INPUTS)}; only the first is required. "
                f"Received: {type(inputs).__name__}."
            )
        unknown = [name for name in inputs if name not in INPUTS]
        if unknown or inputs.get("text") is None:
            raise ValueError(
                f"`FusionEncoder` takes a dict with {', '.join(INPUTS)}; the first is required. "
                f"Received: {', '.join(map(str, inputs)) or 'nothing'}."
            )
        return super().__call__(
            {name: x for name, x in inputs.items() if x is not None}, *args, **kwargs
        )

    def compute_mask(self, inputs, previous_mask):
        return None  # who needs the mask is told it

    def compute_output_spec(self, inputs, training=None):
        return keras.KerasTensor(inputs["text"].shape, self.compute_dtype)

    def compute_output_shape(self, inputs_shape):
        return tuple(inputs_shape["text"])

    def get_config(self):
        return {**super().get_config(), "num_images": self.num_images, "image_dim": self.image_dim}


INPUTS = ("text", "image", "text_mask", "image_mask")
