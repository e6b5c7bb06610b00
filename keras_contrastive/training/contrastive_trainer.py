"""ContrastiveTrainer: towers, views and a contrastive loss as one Keras model."""

import inspect
import itertools

import keras
import numpy as np
from keras import ops

from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.similarity import check_ids
from keras_contrastive.training.checks import check_hard_negatives, check_metrics, check_modalities, check_parts
from keras_contrastive.training.portable import portable_optimizer


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ContrastiveTrainer(keras.Model):
    """Trains encoders so that the views of one item meet and those of different items part.

    * **Towers**: a dict of encoders, one for each modality; `x` is a dict with the same names. All
      pairs of modalities are contrasted. Two names may share one encoder. A modality with an augmenter gets
      a second, augmented view, which is contrasted with the first (`in_modal_weight`) and seen by the
      regularizers.
    * **Self-supervision**: one encoder and an augmenter; the two views are two augmentations of `x`.

    `call` returns what the loss sees: a dict of embeddings by modality, or one tensor. (In training,
    self-supervised `call` returns the embedding of an augmented view.) Everything else is as in
    `keras.Model`: `fit`, `evaluate`, `predict`, callbacks, saving, mixed precision.

    Args:
        encoders: A Keras layer or model, or a dict of them by modality; each ends in `(batch, dim)`.
        augmenters: For one encoder, a layer that makes a random view of `x`. It is required; where
            the encoder's own dropout is noise enough, say so with `keras.layers.Identity()`.
            For towers, `None` or a dict with the modalities that are to be augmented.
        projectors: A layer applied to the encoder's output, or a dict by modality, or `None`.
        regularizers: Layers with a method `penalty(views)` that returns a scalar, added to the loss and
            reported under the layer's name. `views` is a dict: the modalities and, for augmented ones,
            `"<modality>_augmented"`; for one encoder, `"view_1"` and `"view_2"`.
        hard_negatives: `None`, or a dict from the names of further inputs in `x` to the modalities that embed
            them, such as `{"wrong_text": "text"}`: they join the candidates of that modality, for all anchors,
            and are nobody's positive. `predict` does without them.
        in_modal_weight: In [0, 1], share of the contrast between each modality and its augmented view, if
            there are any; the rest is the contrast between modalities. One half is (P2-3) of
            [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), with augmented keys.
        **kwargs: See `keras.Model`.

    Raises:
        TypeError, ValueError: Encoders, augmenters, projectors or regularizers that do not fit together.

    Example:

    >>> tower = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    >>> model = ContrastiveTrainer({"image": tower, "text": other})
    >>> model.compile(optimizer="adam", loss=keras_contrastive.losses.InfoNCE())
    >>> x = {"image": np.ones((5, 8), "float32"), "text": np.ones((5, 6), "float32")}
    >>> history = model.fit(x, epochs=2, verbose=0)
    >>> round(history.history["loss"][0], 3)  # nothing tells these items apart: log(5)
    1.609
    >>> model.predict(x, verbose=0)["text"].shape
    (5, 4)
    """

    def __init__(
        self,
        encoders,
        augmenters=None,
        projectors=None,
        regularizers=(),
        hard_negatives=None,
        in_modal_weight=0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._towers = isinstance(encoders, dict)
        self._names = tuple(encoders) if self._towers else ()
        check_parts(encoders, augmenters, projectors, regularizers)
        if not 0 <= in_modal_weight <= 1:
            raise ValueError(f"`in_modal_weight` must be in [0, 1]. Received: in_modal_weight={in_modal_weight}.")
        self.encoders = encoders
        self.augmenters = _without_none(augmenters)
        self.projectors = projectors
        self.regularizers = list(regularizers)
        check_hard_negatives(hard_negatives, encoders)
        self.hard_negatives = dict(hard_negatives or {})
        self.in_modal_weight = in_modal_weight
        self._penalties = [keras.metrics.Mean(name=regularizer.name) for regularizer in self.regularizers]
        # What `compile` brings may come after the model was built, when Keras takes no new attributes.
        self._loss_layers = _Holder(name="loss_layers")
        self._batch_metrics = _Holder(name="batch_metrics")
        self._num_weighted = 0
        self._asked_jit_compile = "auto"

    # Embeddings

    def call(self, inputs, training=None):
        if not self._towers:
            self._build_augmenter(self.augmenters, inputs)
            if training:
                inputs = self.augmenters(inputs, training=True)
            embeddings = self._embed(None, inputs, training)
            self._build_regularizers({"view_1": embeddings.shape, "view_2": embeddings.shape})
            return embeddings
        check_modalities(inputs, self._names)
        for name, augmenter in (self.augmenters or {}).items():
            self._build_augmenter(augmenter, inputs[name])
        embeddings = {name: self._embed(name, inputs[name], training) for name in self._names}
        shapes = {name: embedding.shape for name, embedding in embeddings.items()}
        self._build_regularizers(shapes | {f"{name}_augmented": shapes[name] for name in self.augmenters or ()})
        return embeddings

    def _embed(self, name, inputs, training):
        embedding = (self.encoders if name is None else self.encoders[name])(inputs, training=training)
        projector = self.projectors
        if isinstance(projector, dict):
            projector = projector.get(name)
        return embedding if projector is None else projector(embedding, training=training)

    @staticmethod
    def _build_augmenter(augmenter, inputs):
        # `call` alone is traced when a model is built, or loaded: all weights must exist afterwards.
        if not augmenter.built:
            augmenter(inputs, training=True)

    def _build_regularizers(self, shapes):
        for regularizer in self.regularizers:
            if not regularizer.built:
                regularizer.build(shapes)

    # Loss and metrics

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Contrast, penalties and the encoders' own losses; also updates the metrics, which need all views."""
        if self.loss is None:
            raise ValueError(
                "`ContrastiveTrainer` has no loss. Call `compile(loss=...)` with a contrastive loss first."
            )
        # Now, as of `call`: of the passes to come, some backends would keep these losses and some not.
        own_losses = super().compute_loss(x, None, None, None, training) if self.losses else 0.0
        views, pairs = self._views(x, y_pred, training)
        total = self.loss(
            y,
            list(views.values()),
            sample_weight,
            training=bool(training),
            pairs=pairs,
            hard_negatives=self._embed_hard_negatives(x, training),
        )
        for regularizer, penalty in zip(self.regularizers, self._penalties, strict=True):
            value = regularizer.penalty(views)
            penalty.update_state(value)
            total += ops.cast(value, total.dtype)
        total += ops.cast(own_losses, total.dtype)
        self._update_metrics(y, views, sample_weight)
        return total

    def _views(self, x, y_pred, training):
        """All views by name, and the weights of the pairs that are contrasted."""
        if not self._towers:
            # `call` has embedded the first view; in evaluation that is `x` itself.
            second = self._embed(None, self.augmenters(x, training=True), training)
            return {"view_1": y_pred, "view_2": second}, {(0, 1): 1.0}
        views = {name: y_pred[name] for name in self._names}
        for name in self._names:
            if name in (self.augmenters or ()):
                augmented = self.augmenters[name](x[name], training=True)
                views[f"{name}_augmented"] = self._embed(name, augmented, training)
        return views, self._pairs()

    def _embed_hard_negatives(self, x, training):
        """Embeddings by the index of the view whose candidates they join."""
        by_view: dict = {}
        if self.hard_negatives:
            check_modalities(x, (*self._names, *self.hard_negatives))
        for name, modality in self.hard_negatives.items():
            by_view.setdefault(self._names.index(modality), []).append(self._embed(modality, x[name], training))
        return {view: ops.concatenate(embeddings) for view, embeddings in by_view.items()}

    def _pairs(self):
        """Between modalities, and between each modality and its augmented view; `None` for a single view."""
        if not self._towers:
            return {(0, 1): 1.0}
        cross = list(itertools.combinations(range(len(self._names)), 2))
        augmented = [i for i, name in enumerate(self._names) if name in (self.augmenters or ())]
        in_modal = [(i, len(self._names) + place) for place, i in enumerate(augmented)]
        share = self.in_modal_weight if cross and in_modal else float(not cross)
        pairs = {pair: (1 - share) / len(cross) for pair in cross}
        pairs |= {pair: share / len(in_modal) for pair in in_modal}
        return pairs or None

    def _update_metrics(self, y, views, sample_weight):
        names = self._names if len(self._names) > 1 else views
        stacked = ops.stop_gradient(ops.stack([views[name] for name in names], axis=1))
        ids = ops.arange(ops.shape(stacked)[0], dtype="int32") if y is None else y
        metrics = self._batch_metrics.held
        for metric in metrics[: len(metrics) - self._num_weighted]:
            metric.update_state(ids, stacked)
        for metric in metrics[len(metrics) - self._num_weighted :]:
            metric.update_state(ids, stacked, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()  # `compute_loss` has updated them

    # Compilation

    def compile(
        self, optimizer="rmsprop", loss=None, metrics=None, weighted_metrics=None, jit_compile="auto", **kwargs
    ):
        """As `keras.Model.compile`, with a contrastive loss.

        Args:
            optimizer: See `keras.Model`.
            loss: A `ContrastiveLoss`, such as `kc.losses.InfoNCE()`. The trainer tracks its layers. Compiling
                again with the same loss keeps their state.
            metrics: List of metrics. Each gets the ids (row numbers where there are none) and all views at once,
                `(batch, views, dim)`.
            weighted_metrics: The same, with `sample_weight`.
            jit_compile: See `keras.Model`.
            **kwargs: See `keras.Model`.
        """
        if not isinstance(loss, ContrastiveLoss):
            raise TypeError(
                "`loss` must be a contrastive loss, such as `keras_contrastive.losses.InfoNCE()`: it compares views, "
                f"where another Keras loss compares one output with its target. Received: loss={loss!r}."
            )
        if kwargs.get("loss_weights") is not None:
            raise ValueError(
                "`loss_weights` has no meaning here: there is one loss. "
                f"Received: loss_weights={kwargs['loss_weights']!r}."
            )
        metrics = [keras.metrics.get(metric) for metric in metrics or ()]
        weighted_metrics = [keras.metrics.get(metric) for metric in weighted_metrics or ()]
        check_metrics(metrics + weighted_metrics, self._penalties)
        loss.build(list(self._pairs() or ()))
        self._loss_layers.hold(loss.layers)
        self._batch_metrics.hold(metrics + weighted_metrics)
        self._num_weighted = len(weighted_metrics)
        self._asked_jit_compile = jit_compile
        super().compile(optimizer=optimizer, loss=None, jit_compile=jit_compile, **kwargs)
        self.loss = loss

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        metrics = [keras.saving.serialize_keras_object(metric) for metric in self._batch_metrics.held]
        plain = len(metrics) - self._num_weighted
        return {
            **config,
            "optimizer": portable_optimizer(config["optimizer"]),
            "loss": keras.saving.serialize_keras_object(self.loss),
            "metrics": metrics[:plain],
            "weighted_metrics": metrics[plain:],
            # As asked, not as this backend resolved it: the model may be loaded on another.
            "jit_compile": self._asked_jit_compile,
        }

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    # Data

    def fit(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.fit`; `y` holds integer ids `(batch,)`, or is left out.

        Where the loss keeps state for `num_items` items, `y` is left out, and `x` is arrays of exactly that many
        rows, the row numbers are the ids.
        """
        bound = inspect.signature(super().fit).bind(x, y, *args, **kwargs)
        arguments = bound.arguments
        if arguments.get("class_weight") is not None:
            raise ValueError("`class_weight` cannot be used: `y` holds ids, not classes. Pass `sample_weight` instead.")
        num_items = getattr(getattr(self, "loss", None), "num_items", None)
        if y is None and num_items is not None:
            arguments["y"] = _row_numbers(x, num_items)
        elif isinstance(y, np.ndarray) and np.issubdtype(y.dtype, np.integer):
            check_ids(y, num_items, name="y")
        arguments["y"] = _ids_for_weights(x, arguments["y"], arguments.get("sample_weight"))
        validation = arguments.get("validation_data")
        if isinstance(validation, (tuple, list)) and len(validation) == 3:
            new_x, new_y, weights = validation
            arguments["validation_data"] = (new_x, _ids_for_weights(new_x, new_y, weights, new=True), weights)
        return super().fit(*bound.args, **bound.kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`; `y` holds integer ids `(batch,)`, or is left out."""
        bound = inspect.signature(super().evaluate).bind(x, y, *args, **kwargs)
        bound.arguments["y"] = _ids_for_weights(x, y, bound.arguments.get("sample_weight"), new=True)
        return super().evaluate(*bound.args, **bound.kwargs)

    # Configuration

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoders": _map(serialize, self.encoders),
            "augmenters": _map(serialize, self.augmenters),
            "projectors": _map(serialize, self.projectors),
            "regularizers": [serialize(regularizer) for regularizer in self.regularizers],
            "hard_negatives": self.hard_negatives,
            "in_modal_weight": self.in_modal_weight,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("encoders", "augmenters", "projectors", "regularizers"):
            config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects)
        return cls(**config)


class _Holder(keras.layers.Layer):
    """Tracks what is handed to it at any time: it is never called, so Keras never closes its list."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.held = []
        self.built = True

    def hold(self, objects):
        self.held.clear()
        self.held.extend(objects)


def _without_none(part):
    return {name: layer for name, layer in part.items() if layer is not None} if isinstance(part, dict) else part


def _map(function, part):
    if isinstance(part, dict):
        return {name: function(layer) for name, layer in part.items()}
    return None if part is None else function(part)


def _ids_for_weights(x, y, sample_weight, new=False):
    # Without `y`, Keras drops the sample weights of arrays in silence.
    if y is not None or sample_weight is None:
        return y
    rows = _row_numbers(x)
    # New rows are none of those that a queue may remember.
    return 2**31 - 1 - rows if new and rows is not None else rows


def _row_numbers(x, num_items=None):
    leaves = keras.tree.flatten(x)
    if not leaves or not all(getattr(leaf, "shape", ()) for leaf in leaves):
        return None  # a data set of some kind: its batches bring their ids
    rows = leaves[0].shape[0]
    if num_items is not None and rows != num_items:
        raise ValueError(
            f"The loss remembers `num_items={num_items}` items, and `x` has {rows} rows without ids. "
            "Pass the ids of the rows as `y`, or the number of rows as `num_items`."
        )
    return np.arange(rows, dtype="int32")
