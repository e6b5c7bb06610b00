"""What is frozen stays so."""


def finish_build(layer):
    """Mark a layer as built; if it is frozen, as after loading, so are the layers that it has just made."""
    layer.built = True
    if not layer.trainable:
        layer.trainable = True  # TensorFlow does not look at a value that is there already
        layer.trainable = False


def copy_weights(layer, other):
    """Take the weights of another layer of the same kind, and which of them are frozen."""
    layer.set_weights(other.get_weights())
    for own, theirs in zip(layer.weights, other.weights, strict=True):
        own.trainable = theirs.trainable
