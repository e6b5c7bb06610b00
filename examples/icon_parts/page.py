"""A page with a search box that opens from disk: it holds the drawings and vectors of words."""

import base64
import io
import json
import pathlib
import re

import numpy as np

from icon_parts import sentence_encoder
from icon_parts.controls import unit

TEMPLATE = pathlib.Path(__file__).with_name("page.html")
COMMON_WORDS = 10_000  # the most frequent words of the sentence encoder's vocabulary
COMPONENTS = 128  # of the 384 of a sentence vector
COLUMNS = 40  # drawings in a row of the sheet


def write_page(path, drawings, vectors, names, common=COMMON_WORDS, components=COMPONENTS):
    """Writes one HTML file. A query there is the weighted mean of the vectors of its words.

    Args:
        path: The file.
        drawings: The `Drawings` that are searched.
        vectors: `(drawings, 384)`, their unit vectors.
        names: Names of all drawings of the training. Their words join the vocabulary.
        common: Number of frequent words in the vocabulary.
        components: Number of components of the vectors.
    """
    vocabulary = Vocabulary(names, common)
    main = principal_components(np.concatenate([vectors, vocabulary.vectors]), components)
    words, corpus = vocabulary.vectors @ main, unit(vectors @ main)
    content = {
        "names": [str(name) for name in drawings.names],
        "words": vocabulary.words,
        "weights": [round(float(weight), 2) for weight in vocabulary.weights],
        "size": components,
        "tile": drawings.images.shape[1],
        "columns": COLUMNS,
        "word_vectors": _as_text(words),
        "drawing_vectors": _as_text(corpus),
        "sheet": _as_png(sheet(drawings.images)),
    }
    page = TEMPLATE.read_text(encoding="utf-8").replace("/*CONTENT*/", json.dumps(content))
    path.write_text(page, encoding="utf-8")


class Vocabulary:
    """Words with vectors and weights. Rare words have larger weights, by Zipf's law.

    Attributes:
        words: List of strings.
        vectors: `(words, 384)`. The mean vector of a name is subtracted.
        weights: `(words,)`.
    """

    def __init__(self, names, common):
        ranks = {}
        for word in sentence_encoder.vocabulary():
            if re.fullmatch("[a-z]{2,}", word):
                ranks[word] = len(ranks)
        split = [sentence_encoder.words_of(str(name)) for name in names]
        in_names = {word for words in split for word in words if re.fullmatch(r"\w+", word)}
        self.words = sorted({*in_names, *list(ranks)[:common]})
        self.weights = np.log([2 + ranks.get(word, len(ranks)) for word in self.words])
        self.numbers = {word: number for number, word in enumerate(self.words)}
        self.vectors = sentence_encoder.encode(self.words)
        self.vectors = self.vectors - np.mean([self.embed(words) for words in split], axis=0)

    def embed(self, words):
        """Returns the weighted mean of the vectors of the known words, `(384,)`."""
        rows = [self.numbers[word] for word in words if word in self.numbers]
        if not rows:
            return np.zeros(self.vectors.shape[1], "float32")
        return np.average(self.vectors[rows], axis=0, weights=self.weights[rows])


def sheet(images):
    """Joins drawings to one image, 40 in each row."""
    n, size, _ = images.shape
    rows = -(-n // COLUMNS)
    padded = np.zeros((rows * COLUMNS, size, size), "uint8")
    padded[:n] = images
    grid = padded.reshape(rows, COLUMNS, size, size).swapaxes(1, 2)
    return grid.reshape(rows * size, COLUMNS * size)


def principal_components(x, count):
    """Returns the directions of the largest variance, `(dim, count)`."""
    return np.linalg.eigh(x.T @ x)[1][:, : -count - 1 : -1]


def _as_text(x):
    """Returns rows as 8-bit integers in base64. The order of cosines does not need the scale."""
    integers = np.rint(x * (127 / np.abs(x).max())).astype("int8")
    return base64.b64encode(integers.tobytes()).decode()


def _as_png(ink):
    """Returns black with 16 degrees of transparency, in base64."""
    from PIL import Image

    image = Image.fromarray(ink >> 4)
    image.putpalette([0, 0, 0] * 16)
    buffer = io.BytesIO()
    opacity = bytes(17 * degree for degree in range(16))
    image.save(buffer, "PNG", optimize=True, bits=4, transparency=opacity)
    return base64.b64encode(buffer.getvalue()).decode()
