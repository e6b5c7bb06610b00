"""ContrastiveTrainer: towers, views and a contrastive loss as one Keras model."""

import inspect

import keras
from keras import ops

from keras_contrastive._engine import as_views
from keras_contrastive._replicas import (
    across_processes,
    num_processes,
    process_index,
    shared_batch,
    torch_processes,
)
from keras_contrastive.layers import ViewRegularizer
from keras_contrastive.layers._view_regularizer import INDEPENDENT
from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.trainers._checks import (
    check_further_inputs,
    check_in_modal_weight,
    check_metrics,
    check_micro_batch_size,
    check_modalities,
    check_parts,
)
from keras_contrastive.trainers._fit_arguments import prepare_evaluate, prepare_fit
from keras_contrastive.trainers._holder import Holder
from keras_contrastive.trainers._micro_batches import call_in_chunks, fit_one_chunk
from keras_contrastive.trainers._portable import compile_as_saved, portable_optimizer
from keras_contrastive.trainers._resume import Progress


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
        micro_batch_size: `None`, or how many rows an encoder sees at a time in training (on each replica): its
            activations are computed again for the gradient, chunk by chunk, and a step needs the memory of one chunk,
            at the price of one more forward pass. The loss sees the whole batch: its value and gradient are the same.
            Only what looks at the batch inside an encoder (batch normalization) sees a chunk instead, and of losses
            that an encoder adds, the mean over the rows is taken.
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
        micro_batch_size=None,
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
        check_micro_batch_size(micro_batch_size)
        self.micro_batch_size = micro_batch_size
        self._progress = Progress(self)
        self._views_shape = None  # what the metrics measure: (batch, views, dim)
        self._means = [_means_of(regularizer) for regularizer in self.regularizers]
        # What `compile` brings may come after the model was built, when Keras takes no new attributes.
        self._loss_layers = Holder(name="loss_layers")
        self._batch_metrics = Holder(name="batch_metrics")
        self._num_weighted = 0
        self._asked_jit_compile = "auto"

    # Embeddings

    def call(self, inputs, training=None):
        if training:
            with across_processes():
                return self._embed_all(inputs, training)
        return self._embed_all(inputs, training)

    def _embed_all(self, inputs, training):
        if not self._towers:
            self._build_augmenter(self.augmenters, inputs)
            if training:
                inputs = self.augmenters(inputs, training=True)
            embeddings = self._embed(None, inputs, training)
            self._build_regularizers({"view_1": embeddings.shape, "view_2": embeddings.shape})
            self._build_metrics((None, 2, embeddings.shape[-1]))
            return embeddings
        check_modalities(inputs, self._names)
        for name, augmenter in (self.augmenters or {}).items():
            self._build_augmenter(augmenter, inputs[name])
        return self._embed_towers(inputs, training)

    def _embed_towers(self, inputs, training):
        features = {name: self._encode(name, inputs[name], training) for name in self._names}
        return self._embeddings_of(features, training)

    def _embeddings_of(self, features, training):
        embeddings = {name: self._project(name, features[name], training) for name in self._names}
        shapes = {name: embedding.shape for name, embedding in embeddings.items()}
        shapes |= {f"{name}_augmented": shapes[name] for name in self._augmented}
        self._build_metrics(
            (
                None,
                len(self._names) if len(self._names) > 1 else len(shapes),
                shapes[self._names[0]][-1],
            )
        )
        self._build_regularizers(
            shapes, {name: feature.shape for name, feature in features.items()}
        )
        for regularizer in self.regularizers:
            if isinstance(regularizer, ViewRegularizer):
                embeddings = regularizer.extended(embeddings, features)
        return embeddings

    def _encode(self, name, inputs, training):
        encoder = self.encoders if name is None else self.encoders[name]
        size = self.micro_batch_size
        if not training or size is None or fit_one_chunk(inputs, size):
            return encoder(inputs, training=training)
        if not encoder.built:
            encoder(keras.tree.map_structure(lambda x: x[:1], inputs), training=False)
        features, activity = call_in_chunks(encoder, inputs, size)
        self.add_loss(activity)
        return features

    def _project(self, name, features, training):
        projector = self.projectors
        if isinstance(projector, dict):
            projector = projector.get(name)
        return features if projector is None else projector(features, training=training)

    def _embed(self, name, inputs, training):
        return self._project(name, self._encode(name, inputs, training), training)

    @staticmethod
    def _build_augmenter(augmenter, inputs):
        # `call` alone is traced when a model is built, or loaded: all weights must exist afterward.
        if not augmenter.built:
            augmenter(inputs, training=True)

    def _build_regularizers(self, shapes, features_shapes=None):
        for regularizer in self.regularizers:
            if not regularizer.built:
                ours = isinstance(regularizer, ViewRegularizer)
                regularizer.build(shapes, features_shapes) if ours else regularizer.build(shapes)

    def _build_metrics(self, shape=None):
        # A distribution strategy needs all variables before the first step.
        self._views_shape = shape = shape or self._views_shape
        for metric in self._batch_metrics.held:
            if shape is not None and shape[-1] is not None and not getattr(metric, "built", True):
                metric.build(shape)

    # Loss and metrics

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Contrast, penalties and the encoders' own losses; also updates the metrics, which need all views.

        On several replicas it is that of the whole batch.
        """
        if self.loss is None:
            raise ValueError(
                "`ContrastiveTrainer` has no loss. Call `compile(loss=...)` with a contrastive loss first."
            )
        with across_processes():
            if training and num_processes() > 1:
                torch_processes.average_gradients(self.optimizer)
            return self._loss_of_batch(x, y, y_pred, sample_weight, training)

    def _loss_of_batch(self, x, y, y_pred, sample_weight, training):
        # Now, as of `call`: of the passes to come, some backends would keep these losses and some not.
        own_losses = super().compute_loss(x, None, None, None, training) if self.losses else 0.0
        views, features = self._views(x, y_pred, training)
        present = self._present(x)
        total = self._contrast(x, y, views, present, sample_weight, training)
        shared = shared_batch(next(iter(views.values())))
        if self.regularizers:
            ids, _ = as_views(y, list(views.values()))
            seen = (
                {**y_pred, **views} if self._towers else views
            )  # with independent features, if there are any
            total += ops.cast(
                self._penalty(seen, features, ids, present, shared, training), total.dtype
            )
        total += ops.cast(own_losses, total.dtype)
        self._update_metrics(y, views, present, sample_weight, shared)
        return total

    def _contrast(self, x, y, views, present, sample_weight, training):
        return self.loss(
            y,
            list(views.values()),
            sample_weight,
            training=bool(training),
            directions=self._directions(self.loss) or None,
            hard_negatives=self._embed_hard_negatives(x, training),
            present={list(views).index(name): rows for name, rows in present.items()},
        )

    def _penalty(self, views, features, ids, present, shared, training):
        """The sum of all penalties, each of which is reported."""
        ours = [
            regularizer
            for regularizer in self.regularizers
            if isinstance(regularizer, ViewRegularizer)
        ]
        for regularizer in ours:
            views = regularizer.extended(views, features)
        present = {name: rows for name, rows in present.items() if name in self._names}
        # Every replica computes the penalties of the whole batch: they cost little.
        views, ids, present = _of_all((views, ids, present), shared)
        total = ops.zeros(())
        for regularizer, means in zip(self.regularizers, self._means, strict=True):
            if regularizer in ours:
                value, terms = regularizer.penalty_and_terms(views, None, ids, present, training)
            else:
                plain = {
                    name: view for name, view in views.items() if not name.endswith(INDEPENDENT)
                }
                value, terms = regularizer.penalty(plain), {}
            for term, mean in means.items():
                mean.update_state(value if term == _ALL else terms[term])
            total += ops.cast(value, total.dtype)
        return total if shared is None else total * shared.share

    def _views(self, x, y_pred, training):
        """All views by name, first the plain and then the augmented ones, and the features of the latter."""
        if not self._towers:
            # `call` has embedded the first view; in evaluation that is `x` itself.
            second = self._embed(None, self.augmenters(x, training=True), training)
            return {"view_1": y_pred, "view_2": second}, {}
        views, features = {name: y_pred[name] for name in self._names}, {}
        for name in self._augmented:
            view = f"{name}_augmented"
            features[view], views[view] = self._augmented_view(name, x[name], training)
        return views, features

    def _augmented_view(self, name, inputs, training):
        """The features of another view of a modality, and its embedding."""
        features = self._encode(name, self.augmenters[name](inputs, training=True), training)
        return features, self._project(name, features, training)

    def _present(self, x):
        """Where there is something to see, by view, for the views that some rows lack."""
        if self.present:
            check_modalities(x, (*self._names, *self.present))
        present = {modality: ops.cast(x[name], "bool") for name, modality in self.present.items()}
        return present | {
            f"{name}_augmented": present[name] for name in self._augmented if name in present
        }

    def _embed_hard_negatives(self, x, training):
        """Embeddings by the index of the view whose candidates they join."""
        by_view: dict = {}
        if self.hard_negatives:
            check_modalities(x, (*self._names, *self.hard_negatives))
        for name, modality in self.hard_negatives.items():
            by_view.setdefault(self._names.index(modality), []).append(
                self._embed(modality, x[name], training)
            )
        return {view: ops.concatenate(embeddings) for view, embeddings in by_view.items()}

    def _directions(self, loss):
        """What is contrasted, with weights: modalities with each other, and each with its augmented view."""
        if not self._towers or (len(self._names) == 1 and self._augmented):
            return loss.directions(2)
        shares = self._in_modal_shares()
        between = 1 - sum(shares.values())
        weights = {
            direction: between * weight
            for direction, weight in loss.directions(len(self._names)).items()
        }
        # As in (P2-5'), the plain view is the anchor and the augmented ones are its candidates.
        for place, name in enumerate(self._augmented, start=len(self._names)):
            weights[self._names.index(name), place] = shares[name]
        return {direction: weight for direction, weight in weights.items() if weight}

    def _in_modal_shares(self):
        if isinstance(self.in_modal_weight, dict):
            return {name: self.in_modal_weight.get(name, 0.0) for name in self._augmented}
        return {name: self.in_modal_weight / len(self._augmented) for name in self._augmented}

    def _update_metrics(self, y, views, present, sample_weight, shared):
        names = self._names if len(self._names) > 1 else views
        weights = None
        for rows in (
            present[name] for name in names if name in present
        ):  # only rows with all of them are measured
            weights = (
                ops.cast(rows, "float32")
                if weights is None
                else weights * ops.cast(rows, "float32")
            )
        metrics = self._batch_metrics.held
        if not metrics:
            return
        stacked = ops.stop_gradient(ops.stack([views[name] for name in names], axis=1))
        stacked, ids, weights, sample_weight = _of_all((stacked, y, weights, sample_weight), shared)
        ids = ops.arange(ops.shape(stacked)[0], dtype="int32") if ids is None else ids
        for metric in metrics[: len(metrics) - self._num_weighted]:
            metric.update_state(ids, stacked, weights)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            weights = (
                sample_weight if weights is None else weights * ops.reshape(sample_weight, (-1,))
            )
        for metric in metrics[len(metrics) - self._num_weighted :]:
            metric.update_state(ids, stacked, weights)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return self.get_metrics_result()  # `compute_loss` has updated them

    def get_metrics_result(self):
        if num_processes() == 1:
            return super().get_metrics_result()
        variables = [v for v in self.metrics_variables if v.dtype.startswith("float")]
        own = [ops.copy(v.value) for v in variables]
        for variable, mean in zip(variables, torch_processes.mean(own), strict=True):
            variable.assign(mean)  # of sums that are divided by sums
        try:
            return super().get_metrics_result()
        finally:
            for variable, value in zip(variables, own, strict=True):
                variable.assign(value)

    # Compilation

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        metrics=None,
        weighted_metrics=None,
        jit_compile="auto",
        **kwargs,
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
        check_metrics(metrics + weighted_metrics, self._reported())
        loss.build(self._directions(loss))
        self._loss_layers.hold(loss.layers)
        self._batch_metrics.hold(metrics + weighted_metrics)
        self._num_weighted = len(weighted_metrics)
        self._build_metrics()
        self._asked_jit_compile = jit_compile
        super().compile(optimizer=optimizer, loss=None, jit_compile=jit_compile, **kwargs)
        self.loss = loss

    def _reported(self):
        """What is reported besides `metrics`."""
        return [mean for means in self._means for mean in means.values()]

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        metrics = [
            keras.saving.serialize_keras_object(metric) for metric in self._batch_metrics.held
        ]
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
        compile_as_saved(self, config)

    # Data

    def fit(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.fit`; `y` holds integer ids `(batch,)`, or is left out.

        Where the loss keeps state for `num_items` items, `y` is left out, and `x` is arrays of exactly that many
        rows, the row numbers are the ids.
        """
        bound = inspect.signature(super().fit).bind(x, y, *args, **kwargs)
        bound.apply_defaults()
        prepare_fit(self, self._progress, bound.arguments)
        return super().fit(*bound.args, **bound.kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`; `y` holds integer ids `(batch,)`, or is left out."""
        bound = inspect.signature(super().evaluate).bind(x, y, *args, **kwargs)
        bound.apply_defaults()
        prepare_evaluate(bound.arguments)
        return super().evaluate(*bound.args, **bound.kwargs)

    # Saving

    def save_own_variables(self, store):
        super().save_own_variables(store)
        self._progress.save(store)

    def load_own_variables(self, store):
        super().load_own_variables(self._progress.load(store))

    def save(self, filepath, *args, **kwargs):
        """As `keras.Model.save`. Of several PyTorch processes, the first one alone writes."""
        if process_index() == 0:
            super().save(filepath, *args, **kwargs)

    def save_weights(self, filepath, *args, **kwargs):
        """As `keras.Model.save_weights`. Of several PyTorch processes, the first one alone writes."""
        if process_index() == 0:
            super().save_weights(filepath, *args, **kwargs)

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
            "micro_batch_size": self.micro_batch_size,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for part in ("encoders", "augmenters", "projectors", "regularizers"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        return cls(**config)


_ALL = "penalty"


def _means_of(regularizer):
    """What is reported of a regularizer: its penalty and, if there are several, its terms."""
    means = {_ALL: keras.metrics.Mean(name=regularizer.name)}
    terms = list(regularizer.term_weights) if isinstance(regularizer, ViewRegularizer) else []
    if len(terms) > 1:
        means |= {term: keras.metrics.Mean(name=f"{regularizer.name}_{term}") for term in terms}
    return means


def _without_none(part):
    return (
        {name: layer for name, layer in part.items() if layer is not None}
        if isinstance(part, dict)
        else part
    )


def _map(function, part):
    if isinstance(part, dict):
        return {name: function(layer) for name, layer in part.items()}
    return None if part is None else function(part)


def _of_all(parts, shared):
    """What is known of the rows of this replica, of those of all replicas."""
    return (
        parts
        if shared is None
        else keras.tree.map_structure(lambda x: x if x is None else shared.gather(x), parts)
    )
