"""Inputs and outputs of a backbone, by name."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._typing import Structure, Tensor

# Names of Hugging Face's tokenizers. `pixel_values` is missing: its channels come first.
_HUGGING_FACE_NAMES = {
    "token_ids": "input_ids",
    "padding_mask": "attention_mask",
    "segment_ids": "token_type_ids",
}


class BackboneInputs:
    """Finds the inputs of a backbone in what a user passes.

    Args:
        backbone: A Functional or Sequential model.

    Attributes:
        names: The names of the inputs.
        specs: The `keras.InputSpec` of the inputs, one or a dict.
    """

    def __init__(self, backbone: keras.Model) -> None:
        inputs, _ = inputs_and_outputs(backbone)
        self._is_dict = isinstance(inputs, dict)
        self.names = tuple(inputs) if self._is_dict else (inputs.name,)
        self.specs = keras.tree.map_structure(_spec, inputs)

    def by_name(self, inputs: Structure) -> dict[str, Tensor]:
        """Returns the inputs of the backbone by name.

        Args:
            inputs: A dict with the names of the backbone or of Hugging Face, or a single tensor.

        Raises:
            TypeError: If `inputs` is a single tensor and the backbone has several inputs.
            ValueError: If an input is missing.
        """
        if not isinstance(inputs, dict):
            if len(self.names) > 1 or isinstance(inputs, (list, tuple)):
                raise TypeError(
                    f"`inputs` must be a dict with {', '.join(self.names)}. "
                    f"Received: {type(inputs).__name__}. "
                    "A tokenizer or a preprocessor returns such a dict."
                )
            return {self.names[0]: inputs}
        named = {}
        for name in self.names:
            alias = _HUGGING_FACE_NAMES.get(name)
            if name in inputs or alias in inputs:
                named[name] = inputs[name if name in inputs else alias]
        if "token_ids" in named and "segment_ids" in self.names and "segment_ids" not in named:
            # Zeros mark a single text, not a pair of texts.
            named["segment_ids"] = ops.zeros_like(named["token_ids"])
        missing = [name for name in self.names if name not in named]
        if missing:
            fix = (
                " `pixel_values` have their channels first. Transpose them to `images`."
                if "pixel_values" in inputs
                else ""
            )
            raise ValueError(
                f"`inputs` must have the entries {', '.join(self.names)} (or the names of Hugging "
                "Face: input_ids, attention_mask, token_type_ids). Received: "
                f"{', '.join(map(str, inputs))}. Add {', '.join(missing)}.{fix}"
            )
        return named

    def for_backbone(self, named: dict[str, Tensor]) -> Structure:
        """Returns named inputs in the structure that the backbone expects."""
        return named if self._is_dict else named[self.names[0]]


def _spec(tensor: Any) -> keras.InputSpec:
    return keras.InputSpec(dtype=tensor.dtype, shape=(None, *tensor.shape[1:]), name=tensor.name)


def inputs_and_outputs(backbone: Any) -> tuple[Any, Any]:
    """Returns the symbolic inputs and outputs of a model. Each is a tensor or a dict of tensors.

    Raises:
        TypeError: If `backbone` is not a Keras model.
        ValueError: If the inputs or outputs of the model are unknown or have no names.
    """
    if not isinstance(backbone, keras.Model):
        raise TypeError(
            "`backbone` must be a model of keras-hub, keras-nlp, keras-cv or Keras, or the name of "
            f"a preset of keras-hub. Received: backbone={backbone!r}."
        )
    if isinstance(backbone, keras.Sequential):
        # A Sequential model has no `input` before it is called.
        ends = [*backbone.inputs, *backbone.outputs] if backbone.built else []
    else:
        ends = [getattr(backbone, end, None) for end in ("input", "output")]
    inputs, outputs = ends if len(ends) == 2 else (None, None)
    if inputs is None or outputs is None or isinstance(inputs, (list, tuple)):
        raise ValueError(
            "`backbone` must be a Functional or Sequential model with one input, or with a dict of "
            f"inputs. Received: `{type(backbone).__name__}`. Start a Sequential model with a "
            "`keras.Input`. Wrap a subclassed model: `keras.Model(inputs, model(inputs))`."
        )
    return inputs, outputs
