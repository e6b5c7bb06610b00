"""What a backbone takes, from what there is."""

import keras
from keras import ops

# Names of Hugging Face's tokenizers. Its `pixel_values` are not `images`: their channels come first.
_OTHER_NAMES = {
    "token_ids": "input_ids",
    "padding_mask": "attention_mask",
    "segment_ids": "token_type_ids",
}


class Inputs:
    """The inputs of a backbone by name.

    Args:
        backbone: A Functional model.
    """

    def __init__(self, backbone):
        inputs, _ = ends_of(backbone)
        self._as_dict = isinstance(inputs, dict)
        self.names = tuple(inputs) if self._as_dict else (inputs.name,)

    def named(self, inputs):
        """A dict of what the backbone takes, from such a dict or one of Hugging Face's, or from a single tensor."""
        if not isinstance(inputs, dict):
            if len(self.names) > 1 or isinstance(inputs, (list, tuple)):
                raise TypeError(
                    f"This encoder takes a dict with {', '.join(self.names)}. Received: {type(inputs).__name__}. "
                    "A tokenizer or a preprocessor makes such a dict."
                )
            return {self.names[0]: inputs}
        found = {}
        for name in self.names:
            other = _OTHER_NAMES.get(name)
            if name in inputs or other in inputs:
                found[name] = inputs[name if name in inputs else other]
        if "token_ids" in found and "segment_ids" in self.names and "segment_ids" not in found:
            found["segment_ids"] = ops.zeros_like(found["token_ids"])  # one text, not a pair
        missing = [name for name in self.names if name not in found]
        if missing:
            cause = " Its channels come first: transpose them." if "pixel_values" in inputs else ""
            raise ValueError(
                f"This encoder lacks the inputs {', '.join(missing)}. Expected: {', '.join(self.names)} (or Hugging "
                f"Face's input_ids, attention_mask, token_type_ids). Received: {', '.join(map(str, inputs))}.{cause}"
            )
        return found

    def given(self, named):
        """The dict as the backbone takes it."""
        return named if self._as_dict else named[self.names[0]]


def ends_of(backbone):
    """The symbolic inputs and outputs of a model, each one tensor or a dict of them by name.

    Raises:
        TypeError: What is no Keras model.
        ValueError: A model whose inputs or outputs are not known, or have no names.
    """
    if not isinstance(backbone, keras.Model):
        raise TypeError(
            "`backbone` must be a model of keras-hub, keras-nlp, keras-cv or Keras, or the name of a preset of "
            f"keras-hub. Received: backbone={backbone!r}."
        )
    if isinstance(backbone, keras.Sequential):  # which knows its `input` only when it was called
        ends = [
            *(backbone.inputs if backbone.built else ()),
            *(backbone.outputs if backbone.built else ()),
        ]
    else:
        ends = [getattr(backbone, end, None) for end in ("input", "output")]
    inputs, outputs = ends if len(ends) == 2 else (None, None)
    if inputs is None or outputs is None or isinstance(inputs, (list, tuple)):
        raise ValueError(
            "`backbone` must be a Functional or Sequential model with one input, or a dict of them by name. Received: "
            f"`{type(backbone).__name__}`. Give a Sequential model a `keras.Input`; wrap a subclassed one, "
            "`keras.Model(inputs, model(inputs))`."
        )
    return inputs, outputs
