"""EmbedderSource: a model for each output of a trainer."""

from collections.abc import Callable
from typing import Any

import keras

from keras_contrastive import _checks
from keras_contrastive._typing import Layer, Structure
from keras_contrastive._view_names import modality_name
from keras_contrastive.layers import ViewRegularizer
from keras_contrastive.trainers._embedder import Embedder
from keras_contrastive.trainers._objective import ObjectiveModel
from keras_contrastive.trainers._raw_rows import check_preprocessor
from keras_contrastive.trainers._second_views import FIRST_VIEW

_HOOKS = ("encode", "project", "embed_all")


class EmbedderSource(ObjectiveModel):
    """Adds `embedder` to a model with an objective.

    Subclasses that override `encode`, `project` or `embed_all` override the hook
    `embedding_layers` too.
    """

    def embedder(
        self,
        modality: str | None = None,
        projected: bool = True,
        normalize: bool = True,
        truncate: int | None = None,
        preprocessor: Callable[[Any], Structure] | None = None,
    ) -> keras.Model:
        """Returns a model that embeds one modality, with the weights of this one.

        Use it to compute vectors, to save or export a tower, and to serve it. It shares the layers
        of the trainer: after more training, it returns the new vectors. Augmenters and regularizers
        do not run in it.

        * `predict(x)` takes the input of one encoder, as arrays or a data set, without a dict.
        * `save` writes a file for `keras.models.load_model`, which needs this package.
        * `export` writes a program that does not need this package and takes batches of any size:
          `"tf_saved_model"` on TensorFlow, and on JAX if TensorFlow is installed; `"litert"` on
          TensorFlow; `"torch"` on PyTorch, and `"onnx"` if onnx and onnxscript are installed.

        Args:
            modality: The name of an output of `predict`: a modality, or a part that a regularizer
                keeps, such as `"image_independent"`. `None` for a trainer with one encoder.
            projected: Whether to apply the projector, if there is one. `False` returns the
                representation, the output of the encoder.
            normalize: Whether rows have unit length. Rows of zeros stay zero.
            truncate: `None`, or a positive integer: how many leading dimensions are kept, before
                rows are normalized.
            preprocessor: `None`, or a function of a list of raw rows that returns inputs of the
                encoder, such as a tokenizer or a preprocessor of keras-hub. It must pad to one
                length. `predict` then takes raw rows, such as strings, and applies it batch by
                batch. It is saved if Keras can serialize it, and it is not exported.

        Returns:
            A `keras.Model` from inputs `(batch, ...)` to embeddings `(batch, dim)`, in float32 or
            wider if `normalize` is `True`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If there is no such output, or `truncate` is larger than the embeddings.

        Example:

        >>> image = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
        >>> text = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
        >>> model = keras_contrastive.ContrastiveTrainer({"image": image, "text": text})
        >>> embedder = model.embedder("image", truncate=3)
        >>> vectors = embedder.predict(np.eye(8)[:5], verbose=0)
        >>> vectors.shape
        (5, 3)
        >>> np.allclose(np.linalg.norm(vectors, axis=1), 1)
        True
        >>> lengths = lambda words: np.array([[len(word)] * 6 for word in words])
        >>> model.embedder("text", preprocessor=lengths).predict(["a", "word"], verbose=0).shape
        (2, 4)
        """
        self._check_embedding_layers()
        if modality is not None and not isinstance(modality, str):
            raise TypeError(
                f"`modality` must be `None` or a string. Received: modality={modality!r}."
            )
        projected = _checks.boolean("projected", projected)
        normalize = _checks.boolean("normalize", normalize)
        truncate = _checks.optional_positive_int("truncate", truncate)
        check_preprocessor(preprocessor)
        layers = self._layers_of_output(modality, projected)
        options = {"truncate": truncate, "preprocessor": preprocessor, "dtype": self.dtype_policy}
        title = "embedder" if modality is None else f"{modality}_embedder"
        embedder = Embedder(layers, normalize, name=title, **options)
        specs = self.input_specs.get(FIRST_VIEW if modality is None else modality_name(modality))
        if specs is not None:
            embedder.build_for(specs)
        return embedder

    def embedding_layers(self, modality: str, projected: bool) -> list[Layer]:
        """Returns the layers that embed a modality in inference. A hook for subclasses.

        Subclasses that override `encode`, `project` or `embed_all` override it too.

        Args:
            modality: The name of the modality. With one encoder, `"view_1"`.
            projected: Whether the last layer is the projector, if there is one.

        Returns:
            A list of layers, each applied to the output of the one before it.
        """
        parts = [self.encoders, self.projectors] if projected else [self.encoders]
        layers = [part.get(modality) if isinstance(part, dict) else part for part in parts]
        return [layer for layer in layers if layer is not None]

    def _layers_of_output(self, name: str | None, projected: bool) -> list[Layer]:
        if not self.has_towers:
            if name is not None:
                raise ValueError(
                    "`modality` must be `None`, because the trainer has one encoder. "
                    f"Received: modality={name!r}."
                )
            return self.embedding_layers(FIRST_VIEW, projected)
        heads: dict[str, Any] = {}
        for regularizer in self.regularizers:
            if isinstance(regularizer, ViewRegularizer):
                heads |= regularizer.output_heads(self.modalities)
        known = [*self.modalities, *heads]
        if name is None or name not in known:
            raise ValueError(
                f"`modality` must be one of {', '.join(known)}. Received: modality={name!r}."
            )
        if name not in heads:
            return self.embedding_layers(name, projected)
        source, head = heads[name]
        if not projected:
            raise ValueError(
                f"`projected` must be True for {name!r}, the output of a regularizer. "
                "Received: projected=False."
            )
        if head is None:
            raise ValueError(
                f"The trainer must be built before it embeds {name!r}. Received: a trainer that was"
                " never called. Call `fit`, or `predict` with all modalities, first."
            )
        return [*self.embedding_layers(modality_name(name), source == "embedding"), head]

    def _check_embedding_layers(self) -> None:
        """Raises if a subclass embeds in another way than `embedding_layers`."""
        classes = type(self).__mro__

        def first(method: str) -> int:
            return next(i for i, owner in enumerate(classes) if method in vars(owner))

        overridden = [hook for hook in _HOOKS if first(hook) < first("embedding_layers")]
        if overridden:
            raise TypeError(
                f"`{type(self).__name__}` must override `embedding_layers`, which an embedder is "
                f"made of. Received: a class that overrides {', '.join(overridden)} only."
            )
