"""A published backbone as an encoder that returns one vector for each input."""

from collections.abc import Mapping
from typing import Any, Literal

import keras
from keras import ops

from keras_contrastive._checks import is_integer, optional_positive_int
from keras_contrastive._keras import set_trainable
from keras_contrastive._tokens import POOLINGS
from keras_contrastive._typing import Config, Layer, Structure, Tensor
from keras_contrastive.encoders._backbone_checks import check_no_application, check_no_classifier
from keras_contrastive.encoders._backbone_families import pooling_for
from keras_contrastive.encoders._blocks import blocks, train_only
from keras_contrastive.encoders._inputs import BackboneInputs, inputs_and_outputs

Pooling = Literal["auto", "mean", "class_token", "last_token", "end_of_text"]
TrainableBlocks = int | Literal["all"] | None


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Encoder(keras.Model):
    """Turns a published backbone into an encoder that returns vectors `(batch, dim)`.

    The pooling depends on the family of the backbone:

    * Feature maps are averaged over all positions.
    * Vision transformers use their class token.
    * BERT and similar text encoders use the mean over the positions in `padding_mask`.
    * Causal language models use the last position in `padding_mask`.
    * CLIP's text encoder uses the end-of-text token.

    The encoder takes the inputs of the backbone, such as
    `{"token_ids": ..., "padding_mask": ...}`, or the same with the names of Hugging Face
    (`input_ids`, `attention_mask`, `token_type_ids`). A single input needs no name. Other entries
    are ignored. Missing `segment_ids` are zeros.

    Args:
        backbone: A model of keras-hub, keras-nlp, keras-cv or `keras.applications` (without its
            top), any Functional or Sequential model, or the name (or folder) of a keras-hub preset.
            The encoder and the backbone share their weights.
        projection_dim: `None`, or the dimension of a linear projection of the pooled vector,
            without bias.
        pooling: `"auto"`, `"mean"`, `"class_token"`, `"last_token"` or `"end_of_text"`.
        trainable_blocks: `"all"`, or the number of last blocks of the backbone to train (see
            `blocks`). 0 freezes the backbone, which then runs without dropout. `None` does not
            change them. After an assignment, call `compile` again. The projection is always
            trained. Layers for other outputs, such as BERT's pooler, are always frozen.
        **kwargs: See `keras.Model`.

    Call arguments:
        inputs: The inputs of the backbone, one array or a dict of arrays by name.

    Returns:
        `(batch, dim)`, not normalized. The losses normalize.

    Raises:
        TypeError: If `backbone` is not a Keras model, or if a backbone with several inputs gets a
            single tensor.
        ValueError: If the inputs, outputs or family of the backbone are unknown, if it ends with a
            classifier, or if an input is missing. For an unknown family, pass `pooling`.
        ImportError: If `backbone` is the name of a preset and keras-hub is not installed.

    Example:

    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(6, 3)])
    >>> encoder = Encoder(backbone, projection_dim=4, trainable_blocks=0)
    >>> encoder.predict(np.ones((5, 8, 8, 3), "float32"), verbose=0).shape
    (5, 4)
    >>> [tuple(weight.shape) for weight in encoder.trainable_weights]
    [(6, 4)]
    """

    def __init__(
        self,
        backbone: keras.Model | str,
        projection_dim: int | None = None,
        pooling: Pooling = "auto",
        trainable_blocks: TrainableBlocks = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        backbone = load_backbone(backbone)
        _, outputs = inputs_and_outputs(backbone)
        check_no_classifier(backbone)
        self.backbone = backbone
        self.pooling = pooling
        self.projection_dim = optional_positive_int("projection_dim", projection_dim)
        self._output_name, output = _select_output(backbone, outputs)
        self._inputs = BackboneInputs(backbone)
        self._pooling = pooling_for(backbone, output, pooling)
        if self._pooling == "end_of_text" and "token_ids" not in self._inputs.names:
            raise ValueError(
                "`pooling` must not be 'end_of_text' for a backbone without an input `token_ids`. "
                f"Received: a backbone with the inputs {', '.join(self._inputs.names)}."
            )
        data_format = getattr(backbone, "data_format", None) or keras.config.image_data_format()
        self._channels_first = len(output.shape) == 4 and data_format == "channels_first"
        self.projection = None
        if projection_dim is not None:
            self.projection = keras.layers.Dense(projection_dim, use_bias=False, name="projection")
            self.projection.build((None, output.shape[1 if self._channels_first else -1]))
        self.trainable_blocks = trainable_blocks
        # All weights exist: `build` has nothing to do.
        self.built = True

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks of the backbone, from its input to its output.

        `trainable_blocks` counts them from the end. A block is a layer with weights. Layers in a
        list, as in vision transformers, are separate blocks.
        """
        return [block.name for block in self._used_blocks()]

    @property
    def trainable_blocks(self) -> TrainableBlocks:
        """Number of last blocks that are trained, `"all"`, or `None`. See the class."""
        return self._trainable_blocks

    @trainable_blocks.setter
    def trainable_blocks(self, count: Any) -> None:
        used = self._used_blocks()
        if count == "all":
            set_trainable(self.backbone, True)
        elif count is not None:
            message = (
                f"`trainable_blocks` must be `None`, 'all' or an integer in [0, {len(used)}], the "
                f"number of blocks of the backbone. Received: trainable_blocks={count!r}."
            )
            if not is_integer(count):
                raise TypeError(message)
            if not 0 <= count <= len(used):
                raise ValueError(message)
            train_only(self.backbone, used[len(used) - count :])
        # Unused layers have no gradient, but weight decay would shrink their weights.
        for layer in self._unused_layers():
            set_trainable(layer, False)
        self._trainable_blocks = count

    def _unused_layers(self) -> list[Layer]:
        """Returns layers that only other outputs of the backbone need, such as BERT's pooler."""
        if self._output_name is None:
            return []
        used = keras.Model(self.backbone.inputs, self.backbone.output[self._output_name]).layers
        return [
            layer for layer in self.backbone.layers if all(layer is not other for other in used)
        ]

    def _used_blocks(self) -> list[Layer]:
        unused = [id(block) for layer in self._unused_layers() for block in blocks(layer)]
        return [block for block in blocks(self.backbone) if id(block) not in unused]

    def call(self, inputs: Structure, training: bool | None = None) -> Tensor:
        named = self._inputs.by_name(inputs)
        if not self.backbone.trainable_variables:
            training = False
        x = self.backbone(self._inputs.for_backbone(named), training=training)
        x = x if self._output_name is None else x[self._output_name]
        if self._channels_first:
            x = ops.transpose(x, (0, 2, 3, 1))
        if self._pooling is not None:
            x = POOLINGS[self._pooling](x, _padding_mask(named), named.get("token_ids"))
        return x if self.projection is None else self.projection(x)

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports the encoder as `keras.Model.export`. By default, for inputs of the backbone."""
        if input_signature is None:
            # Keras takes the shapes of the first call, and the encoder is built before it.
            input_signature = [self._inputs.specs]
        super().export(filepath, format, verbose, input_signature, **kwargs)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "projection_dim": self.projection_dim,
            "pooling": self.pooling,
            "trainable_blocks": self.trainable_blocks,
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: Mapping[str, Any] | None = None
    ) -> "Encoder":
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})


def load_backbone(backbone: Any) -> Any:
    """Loads the backbone of a keras-hub preset. Returns anything but a string unchanged."""
    if not isinstance(backbone, str):
        return backbone
    check_no_application(backbone)
    try:
        import keras_hub
    except ImportError as error:
        raise ImportError(
            f"The name of a preset needs keras-hub, which cannot be imported ({error}). "
            f"Run: pip install keras-hub. Received: backbone={backbone!r}."
        ) from error
    return keras_hub.models.Backbone.from_preset(backbone)


def _padding_mask(named: dict[str, Tensor]) -> Tensor | None:
    # The name of T5's mask is `encoder_padding_mask`.
    masks = [mask for name, mask in named.items() if name.endswith("padding_mask")]
    return masks[0] if masks else None


def _select_output(backbone: keras.Model, output: Any) -> tuple[str | None, Tensor]:
    """Returns the output to pool, and its name if the backbone has several outputs."""
    if isinstance(output, dict) and "sequence_output" in output:
        return "sequence_output", output["sequence_output"]
    if isinstance(output, (dict, list, tuple)):
        names = ", ".join(output) if isinstance(output, dict) else f"{len(output)} without names"
        hint = (
            " For an image-text backbone, use `kc.encoders.split_image_text_backbone`."
            if "text_logits" in output
            else ""
        )
        raise ValueError(
            "`backbone` must have one output, or one named `sequence_output`. Received: "
            f"`{type(backbone).__name__}` with the outputs {names}. Select one: "
            f"`keras.Model(backbone.input, backbone.output[...])`.{hint}"
        )
    return None, output
