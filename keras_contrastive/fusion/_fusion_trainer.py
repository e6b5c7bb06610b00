"""FusionTrainer: align before fuse."""

from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import as_views
from keras_contrastive._replicas import shared_batch
from keras_contrastive._tokens import POOLINGS, as_text, check_tokens, with_ids
from keras_contrastive.fusion._checks import (
    check_fusion_loss,
    check_fusion_parts,
    check_momentum,
    check_num_images,
    check_pooling,
    check_weights,
)
from keras_contrastive.fusion._matching import ImageTextMatching
from keras_contrastive.fusion._matching_pairs import Pairs
from keras_contrastive.fusion._soft_targets import pull_to_teacher
from keras_contrastive.layers import ViewRegularizer
from keras_contrastive.layers._momentum_weights import MomentumWeights
from keras_contrastive.layers._view_regularizer import INDEPENDENT
from keras_contrastive.trainers import ContrastiveTrainer
from keras_contrastive.trainers._micro_batches import call_in_chunks, fit_one_chunk

_TOKENS = "_tokens"


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionTrainer(ContrastiveTrainer):
    """Trains an image tower and a text tower to agree, and an encoder that reads what both say in detail.

    The towers yield tokens, one vector for each part of their input. Three losses are added up, each of which is
    reported and has a weight:

    * **contrast** of the pooled and projected tokens: any loss of `keras_contrastive.losses`, given to `compile`;
    * **matching**: the fusion encoder tells pairs from hard negatives, which are drawn in proportion to the softmax of
      the similarities (see `ImageTextMatching`);
    * **masked language**: it restores words that were hidden, with the help of the image (see `MaskedLanguage`).

    With `momentum`, slow copies of towers and projectors make the candidates of the contrast, as in MoCo and ALBEF:
    each image is compared with the slow embeddings of the texts, and each text with those of the images; an
    `EmbeddingQueue` of the loss remembers them. They are also the augmented views that the regularizers see. No
    gradient reaches them.

    ALBEF is `momentum=0.995`, `soft_targets=0.4`, `soft_target_steps=` the steps of an epoch, `pooling="class_token"`,
    and the loss `InfoNCE(LearnableTemperature(0.07), memory=EmbeddingQueue(65536, 256))`, but for this: the
    masked language has no soft targets, and a word matrix of its own; hard negatives are drawn by the similarities of
    the embeddings themselves, where ALBEF has slow candidates; the temperature has other bounds. The slow weights move
    at the beginning of each batch of training, also where the optimizer accumulates gradients.

    The logits of the masked language, `(batch, length, vocabulary)`, are those of the whole batch, whatever the
    `micro_batch_size`, and a queue remembers the embeddings themselves beside the slow ones.

    Everything else is as in `ContrastiveTrainer`: `call` returns the embeddings (in training, the tokens as well, under
    `"image_tokens"` and `"text_tokens"`), `present` tells which rows lack a modality (they are neither matched nor
    masked), and `micro_batch_size` counts the rows that a tower or the fusion encoder sees at a time.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower. The image's yields `(batch, patches, dim)` or a grid
            `(batch, height, width, dim)`; the text's takes token ids `(batch, length)`, or a dict with `"token_ids"`
            and `"padding_mask"`, and yields `(batch, length, dim)`.
        fusion: A `FusionEncoder`.
        projectors: As in `ContrastiveTrainer`; applied to the pooled tokens.
        masked_language: `None`, or a `MaskedLanguage`.
        regularizers: As in `ContrastiveTrainer`.
        momentum: `None`, or a float in [0, 1): see `MomentumWeights`. Not together with `augmenters` or
            `hard_negatives`.
        soft_targets: Float in [0, 1], the share of the contrast's targets that the softmax of the slow embeddings'
            similarities has, in training; it needs `momentum` and the loss `InfoNCE`.
        soft_target_steps: Int, over how many steps that share rises from 0.
        contrast_weight: Non-negative float. 0 switches the loss off.
        matching_weight: Non-negative float. 0 switches it off.
        masked_language_weight: Non-negative float. 0 switches it off.
        pooling: How tokens become one vector: `"mean"`, over those that are there, or `"class_token"`, the first; or a
            dict by modality. What the fusion encoder says is pooled as the text.
        padding_id: Integer, the id after the last token of a text that comes without a mask.
        in_modal_weight: Share of the contrast of each modality with its own slow (or augmented) view. With `momentum`
            it is a float.
        seed: Int, or `None`: seed of the hard negatives.
        **kwargs: `augmenters`, `hard_negatives`, `present` and `micro_batch_size`; see `ContrastiveTrainer`.

    Raises:
        TypeError: Parts that are of another kind.
        ValueError: Towers of other names, or that yield no tokens; options that exclude each other.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651).
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 5.2, for the regularizers.

    Example:

    >>> kc = keras_contrastive
    >>> towers = {"image": kc.encoders.PatchTower(4, dim=8, num_heads=2), "text": kc.encoders.TextTower(30, 6, 8, 1, 2)}
    >>> language = kc.fusion.MaskedLanguage(vocabulary_size=30, mask_id=3, kept_ids=(1, 2))
    >>> model = FusionTrainer(towers, kc.fusion.FusionEncoder(1, 2), masked_language=language, momentum=0.995)
    >>> model.compile("adam", kc.losses.InfoNCE())
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": np.tile([[1, 7, 9, 2, 0, 0]], (4, 1))}
    >>> history = model.fit(x, verbose=0).history
    >>> sorted(history)
    ['contrast', 'loss', 'masked_language', 'matching', 'matching_accuracy']
    """

    def __init__(
        self,
        encoders,
        fusion,
        projectors=None,
        masked_language=None,
        regularizers=(),
        momentum=None,
        soft_targets=0.0,
        soft_target_steps=0,
        contrast_weight=1.0,
        matching_weight=1.0,
        masked_language_weight=1.0,
        pooling="mean",
        padding_id=0,
        in_modal_weight=0.0,
        seed=None,
        **kwargs,
    ):
        check_fusion_parts(encoders, fusion, padding_id, masked_language)
        check_pooling(pooling, modalities=encoders)
        check_num_images(1, getattr(fusion, "num_images", 1))
        check_weights(
            contrast_weight=contrast_weight,
            matching_weight=matching_weight,
            masked_language_weight=masked_language_weight,
        )
        check_momentum(momentum, soft_targets, soft_target_steps, kwargs)
        super().__init__(
            encoders,
            projectors=projectors,
            regularizers=regularizers,
            in_modal_weight=in_modal_weight,
            **kwargs,
        )
        self.fusion = fusion
        self.masked_language = masked_language
        self.momentum = momentum
        self.soft_targets = soft_targets
        self.soft_target_steps = soft_target_steps
        self.contrast_weight = contrast_weight
        self.matching_weight = matching_weight
        self.masked_language_weight = masked_language_weight
        self.pooling = pooling
        self.padding_id = padding_id
        self.matching: Any = ImageTextMatching(seed=seed, name="matching") if matching_weight else None
        self._momentum_weights: Any = None
        if momentum is not None:
            self._momentum_weights = MomentumWeights(momentum, name="momentum_weights")
            self._augmented = self._names  # by the slow encoders
        names = ["contrast"] if contrast_weight else []
        names += ["matching", "matching_accuracy"] if matching_weight else []
        names += ["masked_language"] if self._masks else []
        self._terms = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def _masks(self):
        return self.masked_language is not None and self.masked_language_weight > 0

    # Embeddings

    def _embed_towers(self, inputs, training):
        tokens = {name: self._tokens(name, inputs[name], training) for name in self._names}
        self._build_fusion({name: of_tower.shape for name, of_tower in tokens.items()})
        features = {name: self._pooled(name, tokens[name], inputs[name]) for name in self._names}
        embeddings = self._embeddings_of(features, training)
        if self._momentum_weights is not None and not self._momentum_weights.built:
            self._momentum_weights.follow(self._followed())
        # The fusion encoder reads them in training; in evaluation, what `predict` returns is not to be larger for it.
        return (
            {**embeddings, **{name + _TOKENS: tokens[name] for name in self._names}}
            if training
            else embeddings
        )

    def _tokens(self, name, inputs, training):
        tokens = super()._encode(name, inputs, training)
        check_tokens(name, tokens, grid=name == "image")
        return tokens

    def _encode(self, name, inputs, training):
        return self._pooled(name, self._tokens(name, inputs, training), inputs)

    def _pooled(self, name, tokens, inputs):
        mask = as_text(inputs, self.padding_id)[1] if name == "text" else None
        return self._pool(name, tokens, mask)

    def _pool(self, name, tokens, mask):
        pooling = self.pooling.get(name, "mean") if isinstance(self.pooling, dict) else self.pooling
        return POOLINGS[pooling](tokens, mask)

    def _build_fusion(self, shapes):
        # Here, as of `call`: when a model is loaded, nothing else is traced before its weights are needed.
        if not self.fusion.built:
            self.fusion.build(shapes)
        dim = shapes["text"][-1]
        if self.matching is not None and not self.matching.built:
            self.matching.build((None, dim))
        if self.masked_language is not None and not self.masked_language.built:
            self.masked_language.build((None, None, dim))

    def _followed(self):
        projectors = (
            self.projectors if isinstance(self.projectors, dict) else {"all": self.projectors}
        )
        return [
            *self.encoders.values(),
            *(layer for layer in projectors.values() if layer is not None),
        ]

    # Views

    def _views(self, x, y_pred, training):
        if training and self._momentum_weights is not None:
            self._momentum_weights.update()
        return super()._views(x, y_pred, training)

    def _augmented_view(self, name, inputs, training):
        if self._momentum_weights is None:
            return super()._augmented_view(name, inputs, training)
        with self._momentum_weights.in_place():
            features = self._encode(name, inputs, training)
            return ops.stop_gradient(features), ops.stop_gradient(
                self._project(name, features, training)
            )

    def _directions(self, loss):
        directions = super()._directions(loss)
        if self._momentum_weights is None:
            return directions
        count = len(self._names)
        return {
            (a, b if b >= count else b + count): weight for (a, b), weight in directions.items()
        }

    def _penalty(self, views, features, ids, present, shared, training):
        if self._momentum_weights is not None:
            for regularizer in self.regularizers:
                if isinstance(
                    regularizer, ViewRegularizer
                ):  # what it adds to slow views carries no gradient either
                    extended = regularizer.extended(views, features)
                    slow = [name for name in extended if name.endswith("_augmented" + INDEPENDENT)]
                    views = {**views, **{name: ops.stop_gradient(extended[name]) for name in slow}}
        return super()._penalty(views, features, ids, present, shared, training)

    # Losses

    def _loss_of_batch(self, x, y, y_pred, sample_weight, training):
        embeddings = {name: part for name, part in y_pred.items() if not name.endswith(_TOKENS)}
        total = super()._loss_of_batch(x, y, embeddings, sample_weight, training)
        if self.matching is None and not self._masks:
            return total
        tokens = {name: y_pred.get(name + _TOKENS) for name in self._names}
        if not training:
            tokens = {name: self._tokens(name, x[name], training) for name in self._names}
        embeddings = {name: embeddings[name] for name in self._names}
        mask = as_text(x["text"], self.padding_id)[1]
        present = [rows for name, rows in self._present(x).items() if name in self._names]
        pairs = Pairs(y, embeddings, tokens, mask, present, sample_weight)
        if self.matching is not None:
            total += ops.cast(
                self.matching_weight * self._matching_loss(pairs, training), total.dtype
            )
        if self._masks:
            value = self._masked_language_loss(pairs, x["text"], training)
            total += ops.cast(self.masked_language_weight * value, total.dtype)
        return total

    def _contrast(self, x, y, views, present, sample_weight, training):
        if not self.contrast_weight:
            return ops.zeros(())
        pull = self._pull(
            y, views, present, training
        )  # before the loss, which lets this batch into its queue
        value = super()._contrast(x, y, views, present, sample_weight, training)
        if pull is not None:
            value += self.loss.reduced(pull, sample_weight)
        shared = shared_batch(next(iter(views.values())))
        self._terms["contrast"].update_state(value if shared is None else value / shared.share)
        return self.contrast_weight * value

    def _pull(self, y, views, present, training):
        if not training or not self.soft_targets:
            return None
        ids, _ = as_views(y, list(views.values()))
        there = [present.get(name) for name in views]
        pull = pull_to_teacher(
            self.loss, list(views.values()), self._directions(self.loss), ids, there
        )
        share = self.soft_targets
        if self.soft_target_steps:
            begun = ops.cast(
                self._momentum_weights.step - 1, pull.dtype
            )  # which counts this step already
            share = share * ops.minimum(begun / self.soft_target_steps, 1.0)
        return share * pull

    def _scale_of(self, anchors, candidates):
        """1 / temperature of a direction between the modalities; of all directions, if the loss has none of it."""
        scale = self.loss.scale()
        if not len(scale.shape):
            return scale
        slow = 0 if self._momentum_weights is None else len(self._names)
        direction = self._names.index(anchors), self._names.index(candidates) + slow
        directions = list(self._directions(self.loss))
        return scale[directions.index(direction)] if direction in directions else ops.mean(scale)

    def _matching_loss(self, pairs, training):
        text, image, mask = pairs.tokens["text"], pairs.tokens["image"], pairs.mask
        of_image, of_text = self._scale_of("image", "text"), self._scale_of("text", "image")
        texts, has_text = pairs.drawn(
            self.matching, self.loss, of_image, "image", "text", direction=0
        )
        images, has_image = pairs.drawn(
            self.matching, self.loss, of_text, "text", "image", direction=1
        )
        if training:
            self.matching.advance()
        mask = ops.concatenate([mask, pairs.rows_of(mask, texts), mask])
        texts = ops.concatenate([text, pairs.rows_of(text, texts), text])
        images = ops.concatenate([image, image, pairs.rows_of(image, images)])
        logits = self.matching(self._pool("text", self._fuse(texts, mask, images, training), mask))
        complete = pairs.complete
        asked = ops.stack(
            [complete, ops.logical_and(complete, has_text), ops.logical_and(complete, has_image)],
            axis=1,
        )
        matches = ops.concatenate([complete, ops.zeros_like(has_text), ops.zeros_like(has_image)])
        losses = self.matching.cross_entropy(logits, matches)
        right = ops.cast(ops.equal(logits[:, 1] > logits[:, 0], matches), losses.dtype)
        losses, right = (
            ops.transpose(ops.reshape(x, (3, -1))) for x in (losses, right)
        )  # (batch, 3)
        self._terms["matching_accuracy"].update_state(pairs.mean(right, asked))
        return self._reported_term("matching", pairs.mean(losses, asked, weighted=True), pairs)

    def _masked_language_loss(self, pairs, text, training):
        ids, mask = as_text(text, self.padding_id)
        corrupted, chosen = self.masked_language.corrupt(ids, mask, training)
        chosen = ops.logical_and(chosen, ops.expand_dims(pairs.complete, 1))
        tokens = self._tokens("text", with_ids(text, corrupted), training)
        logits = self.masked_language(self._fuse(tokens, mask, pairs.tokens["image"], training))
        losses, counts = self.masked_language.cross_entropy(logits, ids, chosen)
        return self._reported_term("masked_language", pairs.ratio(losses, counts), pairs)

    def _reported_term(self, name, value, pairs):
        """Report it, and let the engine count it once, although every replica has computed it."""
        self._terms[name].update_state(value)
        return value if pairs.shared is None else value * pairs.shared.share

    def _fuse(self, text, mask, image, training):
        inputs = {"text": text, "text_mask": mask, "image": image}
        size = self.micro_batch_size
        if not training or size is None or fit_one_chunk(inputs, size):
            return self.fusion(inputs, training=training)
        return call_in_chunks(self.fusion, inputs, size)[0]

    # Compilation

    def compile(self, optimizer="rmsprop", loss=None, *args, **kwargs):
        """As `ContrastiveTrainer.compile`."""
        check_fusion_loss(loss, self.soft_targets)
        super().compile(optimizer, loss, *args, **kwargs)

    def _reported(self):
        return [*super()._reported(), *self._terms.values()]

    # Configuration

    def get_config(self):
        names = (
            "momentum",
            "soft_targets",
            "soft_target_steps",
            "contrast_weight",
            "matching_weight",
        )
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "fusion": keras.saving.serialize_keras_object(self.fusion),
            "masked_language": self.masked_language
            and keras.saving.serialize_keras_object(self.masked_language),
            "masked_language_weight": self.masked_language_weight,
            "pooling": self.pooling,
            "padding_id": self.padding_id,
            "seed": None if self.matching is None else self.matching.seed,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        own = {
            part: keras.saving.deserialize_keras_object(config[part], custom_objects=custom_objects)
            for part in ("fusion", "masked_language")
        }
        return super().from_config({**config, **own}, custom_objects)
