"""ContrastiveTrainer: encoders, views and a contrastive loss as one Keras model."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras

from keras_contrastive._checks import optional_positive_int
from keras_contrastive._keras import map_layers, serialize
from keras_contrastive._typing import Config, Layer, Layers
from keras_contrastive.layers import MomentumTeacher
from keras_contrastive.losses import ContrastiveLoss
from keras_contrastive.trainers import _checks
from keras_contrastive.trainers._augmenter_checks import warn_of_preprocessing
from keras_contrastive.trainers._checked_data import CheckedData
from keras_contrastive.trainers._extra_inputs import check_extra_inputs
from keras_contrastive.trainers._likely_mistakes import warn_of_collapse_and_fast_weights
from keras_contrastive.trainers._loss_checks import check_loss_fits
from keras_contrastive.trainers._loss_layers import LossLayers, build_loss
from keras_contrastive.trainers._predictors import check_predictors
from keras_contrastive.trainers._resume import TrainingProgress
from keras_contrastive.trainers._weight_decay import keep_from_decay


@keras.saving.register_keras_serializable(package="keras_contrastive")
class ContrastiveTrainer(CheckedData):
    """Trains encoders with a contrastive loss.

    Embeddings of matching inputs are pulled together, others are pushed apart.

    * **Towers**: a dict of encoders by modality. `x` is a dict with the same names. Each pair of
      modalities is contrasted. Two names can share one encoder. A modality with an augmenter gets a
      second, augmented view. It is contrasted with the first one (see `in_modal_weight`), and
      regularizers see it.
    * **Self-supervision**: one encoder and an augmenter. The views are two augmentations of `x`.

    With a `teacher`, the second views are embeddings of slow copies of the encoders and projectors,
    and the candidates of all anchors. MoCo is one encoder with an augmenter, a teacher and the loss
    `InfoNCE(0.07, memory=EmbeddingQueue(65536))`.

    `call` returns the embeddings: a dict by modality, or one tensor for one encoder. In training,
    one encoder embeds an augmentation. With `predictors` and a `teacher`, `call` also returns that
    augmentation. `embedder` returns a model for one of the embeddings. All else works as in
    `keras.Model`.

    Subclasses can override the hooks `encode`, `project`, `embed_all` (with `embedding_layers`),
    `second_view`, `prediction`, `target` and `extra_losses`, and call `declare_losses`. See
    `kc.fusion.FusionTrainer`.

    Args:
        encoders: A Keras layer or model, or a dict of them by modality. Each returns
            `(batch, dim)`.
        augmenters: For one encoder, a layer that makes a random view of `x`. It is required. If the
            dropout of the encoder is enough noise, pass `keras.layers.Identity()`. For towers,
            `None` or a dict by modality. `predict` skips augmenters, so layers such as `Rescaling`
            belong into the encoder. Evaluation makes the same views each time, and has no influence
            on the views of training.
        projectors: `None`, a layer that is applied to the output of each encoder, or a dict of
            layers by modality.
        regularizers: Layers whose penalty is added to the loss and reported under the layer's name:
            those of `keras_contrastive.layers`, whose terms are reported too, or any layer with a
            method `penalty(views)` that returns a scalar. `views` is a dict of the modalities and
            the augmented views, `"<modality>_augmented"`. For one encoder, it has `"view_1"` and
            `"view_2"`.
        hard_negatives: `None`, or a dict from names of extra inputs in `x` to the modalities that
            embed them, such as `{"wrong_text": "text"}`. An input has the shape of that modality,
            or `(batch, n, ...)` for n hard negatives of each row. They are candidates of all
            anchors and never positives. `predict` does not need them.
        hard_negative_ids: `None`, or a dict from names of extra inputs in `x`, integer `(batch,)`
            or `(batch, n)`, to names of `hard_negatives`, such as `{"wrong_id": "wrong_text"}`. An
            anchor leaves out hard negatives with its own id. The ids of the rows are `y`, or row
            numbers if `y` is `None` and `x` is arrays.
        log_weights: `None`, or a dict from names of extra inputs in `x`, floats `(batch,)`, to
            modalities, such as `{"log_weight": "text"}`, or to names of `hard_negatives`. They are
            added to the logits of these candidates, the positive included. See `ContrastiveLoss`.
            For the logQ correction, they are -log(sampling probability).
        present: `None`, or a dict from names of extra inputs in `x`, bool `(batch,)`, to
            modalities, such as `{"has_text": "text"}`. Where the input is False, the row lacks the
            modality: it is no anchor, no candidate and part of no penalty there, and neither are
            its hard negatives. The values of its input, such as zeros or NaN, have no influence.
            The encoder gets other rows of the batch in their place, each that has the modality in
            turn, so batch normalization sees only such rows. If there are none, it gets zeros.
            Metrics use rows with all modalities. `predict` does not need these inputs. If it gets
            them, embeddings of absent rows are zero.
        in_modal_weight: Weight of the contrast between modalities and their second views: a float
            in [0, 1] that is divided equally, or a dict by modality. The contrast between
            modalities has the rest.
        micro_batch_size: `None`, or the number of rows that an encoder gets at a time in training
            (per replica). A step then needs the memory of one micro-batch and one more forward
            pass. The loss sees the whole batch, so its value and gradient are unchanged. Batch
            normalization sees micro-batches. Losses that an encoder adds are averaged over rows.
        guides: `None`, or frozen encoders like `encoders`. Their cosines decide which negatives the
            loss ignores (`ignore_above`). With a guide for one modality of several, rows are as
            similar as the inputs of that modality. The trainer sets `trainable = False`.
        teacher: `None` or a `keras_contrastive.layers.MomentumTeacher`. With towers, it excludes
            `augmenters`. It excludes `hard_negatives`.
        predictors: `None`, a layer that maps an embedding to a prediction, `(batch, dim)`, or a
            dict of layers by modality. The anchors are then predictions, and their candidates are
            embeddings that no gradient reaches. With a `teacher` and the loss `NegativeCosine` it
            is BYOL, without a teacher SimSiam, and with a teacher and `InfoNCE` MoCo v3. Both views
            of one encoder are anchors in turn, unless the loss is not symmetric. `predict` and
            `embedder` leave predictors out. They exclude `hard_negatives` and soft targets.
        **kwargs: See `keras.Model`.

    Raises:
        TypeError: If a part has the wrong type.
        ValueError: If parts do not fit together.

    Reference:
        - [He et al., 2020](https://arxiv.org/abs/1911.05722), MoCo, for the teacher.
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 4, for `in_modal_weight=0.5`.

    Example:

    >>> image = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> text = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    >>> model = ContrastiveTrainer({"image": image, "text": text})
    >>> model.compile(optimizer="adam", loss=keras_contrastive.losses.InfoNCE())
    >>> x = {"image": np.ones((5, 8), "float32"), "text": np.ones((5, 6), "float32")}
    >>> history = model.fit(x, epochs=2, verbose=0)
    >>> round(history.history["loss"][0], 3)  # all rows are equal: log(5)
    1.609
    >>> model.predict(x, verbose=0)["text"].shape
    (5, 4)
    """

    def __init__(
        self,
        encoders: Layers,
        augmenters: Layers | None = None,
        projectors: Layers | None = None,
        regularizers: Sequence[Layer] = (),
        hard_negatives: Mapping[str, str] | None = None,
        hard_negative_ids: Mapping[str, str] | None = None,
        log_weights: Mapping[str, str] | None = None,
        present: Mapping[str, str] | None = None,
        in_modal_weight: float | Mapping[str, float] = 0.5,
        micro_batch_size: int | None = None,
        guides: Layers | None = None,
        teacher: MomentumTeacher | None = None,
        predictors: Layers | None = None,
        **kwargs: Any,
    ) -> None:
        _checks.check_parts(encoders, augmenters, projectors, regularizers)
        warn_of_preprocessing(augmenters)
        check_extra_inputs(encoders, hard_negatives, hard_negative_ids, log_weights, present)
        excluded = {"augmenters": augmenters if isinstance(encoders, dict) else None}
        _checks.check_teacher(teacher, {**excluded, "hard_negatives": hard_negatives})
        check_predictors(predictors, encoders, teacher, hard_negatives)
        super().__init__(
            encoders,
            predictors=predictors,
            augmenters=augmenters,
            projectors=projectors,
            teacher=teacher,
            regularizers=regularizers,
            hard_negatives=hard_negatives,
            hard_negative_ids=hard_negative_ids,
            log_weights=log_weights,
            present=present,
            in_modal_weight=in_modal_weight,
            micro_batch_size=optional_positive_int("micro_batch_size", micro_batch_size),
            guides=guides,
            **kwargs,
        )
        self._progress = TrainingProgress(self)
        self._loss_layers = LossLayers(name="loss_layers")
        self._requested_jit_compile: bool | str = "auto"

    # Compilation

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures training as `keras.Model.compile`, with a contrastive loss.

        Args:
            optimizer: See `keras.Model`.
            loss: A `ContrastiveLoss` such as `kc.losses.InfoNCE()`, or its name, `"info_nce"`. The
                trainer tracks its layers. If the same loss is compiled again, its state is kept.
                Its scalars, such as a learnable temperature, are excluded from weight decay.
            metrics: List of metrics that compare views, such as `kc.metrics.RecallAtK(1)`, or their
                names, `"recall_at_1"`. Each gets the ids (row numbers if there are none) and all
                views at once, `(batch, views, dim)`.
            weighted_metrics: List of metrics that also get `sample_weight`.
            jit_compile: See `keras.Model`.
            **kwargs: See `keras.Model`.

        Raises:
            TypeError: If the loss is not a `ContrastiveLoss`, or a metric does not compare views.
            ValueError: If the loss has no reduction, a name is unknown or not unique, or there are
                `loss_weights`.
        """
        loss = _checks.as_loss(loss)
        check_loss_fits(self, loss)
        _checks.check_loss_weights(kwargs.get("loss_weights"))
        metrics = _checks.as_metrics("metrics", metrics)
        weighted_metrics = _checks.as_metrics("weighted_metrics", weighted_metrics)
        loss_means = [*self._penalty_means, *self._extra_means.values()]
        _checks.check_unique_names([*metrics, *weighted_metrics], loss_means)
        build_loss(self, loss)
        warn_of_collapse_and_fast_weights(self, loss)
        self._loss_layers.replace(loss.layers)
        self._view_metrics.replace(metrics, weighted_metrics)
        self._requested_jit_compile = jit_compile
        super().compile(optimizer=optimizer, loss=None, jit_compile=jit_compile, **kwargs)
        self.loss = loss
        keep_from_decay(self.optimizer, loss.layers)

    def make_train_function(self, force: bool = False) -> Any:
        if isinstance(self.loss, ContrastiveLoss):
            # Again, since exclusions that the user adds after `compile` replace earlier ones.
            keep_from_decay(self.optimizer, self.loss.layers)
        return super().make_train_function(force)

    def get_compile_config(self) -> Config:
        config = super().get_compile_config()
        if not config:
            return config
        return {
            **config,
            "loss": keras.saving.serialize_keras_object(self.loss),
            **self._view_metrics.compile_config(),
            # The value that the user passed, since another backend resolves "auto" differently.
            "jit_compile": self._requested_jit_compile,
        }

    # Saving

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        self._progress.save(store)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(self._progress.load(store))

    def get_config(self) -> Config:
        parts = (self.encoders, self.augmenters, self.projectors, self.predictors)
        encoders, augmenters, projectors, predictors = (map_layers(serialize, x) for x in parts)
        return {
            **super().get_config(),
            "encoders": encoders,
            "augmenters": augmenters,
            "projectors": projectors,
            "regularizers": [serialize(regularizer) for regularizer in self.regularizers],
            "hard_negatives": self.hard_negatives,
            "hard_negative_ids": self.hard_negative_ids,
            "log_weights": self.log_weights,
            "present": self.present,
            "in_modal_weight": self.in_modal_weight,
            "micro_batch_size": self.micro_batch_size,
            "guides": map_layers(serialize, self.guides),
            "teacher": serialize(self.teacher),
            "predictors": predictors,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: dict[str, Any] | None = None) -> Self:
        config = dict(config)
        parts = ("encoders", "augmenters", "projectors", "regularizers", "guides", "teacher")
        for part in (*parts, "predictors"):
            config[part] = keras.saving.deserialize_keras_object(
                config.get(part), custom_objects=custom_objects
            )
        return cls(**config)
