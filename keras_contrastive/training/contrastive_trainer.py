"""ContrastiveTrainer: towers, views and a contrastive loss as one Keras model."""

import inspect

import keras
import numpy as np
from keras import ops

from keras_contrastive.layers import ViewRegularizer
from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.similarity import as_views, check_ids
from keras_contrastive.training.checks import (
    check_further_inputs,
    check_in_modal_weight,
    check_metrics,
    check_modalities,
    check_parts,
)
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
        regularizers: Layers whose penalty is added to the loss and reported under the layer's name: those of
            `keras_contrastive.layers`, whose terms are reported as well, or any layer with a method `penalty(views)`
            that returns a scalar. `views` is a dict: the modalities and, for augmented ones, `"<modality>_augmented"`;
            for one encoder, `"view_1"` and `"view_2"`.
        hard_negatives: `None`, or a dict from the names of further inputs in `x` to the modalities that embed
            them, such as `{"wrong_text": "text"}`: they join the candidates of that modality, for all anchors,
            and are nobody's positive. `predict` does without them.
        present: `None`, or a dict from the names of further inputs in `x`, bool `(batch,)`, to modalities, such as
            `{"has_text": "text"}`: where they are False the item lacks that modality. What `x` holds there in its place
            (zeros, say) is embedded, but is no anchor and no candidate, and no penalty of
            `keras_contrastive.layers` sees it; metrics give weight to items that have all modalities. `predict` does
            without these inputs.
        in_modal_weight: Share of the contrast between modalities and their augmented views, if there are any: a
            float in [0, 1], divided among them equally, or a dict by modality. The rest is the contrast between
            modalities. One half makes the base loss of [Jiang et al., 2023](https://arxiv.org/abs/2303.05952),
            Sec. 4: the mean of image to text, text to image, image to augmented image and text to augmented text
            (with augmented candidates; as printed there, they are not, and the positive is missing).
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
        present=None,
        in_modal_weight=0.5,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._towers = isinstance(encoders, dict)
        self._names = tuple(encoders) if self._towers else ()
        check_parts(encoders, augmenters, projectors, regularizers)
        self.encoders = encoders
        self.augmenters = _without_none(augmenters)
        self.projectors = projectors
        self.regularizers = list(regularizers)
        for name, further in (("hard_negatives", hard_negatives), ("present", present)):
            check_further_inputs(name, further, encoders)
        self.hard_negatives = dict(hard_negatives or {})
        self.present = dict(present or {})
        self._augmented = tuple(name for name in self._names if name in (self.augmenters or ()))
        check_in_modal_weight(in_modal_weight, self._augmented)
        self.in_modal_weight = in_modal_weight
        self._means = [_means_of(regularizer) for regularizer in self.regularizers]
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
        features = {name: self._encode(name, inputs[name], training) for name in self._names}
        embeddings = {name: self._project(name, features[name], training) for name in self._names}
        shapes = {name: embedding.shape for name, embedding in embeddings.items()}
        shapes |= {f"{name}_augmented": shapes[name] for name in self._augmented}
        self._build_regularizers(shapes, {name: feature.shape for name, feature in features.items()})
        for regularizer in self.regularizers:
            if isinstance(regularizer, ViewRegularizer):
                embeddings = regularizer.extended(embeddings, features)
        return embeddings

    def _encode(self, name, inputs, training):
        return (self.encoders if name is None else self.encoders[name])(inputs, training=training)

    def _project(self, name, features, training):
        projector = self.projectors
        if isinstance(projector, dict):
            projector = projector.get(name)
        return features if projector is None else projector(features, training=training)

    def _embed(self, name, inputs, training):
        return self._project(name, self._encode(name, inputs, training), training)

    @staticmethod
    def _build_augmenter(augmenter, inputs):
        # `call` alone is traced when a model is built, or loaded: all weights must exist afterwards.
        if not augmenter.built:
            augmenter(inputs, training=True)

    def _build_regularizers(self, shapes, features_shapes=None):
        for regularizer in self.regularizers:
            if not regularizer.built:
                ours = isinstance(regularizer, ViewRegularizer)
                regularizer.build(shapes, features_shapes) if ours else regularizer.build(shapes)

    # Loss and metrics

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Contrast, penalties and the encoders' own losses; also updates the metrics, which need all views."""
        if self.loss is None:
            raise ValueError(
                "`ContrastiveTrainer` has no loss. Call `compile(loss=...)` with a contrastive loss first."
            )
        # Now, as of `call`: of the passes to come, some backends would keep these losses and some not.
        own_losses = super().compute_loss(x, None, None, None, training) if self.losses else 0.0
        views, features = self._views(x, y_pred, training)
        present = self._present(x)
        total = self.loss(
            y,
            list(views.values()),
            sample_weight,
            training=bool(training),
            directions=self._directions(self.loss) or None,
            hard_negatives=self._embed_hard_negatives(x, training),
            present={list(views).index(name): rows for name, rows in present.items()},
        )
        ids, _ = as_views(y, list(views.values()))
        seen = {**y_pred, **views} if self._towers else views  # with independent features, if there are any
        for regularizer, means in zip(self.regularizers, self._means, strict=True):
            if isinstance(regularizer, ViewRegularizer):
                own = {name: rows for name, rows in present.items() if name in self._names}
                value, terms = regularizer.penalty_and_terms(seen, features, ids, own, training)
            else:
                value, terms = regularizer.penalty(views), {}
            for term, mean in means.items():
                mean.update_state(value if term == _ALL else terms[term])
            total += ops.cast(value, total.dtype)
        total += ops.cast(own_losses, total.dtype)
        self._update_metrics(y, views, present, sample_weight)
        return total

    def _views(self, x, y_pred, training):
        """All views by name, first the plain and then the augmented ones, and the features of the latter."""
        if not self._towers:
            # `call` has embedded the first view; in evaluation that is `x` itself.
            second = self._embed(None, self.augmenters(x, training=True), training)
            return {"view_1": y_pred, "view_2": second}, {}
        views, features = {name: y_pred[name] for name in self._names}, {}
        for name in self._augmented:
            view = f"{name}_augmented"
            features[view] = self._encode(name, self.augmenters[name](x[name], training=True), training)
            views[view] = self._project(name, features[view], training)
        return views, features

    def _present(self, x):
        """Where there is something to see, by view, for the views that some rows lack."""
        if self.present:
            check_modalities(x, (*self._names, *self.present))
        present = {modality: ops.cast(x[name], "bool") for name, modality in self.present.items()}
        return present | {f"{name}_augmented": present[name] for name in self._augmented if name in present}

    def _embed_hard_negatives(self, x, training):
        """Embeddings by the index of the view whose candidates they join."""
        by_view: dict = {}
        if self.hard_negatives:
            check_modalities(x, (*self._names, *self.hard_negatives))
        for name, modality in self.hard_negatives.items():
            by_view.setdefault(self._names.index(modality), []).append(self._embed(modality, x[name], training))
        return {view: ops.concatenate(embeddings) for view, embeddings in by_view.items()}

    def _directions(self, loss):
        """What is contrasted, with weights: modalities with each other, and each with its augmented view."""
        if not self._towers or (len(self._names) == 1 and self._augmented):
            return loss.directions(2)
        shares = self._in_modal_shares()
        between = 1 - sum(shares.values())
        weights = {direction: between * weight for direction, weight in loss.directions(len(self._names)).items()}
        # As in (P2-5'), the plain view is the anchor and the augmented ones are its candidates.
        for place, name in enumerate(self._augmented, start=len(self._names)):
            weights[self._names.index(name), place] = shares[name]
        return {direction: weight for direction, weight in weights.items() if weight}

    def _in_modal_shares(self):
        if isinstance(self.in_modal_weight, dict):
            return {name: self.in_modal_weight.get(name, 0.0) for name in self._augmented}
        return {name: self.in_modal_weight / len(self._augmented) for name in self._augmented}

    def _update_metrics(self, y, views, present, sample_weight):
        names = self._names if len(self._names) > 1 else views
        weights = None
        for rows in (present[name] for name in names if name in present):  # only rows with all of them are measured
            weights = ops.cast(rows, "float32") if weights is None else weights * ops.cast(rows, "float32")
        stacked = ops.stop_gradient(ops.stack([views[name] for name in names], axis=1))
        ids = ops.arange(ops.shape(stacked)[0], dtype="int32") if y is None else y
        metrics = self._batch_metrics.held
        for metric in metrics[: len(metrics) - self._num_weighted]:
            metric.update_state(ids, stacked, weights)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            weights = sample_weight if weights is None else weights * ops.reshape(sample_weight, (-1,))
        for metric in metrics[len(metrics) - self._num_weighted :]:
            metric.update_state(ids, stacked, weights)

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
        reported = [mean for means in self._means for mean in means.values()]
        check_metrics(metrics + weighted_metrics, reported)
        loss.build(self._directions(loss))
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
            "present": self.present,
            "in_modal_weight": self.in_modal_weight,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("encoders", "augmenters", "projectors", "regularizers"):
            config[part] = keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects)
        return cls(**config)


_ALL = "penalty"


def _means_of(regularizer):
    """What is reported of a regularizer: its penalty and, if there are several, its terms."""
    means = {_ALL: keras.metrics.Mean(name=regularizer.name)}
    terms = list(regularizer.term_weights) if isinstance(regularizer, ViewRegularizer) else []
    if len(terms) > 1:
        means |= {term: keras.metrics.Mean(name=f"{regularizer.name}_{term}") for term in terms}
    return means


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
