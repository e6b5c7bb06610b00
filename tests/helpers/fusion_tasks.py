"""Small models of tasks, always with the same weights, and questions that neither text nor picture answers alone."""

import numpy as np

from keras_contrastive.fusion import AnswerDecoder, AnswerGenerator, FusionClassifier, FusionEncoder
from tests.helpers.fusion_trainers import CLS, DIM, SEP, VOCABULARY, settle_parts, towers

ANSWER_LENGTH = 4


def questions(rows=64, seed=0, num_images=1):
    """Is the picture bright, or is it dark? Of two pictures: is it the first that is bright, or the second?

    Each answer is as frequent with each question and with each picture. It is a label, or told in words: two for yes.
    """
    generator = np.random.default_rng(seed)
    first, asked = generator.integers(0, 2, (2, rows))
    bright = np.stack([first, 1 - first], axis=1)[:, :num_images]
    images = (2.0 * bright - 1)[:, :, None, None, None] + 0.1 * generator.normal(
        size=(rows, num_images, 4, 4, 2)
    )
    texts = np.tile(np.array([[CLS, 0, SEP, 0, 0]], "int32"), (rows, 1))
    texts[:, 1] = 4 + asked
    labels = (first == asked).astype("int32")
    answers = np.where(labels[:, None] == 1, [CLS, 9, 10, SEP], [CLS, 11, SEP, 0]).astype("int32")
    images = images.astype("float32")
    return {"image": images if num_images > 1 else images[:, 0], "text": texts}, labels, answers


def decoder(**kwargs):
    """An unbuilt decoder of answers of up to `ANSWER_LENGTH` tokens."""
    sizes = {"dim": DIM, "num_layers": 2, "num_heads": 2, "hidden_dim": 12} | kwargs
    return AnswerDecoder(VOCABULARY, ANSWER_LENGTH, CLS, SEP, **sizes, name="decoder")


def classifier(num_classes=2, num_images=1, in_turn=True, **kwargs):
    """Several pictures are read in turn, or each by itself."""
    fusion = FusionEncoder(
        1, 2, hidden_dim=12, num_images=num_images if in_turn else 1, name="fusion"
    )
    model = FusionClassifier(towers(), fusion, num_classes, num_images, **kwargs)
    model(questions(1, num_images=num_images)[0])
    settle_parts({**model.encoders, "fusion": model.fusion, "head": model._head})
    return model


def generator(**kwargs):
    model = AnswerGenerator(
        towers(), FusionEncoder(1, 2, hidden_dim=12, name="fusion"), decoder(), **kwargs
    )
    x, _, answers = questions(1)
    model({**x, "answer": answers})
    settle_parts({**model.encoders, "fusion": model.fusion, "decoder": model.decoder})
    return model
