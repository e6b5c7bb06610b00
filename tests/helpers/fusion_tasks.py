"""Small task models with fixed weights, and questions that need both the image and the text."""

import keras
import numpy as np

from keras_contrastive.fusion import AnswerDecoder, AnswerGenerator, FusionClassifier, FusionEncoder
from tests.helpers.backend import to_numpy
from tests.helpers.fusion_trainers import CLS, DIM, SEP, VOCABULARY, settle_parts, towers
from tests.reference import transformer

ANSWER_LENGTH = 4


def questions(rows=8, seed=0, num_images=1):
    """Inputs, labels and answers: is the image bright, or is it dark?

    With two images: is the first one bright, or the second? Neither the text nor the images alone
    tell the answer. An answer in words has two words for yes and one for no.
    """
    generator = np.random.default_rng(seed)
    first, question = generator.integers(0, 2, (2, rows))
    bright = np.stack([first, 1 - first], axis=1)[:, :num_images]
    images = (2.0 * bright - 1)[:, :, None, None, None] + 0.1 * generator.normal(
        size=(rows, num_images, 4, 4, 2)
    )
    texts = np.tile(np.array([[CLS, 0, SEP, 0, 0]], "int32"), (rows, 1))
    texts[:, 1] = 4 + question
    labels = (first == question).astype("int32")
    answers = np.where(labels[:, None] == 1, [CLS, 9, 10, SEP], [CLS, 11, SEP, 0]).astype("int32")
    images = images.astype("float32")
    return {"image": images if num_images > 1 else images[:, 0], "text": texts}, labels, answers


def build(model, x):
    """Builds a model from the shapes of its inputs, which costs less than a call."""
    model({name: keras.Input(rows.shape[1:], dtype=rows.dtype) for name, rows in x.items()})


def decoder(**kwargs):
    """An unbuilt decoder of answers of up to `ANSWER_LENGTH` tokens."""
    sizes = {"dim": DIM, "num_layers": 2, "num_heads": 2, "hidden_dim": 12} | kwargs
    return AnswerDecoder(VOCABULARY, ANSWER_LENGTH, CLS, SEP, **sizes, name="decoder")


def classifier(num_classes=2, num_images=1, separate=False, dropout=0.0, **kwargs):
    """A classifier. `separate`: each image is read with the text on its own."""
    fusion = FusionEncoder(
        1,
        2,
        hidden_dim=12,
        dropout=dropout,
        num_images=1 if separate else num_images,
        name="fusion",
    )
    encoders = towers(dropout=dropout)
    model = FusionClassifier(encoders, fusion, num_classes, num_images, dropout=dropout, **kwargs)
    build(model, questions(1, num_images=num_images)[0])
    settle_parts({**model.encoders, "fusion": model.fusion, "head": model.head})
    return model


def generator(dropout=0.0):
    """A generator of answers."""
    fusion = FusionEncoder(1, 2, hidden_dim=12, dropout=dropout, name="fusion")
    model = AnswerGenerator(towers(dropout=dropout), fusion, decoder(dropout=dropout))
    x, _, answers = questions(1)
    build(model, {**x, "answer": answers})
    settle_parts({**model.encoders, "fusion": model.fusion, "decoder": model.decoder})
    return model


def weights_of(layer):
    """The weights of a layer in float64, by their names inside the layer."""
    names = {weight.path.partition(f"{layer.name}/")[2]: weight for weight in layer.weights}
    return {name: to_numpy(weight).astype("float64") for name, weight in names.items()}


def reference_logits(layer, ids, context, context_mask):
    """Logits of a decoder for one answer, computed in float64 NumPy."""
    blocks = [weights_of(block) for block in layer.blocks]
    context = context.astype("float64")
    excluded = (layer.start_id, layer.padding_id)
    return transformer.decoder(weights_of(layer), blocks, ids, context, context_mask, excluded)
