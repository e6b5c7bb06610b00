"""A published backbone as an encoder: one vector for each input."""

import keras

from keras_contrastive.encoders._blocks import blocks, set_trainable, train_only
from keras_contrastive.encoders._inputs import Inputs, ends_of
from keras_contrastive.encoders._pooling import POOLINGS, flattened, pooling_for
from keras_contrastive.encoders._presets import load_backbone


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Encoder(keras.Model):
    """Turns a backbone into an encoder that ends in `(batch, dim)`, ready to be a tower.

    It pools as the family of the backbone was made to be pooled: feature maps by their global average, vision
    transformers by their class token, BERT and its kin by the mean over the positions that `padding_mask` leaves,
    causal language models by the last of these, CLIP's text encoder by the end of the text. It takes what the backbone
    takes (`{"token_ids": ..., "padding_mask": ...}`; a single input also without its name), and such dicts with the
    names of Hugging Face (`input_ids`, `attention_mask`, `token_type_ids`). Further entries are ignored, and absent
    `segment_ids` are zeros.

    Args:
        backbone: A model of keras-hub, keras-nlp, keras-cv or `keras.applications` (without its top), any Functional or
            Sequential model, or the name (or folder) of a keras-hub preset. It is shared, not copied: training the
            encoder trains it.
        projection_dim: `None`, or the dimension of a linear projection of the pooled vector, without bias.
        pooling: `"auto"`, `"mean"`, `"class_token"`, `"last_token"` or `"end_of_text"`.
        trainable_blocks: How much of the backbone is trained: `None` leaves it as it is, `"all"`, or how many of its
            last blocks (see `blocks`); 0 freezes it. A frozen backbone runs as in inference, without dropout. May be
            assigned later; then `compile` again, as Keras asks. The projection is always trained.
        **kwargs: See `keras.Model`.

    Call arguments:
        inputs: What the backbone takes, as one array or as a dict of arrays by name.

    Returns:
        `(batch, dim)`; not normalized, which the losses do.

    Raises:
        TypeError: A backbone that is no Keras model; a single tensor where the backbone has several inputs.
        ValueError: A backbone whose inputs or outputs are not known, or whose family is not (then pass `pooling`);
            inputs that lack one.
        ImportError: The name of a preset, and keras-hub is not installed.

    Example:

    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(6, 3)])
    >>> encoder = Encoder(backbone, projection_dim=4, trainable_blocks=0)
    >>> encoder.predict(np.ones((5, 8, 8, 3), "float32"), verbose=0).shape
    (5, 4)
    >>> [tuple(weight.shape) for weight in encoder.trainable_weights]
    [(6, 4)]
    """

    def __init__(
        self, backbone, projection_dim=None, pooling="auto", trainable_blocks=None, **kwargs
    ):
        super().__init__(**kwargs)
        backbone = load_backbone(backbone)
        _, outputs = ends_of(backbone)
        if projection_dim is not None and (
            not isinstance(projection_dim, int) or projection_dim < 1
        ):
            raise ValueError(
                f"`projection_dim` must be `None` or a positive integer. Received: projection_dim={projection_dim!r}."
            )
        self.backbone = backbone
        self.pooling = pooling
        self.projection_dim = projection_dim
        self._output_name, output = _sequence_of(backbone, outputs)
        self._inputs = Inputs(backbone)
        self._pooling = pooling_for(backbone, output, pooling)
        if self._pooling == "end_of_text" and "token_ids" not in self._inputs.names:
            raise ValueError(
                "`pooling='end_of_text'` needs a backbone with an input `token_ids`. "
                f"Received: one with {', '.join(self._inputs.names)}."
            )
        self._is_map = len(output.shape) == 4
        self._data_format = getattr(backbone, "data_format", None)
        first = (
            self._is_map
            and (self._data_format or keras.config.image_data_format()) == "channels_first"
        )
        self.projection = None
        if projection_dim is not None:
            self.projection = keras.layers.Dense(projection_dim, use_bias=False, name="projection")
            self.projection.build((None, output.shape[1 if first else -1]))
        self.trainable_blocks = trainable_blocks
        self.built = True  # every weight is there

    @property
    def blocks(self):
        """The names of the backbone's blocks, from its input on: what `trainable_blocks` counts from the end.

        A block is a layer with weights; those in a list, as vision transformers keep them, count one by one.
        """
        return [block.name for block in self._blocks()]

    @property
    def trainable_blocks(self):
        """How many of the last blocks are trained; see the class."""
        return self._trainable_blocks

    @trainable_blocks.setter
    def trainable_blocks(self, count):
        used = self._blocks()
        if count is not None and count != "all":
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= len(used):
                raise ValueError(
                    f"`trainable_blocks` must be `None`, 'all' or an integer in [0, {len(used)}], the number of blocks "
                    f"of this backbone. Received: trainable_blocks={count!r}."
                )
            train_only(self.backbone, used[len(used) - count :])
        elif count == "all":
            set_trainable(self.backbone, True)
        for layer in self._unused():
            set_trainable(layer, False)  # it has no gradient, and weight decay would wear it away
        self._trainable_blocks = count

    def _unused(self):
        """Layers of the backbone that its other outputs need, such as BERT's pooler."""
        if self._output_name is None:
            return []
        used = keras.Model(self.backbone.inputs, self.backbone.output[self._output_name]).layers
        return [
            layer for layer in self.backbone.layers if all(layer is not other for other in used)
        ]

    def _blocks(self):
        unused = [id(block) for layer in self._unused() for block in blocks(layer)]
        return [block for block in blocks(self.backbone) if id(block) not in unused]

    def call(self, inputs, training=None):
        named = self._inputs.named(inputs)
        if not self.backbone.trainable_variables:
            training = False
        x = self.backbone(self._inputs.given(named), training=training)
        x = x if self._output_name is None else x[self._output_name]
        if self._is_map:
            x = flattened(x, self._data_format)
        if self._pooling is not None:
            dtype = x.dtype
            x = POOLINGS[self._pooling](x, _mask_of(named), named.get("token_ids"))
            x = keras.ops.cast(x, dtype)
        return x if self.projection is None else self.projection(x)

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "projection_dim": self.projection_dim,
            "pooling": self.pooling,
            "trainable_blocks": self.trainable_blocks,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(
            config["backbone"], custom_objects=custom_objects
        )
        return cls(**{**config, "backbone": backbone})


def _mask_of(named):
    masks = [
        mask for name, mask in named.items() if name.endswith("padding_mask")
    ]  # `encoder_padding_mask` of T5's
    return masks[0] if masks else None


def _sequence_of(backbone, output):
    """The output that is pooled, with its name if there are several."""
    if isinstance(output, dict) and "sequence_output" in output:
        return "sequence_output", output["sequence_output"]
    if isinstance(output, (dict, list, tuple)):
        names = ", ".join(output) if isinstance(output, dict) else f"{len(output)} without names"
        image_text = (
            " For an image-text backbone, see `kc.encoders.towers`."
            if "text_logits" in output
            else ""
        )
        raise ValueError(
            f"`backbone` must have one output, or one named `sequence_output`. Received: `{type(backbone).__name__}` "
            f"with the outputs {names}. Choose one: `keras.Model(backbone.input, backbone.output[...])`.{image_text}"
        )
    return None, output
