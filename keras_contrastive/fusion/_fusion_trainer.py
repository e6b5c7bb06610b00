"""FusionTrainer: align before fuse."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_contrastive import _checks
from keras_contrastive._engine import Batch
from keras_contrastive._keras import serialize
from keras_contrastive._tokens import POOLINGS, as_text, check_tokens, with_ids
from keras_contrastive._typing import Config, Layer, Layers, Shape, Structure, Tensor
from keras_contrastive.fusion._checks import (
    check_fusion_parts,
    check_matching,
    check_num_images,
    check_pooling,
)
from keras_contrastive.fusion._fusion_encoder import FusionEncoder
from keras_contrastive.fusion._masked_language import MaskedLanguage
from keras_contrastive.fusion._matching import ImageTextMatching
from keras_contrastive.fusion._matching_pairs import (
    complete_rows,
    draw_negatives,
    matching_terms,
    ratio_of_sums,
    take_rows,
)
from keras_contrastive.fusion._pooled_tower import PooledTower, pool_tower, pooling_of
from keras_contrastive.layers import MomentumTeacher
from keras_contrastive.trainers import ContrastiveTrainer

_TOKENS = "_tokens"


@keras.saving.register_keras_serializable(package="keras_contrastive")
class FusionTrainer(ContrastiveTrainer):
    """Trains an image tower, a text tower, and a fusion encoder that reads the tokens of both.

    Experimental, see `kc.fusion`. The towers return tokens, one vector for each part of their
    input. The loss has three terms. Each one is reported and has a weight:

    * **contrast**: the loss that `compile` gets, on the pooled and projected tokens.
    * **matching**: the fusion encoder tells pairs from hard negatives. See `ImageTextMatching`.
    * **masked language**: the fusion encoder restores hidden words with the help of the image. See
      `MaskedLanguage`.

    With a `teacher`, each image is compared with the teacher's embeddings of the texts, and each
    text with those of the images. An `EmbeddingQueue` of the loss then stores embeddings of the
    teacher. Regularizers see them as augmented views.

    ALBEF is `teacher=MomentumTeacher(0.995, soft_targets=0.4, soft_target_steps=...)` with the
    steps of one epoch, `pooling="class_token"`, and the loss
    `InfoNCE(LearnableTemperature(0.07), memory=EmbeddingQueue(65536, 256))`. There are four
    differences. The masked language has no soft targets. Its word matrix is not shared. Hard
    negatives are drawn by the similarities of the embeddings, not of the teacher's. The temperature
    has other bounds. The teacher moves at the start of each training step, also if the optimizer
    accumulates gradients.

    In training, `call` also returns the tokens, as `"image_tokens"` and `"text_tokens"`. Rows that
    lack a modality (see `present`) are neither matched nor masked. `micro_batch_size`
    counts the rows that a tower or the fusion encoder gets at a time. The logits of the masked
    language, `(batch, length, vocabulary)`, are those of the whole batch.

    Args:
        encoders: Dict of an `"image"` and a `"text"` tower. The image tower returns
            `(batch, patches, dim)` or a grid `(batch, height, width, dim)`. The text tower gets
            token ids `(batch, length)`, or a dict with `"token_ids"` and `"padding_mask"`, and
            returns `(batch, length, dim)`.
        fusion: A `FusionEncoder`.
        projectors: See `ContrastiveTrainer`. Projectors are applied to the pooled tokens.
        matching: `True` for `ImageTextMatching()`, an `ImageTextMatching`, or `None` to switch the
            matching off.
        masked_language: `None`, or a `MaskedLanguage`.
        regularizers: See `ContrastiveTrainer`.
        teacher: `None`, or a `keras_contrastive.layers.MomentumTeacher`.
        contrast_weight: Non-negative float. 0 switches the contrastive loss off.
        pooling: How tokens become one vector: `"mean"` over the tokens that are not padding,
            `"class_token"` for the first token, or a dict by modality. The output of the fusion
            encoder is pooled like the text.
        padding_id: Integer, the id after the last token of a text that has no mask.
        in_modal_weight: Weight of the contrast of each modality with its own second view.
        **kwargs: `augmenters`, `hard_negatives`, `hard_negative_ids`, `log_weights`, `present`,
            `guides` and `micro_batch_size` of `ContrastiveTrainer`, and arguments of `keras.Model`.

    Raises:
        TypeError: If a part has the wrong type.
        ValueError: If the towers have other names or return no tokens, or if options exclude each
            other.

    Reference:
        - [Li et al., 2021](https://arxiv.org/abs/2107.07651).
        - [Jiang et al., 2023](https://arxiv.org/abs/2303.05952), Sec. 5.2, for the regularizers.

    Example:

    >>> kc = keras_contrastive
    >>> image = kc.encoders.PatchTower(4, dim=8, num_heads=2)
    >>> text = kc.encoders.TextTower(30, 6, 8, 1, 2)
    >>> language = kc.fusion.MaskedLanguage(vocabulary_size=30, mask_id=3, kept_ids=(1, 2))
    >>> towers, fusion = {"image": image, "text": text}, kc.fusion.FusionEncoder(1, 2)
    >>> parts = {"masked_language": language, "teacher": kc.layers.MomentumTeacher(0.995)}
    >>> model = FusionTrainer(towers, fusion, **parts)
    >>> model.compile("adam", kc.losses.InfoNCE())
    >>> texts = np.tile([[1, 7, 9, 2, 0, 0]], (4, 1))
    >>> x = {"image": np.ones((4, 8, 8, 3), "float32"), "text": texts}
    >>> history = model.fit(x, verbose=0).history
    >>> sorted(history)
    ['contrast', 'loss', 'masked_language', 'matching', 'matching_accuracy']
    """

    def __init__(
        self,
        encoders: dict[str, Layer],
        fusion: FusionEncoder,
        projectors: Layers | None = None,
        matching: ImageTextMatching | bool | None = True,
        masked_language: MaskedLanguage | None = None,
        regularizers: Sequence[Layer] = (),
        teacher: MomentumTeacher | None = None,
        contrast_weight: float = 1.0,
        pooling: str | dict[str, str] = "mean",
        padding_id: int = 0,
        in_modal_weight: float | Mapping[str, float] = 0.0,
        **kwargs: Any,
    ) -> None:
        check_fusion_parts(encoders, fusion, padding_id, masked_language, kwargs.get("predictors"))
        check_matching(matching)
        check_pooling(pooling, modalities=encoders)
        check_num_images(1, getattr(fusion, "num_images", 1))
        super().__init__(
            encoders,
            projectors=projectors,
            regularizers=regularizers,
            in_modal_weight=in_modal_weight,
            teacher=teacher,
            **kwargs,
        )
        self.fusion = fusion
        self.matching: Any = ImageTextMatching() if matching is True else matching or None
        self.masked_language = masked_language
        self.contrast_weight = _checks.non_negative("contrast_weight", contrast_weight)
        self.pooling = pooling
        self.padding_id = padding_id
        weight_of_matching = 0.0 if self.matching is None else self.matching.weight
        weight_of_language = 0.0 if masked_language is None else masked_language.weight
        self._matches, self._masks = weight_of_matching > 0, weight_of_language > 0
        if not (self.contrast_weight or self._matches or self._masks):
            raise ValueError(
                "`contrast_weight` must be positive if matching and masked language are off. "
                f"Received: contrast_weight={contrast_weight}."
            )
        if self.contrast_weight:
            self.declare_losses({"contrast": self.contrast_weight})
        if self._matches:
            self.declare_losses({"matching": weight_of_matching, "matching_accuracy": 0.0})
        if self._masks:
            self.declare_losses({"masked_language": weight_of_language})

    # Embeddings

    def embed_all(
        self, inputs: dict[str, Structure], training: bool | None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        names = [name for name in self.modalities if name in inputs]
        tokens = {name: self.tokens(name, inputs[name], training) for name in names}
        if len(tokens) == len(self.modalities):
            self._build_fusion({name: x.shape for name, x in tokens.items()})
        features = {name: self._pool_tower(name, tokens[name], inputs[name]) for name in names}
        extras = {name + _TOKENS: x for name, x in tokens.items()}
        return self.embeddings_of(features, training), extras

    def encode(self, name: str, inputs: Structure, training: bool | None) -> Tensor:
        return self._pool_tower(name, self.tokens(name, inputs, training), inputs)

    def tokens(self, name: str, inputs: Structure, training: bool | None) -> Tensor:
        """Returns the tokens of a tower, `(batch, length, dim)` or a grid."""
        tokens = self.apply_in_micro_batches(self.encoders[name], inputs, training)
        check_tokens(name, tokens, grid=name == "image")
        return tokens

    def _pool_tower(self, name: str, tokens: Tensor, inputs: Structure) -> Tensor:
        return pool_tower(tokens, inputs, name, pooling_of(self.pooling, name), self.padding_id)

    def _pool(self, name: str, tokens: Tensor, mask: Tensor | None) -> Tensor:
        return POOLINGS[pooling_of(self.pooling, name)](tokens, mask)

    def embedding_layers(self, modality: str, projected: bool) -> list[Layer]:
        tower, *rest = super().embedding_layers(modality, projected)
        pooling = pooling_of(self.pooling, modality)
        return [PooledTower(tower, modality, pooling, self.padding_id), *rest]

    def _build_fusion(self, shapes: dict[str, Shape]) -> None:
        # In `call`, since Keras traces nothing else when it loads a model.
        if not self.fusion.built:
            self.fusion.build(shapes)
        dim = shapes["text"][-1]
        if self.matching is not None and not self.matching.built:
            self.matching.build((None, dim))
        if self.masked_language is not None and not self.masked_language.built:
            self.masked_language.build((None, None, dim))

    # Losses

    def extra_losses(
        self, batch: Batch, extras: dict[str, Tensor], x: Structure, training: bool
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        if not (self._matches or self._masks):
            return losses
        # In evaluation, `call` does not return tokens, so that `predict` does not store them.
        tokens = {
            name: extras[name + _TOKENS] if extras else self.tokens(name, x[name], training)
            for name in self.modalities
        }
        if self._matches:
            mask = as_text(x["text"], self.padding_id)[1]
            losses |= self._matching_losses(batch, tokens, mask, training)
        if self._masks:
            value = self._masked_language_loss(batch, tokens["image"], x["text"], training)
            losses["masked_language"] = value
        return losses

    def _matching_losses(
        self, batch: Batch, tokens: dict[str, Tensor], mask: Tensor, training: bool
    ) -> dict[str, Tensor]:
        text, image = tokens["text"], tokens["image"]
        compared = self.loss.prepared(batch.select(("image", "text")))
        text_scale, image_scale = (
            self.direction_scale("image", "text"),
            self.direction_scale("text", "image"),
        )
        drawn = draw_negatives(self.matching, compared, "image", "text", text_scale, 0, training)
        text_rows, has_text = drawn
        drawn = draw_negatives(self.matching, compared, "text", "image", image_scale, 1, training)
        image_rows, has_image = drawn
        if training:
            self.matching.advance()
        # Three pairs per row: the row itself, its image with another text, and the reverse.
        masks = ops.concatenate([mask, take_rows(batch, mask, text_rows), mask])
        texts = ops.concatenate([text, take_rows(batch, text, text_rows), text])
        images = ops.concatenate([image, image, take_rows(batch, image, image_rows)])
        fused = self._fuse(texts, masks, images, training)
        logits = self.matching(self._pool("text", fused, masks))
        return matching_terms(self.matching, batch, logits, has_text, has_image)

    def direction_scale(self, anchors: str, candidates: str) -> Tensor:
        """Returns 1 / temperature of a direction between the modalities, a scalar.

        If the loss has no temperature for it, the mean over all directions is returned.
        """
        scale = self.loss.scale()
        if not len(scale.shape):
            return scale
        if self.teacher is not None:
            candidates = self.second_view_names[candidates]
        directions = list(self.direction_weights())
        if (anchors, candidates) not in directions:
            return ops.mean(scale)
        return scale[directions.index((anchors, candidates))]

    def _masked_language_loss(
        self, batch: Batch, image: Tensor, text: Structure, training: bool
    ) -> Tensor:
        language: Any = self.masked_language
        ids, mask = as_text(text, self.padding_id)
        corrupted, chosen = language.corrupt(ids, mask, training)
        chosen = ops.logical_and(chosen, ops.expand_dims(complete_rows(batch), 1))
        tokens = self.tokens("text", with_ids(text, corrupted), training)
        logits = language(self._fuse(tokens, mask, image, training))
        return ratio_of_sums(batch, *language.cross_entropy(logits, ids, chosen))

    def _fuse(self, text: Tensor, mask: Tensor, image: Tensor, training: bool) -> Tensor:
        inputs = {"text": text, "text_mask": mask, "image": image}
        return self.apply_in_micro_batches(self.fusion, inputs, training, keep_losses=False)

    # Configuration

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "fusion": serialize(self.fusion),
            "matching": serialize(self.matching),
            "masked_language": serialize(self.masked_language),
            "contrast_weight": self.contrast_weight,
            "pooling": self.pooling,
            "padding_id": self.padding_id,
        }

    @classmethod
    def from_config(cls, config: Config, custom_objects: dict[str, Any] | None = None) -> Self:
        parts = {
            part: keras.saving.deserialize_keras_object(
                config.get(part), custom_objects=custom_objects
            )
            for part in ("fusion", "matching", "masked_language")
        }
        return super().from_config({**config, **parts}, custom_objects)
