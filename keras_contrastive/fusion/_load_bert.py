"""Weights of a published BERT for both halves of a fusion model."""


def load_bert(backbone, text=None, fusion=None):
    """Copy the weights of a BERT of keras-hub: its first layers into the text tower, its last ones into the fusion.

    The text tower also gets the embeddings, to whose places those of the first segment are added; the cross-attention,
    which BERT has not, stays as it is. BERT's activation is an approximation of GELU: build both with
    `activation=kc.encoders.gelu_tanh`.

    Args:
        backbone: A `keras_hub.models.BertBackbone`, or anything with its layers.
        text: `None`, or a built `TextTower`.
        fusion: `None`, or a built `FusionEncoder`. With a `text` tower, it gets the layers that follow the tower's.

    Raises:
        TypeError: What is no BERT of keras-hub.
        ValueError: Layers that are not built, or too few, or weights of other shapes.

    Example:

    >>> import keras_hub
    >>> backbone = keras_hub.models.BertBackbone(30, num_layers=2, num_heads=2, hidden_dim=8, intermediate_dim=16)
    >>> fusion = keras_contrastive.fusion
    >>> sizes = {"dim": 8, "num_layers": 1, "num_heads": 2, "hidden_dim": 16, "activation": fusion.gelu_tanh}
    >>> text = encoders.TextTower(30, 6, **sizes)
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
                f"`{name}` must be built before weights can be loaded: call it on a batch first."
            )
    of_text = 0 if text is None else text.num_layers
    of_fusion = 0 if fusion is None else fusion.num_layers
    if of_text + of_fusion > len(layers):
        raise ValueError(
            f"This BERT has {len(layers)} layers. Received: a text tower of {of_text} and a fusion encoder of "
            f"{of_fusion}."
        )
    if text is not None:
        _load_embeddings(backbone, text)
        for block, layer in zip(text.blocks, layers, strict=False):
            _load_block(block, layer)
    if fusion is not None:
        first = of_text if text is not None else len(layers) - of_fusion
        for place, block in enumerate(fusion.blocks):
            _load_block(block, layers[first + place // fusion.num_images])


_EMBEDDINGS = (
    "token_embedding",
    "position_embedding",
    "segment_embedding",
    "embeddings_layer_norm",
)


def _load_embeddings(backbone, text):
    _assign(text.tokens.weights, backbone.token_embedding.get_weights()[:1])
    places, segments = (
        backbone.position_embedding.get_weights()[0],
        backbone.segment_embedding.get_weights()[0],
    )
    _assign([text.positions], [places[: text.max_length] + segments[0]])
    _assign(text.norm.weights, backbone.embeddings_layer_norm.get_weights())


def _load_block(block, layer):
    pairs = (
        (block.self_attention, layer._self_attention_layer),
        (block.self_attention_norm, layer._self_attention_layer_norm),
        (block.inner, layer._feedforward_intermediate_dense),
        (block.outer, layer._feedforward_output_dense),
        (block.feed_forward_norm, layer._feedforward_layer_norm),
    )
    for own, theirs in pairs:
        _assign(own.weights, theirs.get_weights())


def _assign(weights, values):
    for weight, value in zip(weights, values, strict=True):
        if tuple(weight.shape) != tuple(value.shape):
            raise ValueError(
                f"`{weight.path}` has the shape {tuple(weight.shape)}. Received: {tuple(value.shape)} of BERT. Do the "
                "sizes, the number of heads and the vocabulary agree, and is `max_length` no longer than BERT's?"
            )
        weight.assign(value)
