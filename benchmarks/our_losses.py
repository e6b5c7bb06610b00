"""The losses of this library, as the benchmark calls them.

A loss is a function of two views `(batch, dim)`, or of one tensor `(2 * batch, dim)`, whose row
`i + batch` is the other view of row `i`. A loss of labels has one tensor, in classes of eight rows:
four items in both views. A loss with state runs its first step.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from keras_contrastive import layers, losses

TEMPERATURE = 0.07


class OurLoss(NamedTuple):
    """A function of batch and dim that returns a function of the inputs, and its kind of inputs."""

    make: Callable
    single: bool = False


def items_of(z):
    """Returns the ids of the rows of one tensor."""
    count = ops.shape(z)[0]
    return ops.arange(count, dtype="int32") % (count // 2)


def classes_of(z):
    """Returns the labels of the rows of one tensor."""
    return items_of(z) // 4


def _pairs(loss, *args, **kwargs):
    def make(batch, dim):
        made = loss(*args, **kwargs)
        return lambda a, b: made(None, (a, b))

    return OurLoss(make)


def _labeled(loss, *args, **kwargs):
    def make(batch, dim):
        made = loss(*args, **kwargs)
        return lambda z: made(classes_of(z), z)

    return OurLoss(make, single=True)


def _of_classes(loss):
    def make(batch, dim):
        made = loss(layers.ClassProxies(batch // 4, dim))
        made.build()
        return lambda z: made(classes_of(z), z, training=True)

    return OurLoss(make, single=True)


def _of_items(make_temperature):
    def make(batch, dim):
        made = losses.GlobalContrastive(batch, make_temperature(), normalize=True)
        made.build()

        def first_step(a, b):
            with keras.StatelessScope():
                return made(ops.arange(batch, dtype="int32"), (a, b), training=True)

        return first_step

    return OurLoss(make)


def _matryoshka(batch, dim):
    loss = losses.Matryoshka(losses.InfoNCE(TEMPERATURE), [dim, dim // 2, dim // 4])
    return lambda a, b: loss(None, (a, b))


def _weighted(batch, dim):
    loss, log_weights = losses.InfoNCE(TEMPERATURE), ops.linspace(-1.0, 1.0, batch)
    return lambda a, b: loss(None, (a, b), log_weights={0: log_weights, 1: log_weights})


def _guided(batch, dim):
    # The embeddings are their own guides.
    loss = losses.InfoNCE(TEMPERATURE, ignore_above=("relative", 0.05))
    return lambda a, b: loss(None, (a, b), guides={0: a, 1: b})


OURS = {
    "InfoNCE": _pairs(losses.InfoNCE, TEMPERATURE),
    "NTXent": _pairs(losses.NTXent, TEMPERATURE),
    "SupCon": _labeled(losses.SupCon, TEMPERATURE),
    "SigmoidContrastive": _pairs(losses.SigmoidContrastive, TEMPERATURE),
    "DecoupledContrastive": _pairs(losses.DecoupledContrastive, TEMPERATURE),
    "GammaContrastive": _pairs(losses.GammaContrastive, TEMPERATURE),
    "GlobalContrastive": _of_items(lambda: TEMPERATURE),
    "GlobalContrastive, ItemTemperature": _of_items(layers.ItemTemperature),
    "InfoNCE, ignore_above": _pairs(losses.InfoNCE, TEMPERATURE, ignore_above=("relative", 0.05)),
    "InfoNCE, guides": OurLoss(_guided),
    "InfoNCE, log_weights": OurLoss(_weighted),
    "Matryoshka": OurLoss(_matryoshka),
    "Triplet": _labeled(losses.Triplet, mining="semi_hard", normalize=True),
    "Triplet, hard": _labeled(losses.Triplet, mining="hard", normalize=True),
    "Triplet, all": _labeled(losses.Triplet, mining="all", normalize=True),
    "MultiSimilarity": _labeled(losses.MultiSimilarity),
    "Circle": _labeled(losses.Circle),
    "ArcFace": _of_classes(losses.ArcFace),
    "CosFace": _of_classes(losses.CosFace),
    "NormalizedSoftmax": _of_classes(losses.NormalizedSoftmax),
    "BarlowTwins": _pairs(losses.BarlowTwins),
    "VICReg": _pairs(losses.VICReg),
    "NegativeCosine": _pairs(losses.NegativeCosine),
}
