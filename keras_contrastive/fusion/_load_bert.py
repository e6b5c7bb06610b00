"""Weights of a published BERT for a text tower and a fusion encoder."""

from collections.abc import Sequence
from typing import Any

from keras_contrastive._typing import Array, Layer


def load_bert(backbone: Any, text: Layer | None = None, fusion: Layer | None = None) -> None:
    """Copies the weights of a BERT of keras-hub into a text tower and a fusion encoder.

    The text tower gets the embeddings and the first layers, the fusion encoder the last layers.
    The embedding of BERT's first segment is added to the position embeddings. The cross-attention,
    which BERT lacks, keeps its weights. BERT uses the tanh approximation of GELU: build both parts
    with `activation=kc.encoders.gelu_tanh`.

    Args:
        backbone: A `keras_hub.models.BertBackbone`, or an object with the same layers.
        text: `None`, or a built `TextTower`.
        fusion: `None`, or a built `FusionEncoder`. With a `text` tower, it gets the layers after
            those of the tower.

    Raises:
        TypeError: If `backbone` is not a BERT of keras-hub.
        ValueError: If a part is not built, BERT has too few layers, or shapes of weights differ.

    Example:

    >>> import keras_hub
    >>> backbone = keras_hub.models.BertBackbone(
    ...     30, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16
    ... )
    >>> encoders = keras_contrastive.encoders
    >>> sizes = {"dim": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 16}
    >>> text = encoders.TextTower(30, 6, activation=encoders.gelu_tanh, **sizes)
    >>> text.build()
    >>> load_bert(backbone, text)
    >>> np.array_equal(text.tokens.get_weights()[0], backbone.token_embedding.get_weights()[0])
    True
    """
    layers = getattr(backbone, "transformer_layers", None)
    if layers is None or not all(hasattr(backbone, part) for part in _EMBEDDINGS):
        raise TypeError(
            "`backbone` must be a BERT of keras-hub, with `transformer_layers` and embeddings. "
            f"Received: {type(backbone).__name__}."
        )
    for name, part in (("text", text), ("fusion", fusion)):
        if part is not None and not part.built:
            raise ValueError(
                f"`{name}` must be built before weights are loaded. Received: a layer that is not "
                "built. Call it on a batch first."
            )
    text_layers = 0 if text is None else text.num_layers
    fusion_layers = 0 if fusion is None else fusion.num_layers
    if text_layers + fusion_layers > len(layers):
        raise ValueError(
            "`text` and `fusion` together must have at most as many layers as BERT, "
            f"{len(layers)}. Received: {text_layers} and {fusion_layers} layers."
        )
    if text is not None:
        _load_embeddings(backbone, text)
        for block, layer in zip(text.blocks, layers, strict=False):
            _load_block(block, layer)
    if fusion is not None:
        first = text_layers if text is not None else len(layers) - fusion_layers
        for position, block in enumerate(fusion.blocks):
            _load_block(block, layers[first + position // fusion.num_images])


_EMBEDDINGS = (
    "token_embedding",
    "position_embedding",
    "segment_embedding",
    "embeddings_layer_norm",
)


def _load_embeddings(backbone: Any, text: Layer) -> None:
    _assign(text.tokens.weights, backbone.token_embedding.get_weights()[:1])
    positions = backbone.position_embedding.get_weights()[0][: text.max_length]
    first_segment = backbone.segment_embedding.get_weights()[0][0]
    _assign([text.positions], [positions + first_segment])
    _assign(text.norm.weights, backbone.embeddings_layer_norm.get_weights())


def _load_block(block: Layer, bert_layer: Layer) -> None:
    pairs = (
        (block.self_attention, bert_layer._self_attention_layer),
        (block.self_attention_norm, bert_layer._self_attention_layer_norm),
        (block.inner, bert_layer._feedforward_intermediate_dense),
        (block.outer, bert_layer._feedforward_output_dense),
        (block.feed_forward_norm, bert_layer._feedforward_layer_norm),
    )
    for layer, source in pairs:
        _assign(layer.weights, source.get_weights())


def _assign(weights: Sequence[Any], values: Sequence[Array]) -> None:
    for weight, value in zip(weights, values, strict=True):
        if tuple(weight.shape) != tuple(value.shape):
            raise ValueError(
                f"`{weight.path}` must have the shape of BERT's weight, {tuple(value.shape)}. "
                f"Received: {tuple(weight.shape)}. Use BERT's sizes, number of heads and "
                "vocabulary, and at most its `max_length`."
            )
        weight.assign(value)
