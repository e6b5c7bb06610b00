"""Embedder: one output of a trainer as a model of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_contrastive._engine import unit_rows
from keras_contrastive._keras import serialize
from keras_contrastive._portable import PortableModel
from keras_contrastive._typing import Config, Layer, Structure, Tensor
from keras_contrastive.trainers import _torch_export as torch_export
from keras_contrastive.trainers._contract import one_encoder_contract
from keras_contrastive.trainers._data_sets import checked
from keras_contrastive.trainers._epoch_data import is_rows
from keras_contrastive.trainers._input_specs import signature_of, specs_of, symbolic
from keras_contrastive.trainers._raw_rows import RawRows, check_preprocessor, preprocessed


@keras.saving.register_keras_serializable(package="keras_contrastive")
class Embedder(PortableModel):
    """Computes embeddings of one modality, with layers that it shares with a trainer.

    See `ContrastiveTrainer.embedder`, which makes it.

    Args:
        parts: Layers, applied one after the other.
        normalize: Whether rows are scaled to unit length.
        truncate: `None`, or how many dimensions are kept.
        preprocessor: `None`, or a function that turns raw rows into inputs of the first layer.
        **kwargs: See `keras.Model`.
    """

    def __init__(
        self,
        parts: Sequence[Layer],
        normalize: bool = True,
        truncate: int | None = None,
        preprocessor: Callable[[Any], Structure] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.parts = list(parts)
        self.normalize = normalize
        self.truncate = truncate
        self.preprocessor = preprocessor

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "preprocessor":
            # Keras would track a layer, and adds none to a model that is built.
            self.__dict__[name] = check_preprocessor(value)
        else:
            super().__setattr__(name, value)

    def call(self, inputs: Structure, training: bool | None = None) -> Tensor:
        # A loaded model is built from these, not from the shapes that Keras stores.
        self.__dict__.setdefault("_specs", specs_of(inputs, self.variable_dtype))
        embeddings = inputs
        for part in self.parts:
            embeddings = part(embeddings, training=False)
        if self.truncate is not None:
            _check_truncate(self.truncate, embeddings.shape[-1])
            embeddings = embeddings[..., : self.truncate]
        return unit_rows(embeddings) if self.normalize else embeddings

    # Data

    def predict(self, x: Any, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Returns embeddings as `keras.Model.predict`, of raw rows if there is a preprocessor."""
        if self.preprocessor is not None:
            return super().predict(RawRows(x, self.preprocessor, batch_size), None, *args, **kwargs)
        return super().predict(self._checked(x), batch_size, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Returns embeddings of one batch, of raw rows if there is a preprocessor."""
        if self.preprocessor is not None:
            x = preprocessed(x, self.preprocessor)
        return super().predict_on_batch(self._checked(x))

    def _checked(self, x: Any) -> Any:
        contract = one_encoder_contract(self.parts[0])
        if not is_rows(x):
            return checked(x, contract)
        specs = self.__dict__.get("_specs")
        if isinstance(x, dict) and specs is not None and not isinstance(specs, dict):
            raise TypeError(
                "`x` must be the input of one encoder, an array. Received: a dict with "
                f"{', '.join(map(str, x))}. Pass the array, such as `x[{next(iter(x), '')!r}]`."
            )
        x = contract.arrays(x)[0]
        if not self.built:
            self.build_for(specs_of(x, self.variable_dtype))
        return x

    # Building and saving

    def build_for(self, specs: Structure) -> None:
        """Builds the model for inputs of `specs_of`. Raises if an option does not fit them."""
        self(symbolic(specs))

    def get_build_config(self) -> Config | None:
        specs = self.__dict__.get("_specs")
        return None if specs is None else {"inputs": symbolic(specs)}

    def build_from_config(self, config: Config) -> None:
        self(keras.saving.deserialize_keras_object(config["inputs"]))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "parts": [serialize(part) for part in self.parts],
            "normalize": self.normalize,
            "truncate": self.truncate,
            "preprocessor": _serialized_preprocessor(self.preprocessor),
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: dict[str, Any] | None = None
    ) -> "Embedder":
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("parts", "preprocessor")
        }
        return cls(**{**config, **parts})

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports a program as `keras.Model.export`, for batches of any size.

        This package is not needed where the program is loaded.

        Args:
            filepath: See `keras.Model.export`.
            format: See `keras.Model.export`.
            verbose: See `keras.Model.export`.
            input_signature: See `keras.Model.export`. By default, that of the data of the trainer,
                or of the embedder's first call.
            **kwargs: See `keras.Model.export`.

        Raises:
            ValueError: If there is a preprocessor, or the shapes of the inputs are unknown.
        """
        specs = self.__dict__.get("_specs")
        if self.preprocessor is not None:
            raise ValueError(
                "`preprocessor` must be `None` in `export`, since a program has no Python. "
                f"Received: preprocessor={self.preprocessor!r}. Export an embedder without it, and "
                "apply it where the program is loaded."
            )
        if specs is None and input_signature is None:
            raise ValueError(
                "`input_signature` must be given if the shapes of the inputs are unknown. "
                "Received: input_signature=None. Or call `fit` of the trainer, or `predict`, first."
            )
        signature = signature_of(specs) if input_signature is None else input_signature
        if input_signature is None and keras.backend.backend() == "torch":
            if format == "onnx":
                torch_export.export_onnx(self, filepath, signature, **kwargs)
                return
            if format == "torch":
                kwargs.setdefault("dynamic_shapes", torch_export.dynamic_shapes(signature))
        super().export(filepath, format, verbose, signature, **kwargs)


def _check_truncate(truncate: int, dim: int | None) -> None:
    if dim is not None and truncate > dim:
        raise ValueError(
            f"`truncate` must be in [1, {dim}], the size of the embeddings. "
            f"Received: truncate={truncate}."
        )


def _serialized_preprocessor(preprocessor: Any) -> Any:
    try:
        return keras.saving.serialize_keras_object(preprocessor)
    except Exception as error:
        raise ValueError(
            "`preprocessor` must be a registered function or a Keras layer, so that it can be "
            f"saved. Received: preprocessor={preprocessor!r}. Register it with "
            "`keras.saving.register_keras_serializable()`, or save an embedder without it and set "
            "`embedder.preprocessor` after loading."
        ) from error
