"""Towers that return tokens: padding, patches, and the weights of a published BERT."""

import types

import numpy as np
import pytest

from keras_contrastive._transformer_block import gelu_tanh
from keras_contrastive.encoders import PatchTower, TextTower
from keras_contrastive.fusion import FusionEncoder, load_bert
from tests.helpers import backbones
from tests.helpers.backend import to_numpy

TEXTS = np.array([[1, 7, 9, 2, 0, 0], [1, 8, 2, 0, 0, 0]], "int32")


def text_tower(**kwargs):
    return TextTower(
        **{"vocabulary_size": 30, "max_length": 6, "dim": 8, "num_layers": 2, "num_heads": 2}
        | kwargs
    )


def test_padding_does_not_change_the_tokens_of_a_text():
    tower = text_tower(num_layers=1)
    longer, shorter = to_numpy(tower(TEXTS)), to_numpy(tower(TEXTS[:, :4]))
    mask = TEXTS[:, :4] > 0
    np.testing.assert_allclose(longer[:, :4][mask], shorter[mask], atol=1e-6)


def test_a_padding_mask_replaces_the_padding_id():
    tower = text_tower(num_layers=1)
    inputs = {"token_ids": np.where(TEXTS == 0, 5, TEXTS), "padding_mask": TEXTS > 0}
    np.testing.assert_allclose(
        to_numpy(tower(inputs))[TEXTS > 0], to_numpy(tower(TEXTS))[TEXTS > 0], atol=1e-6
    )


def test_the_tokens_of_an_image_are_its_patches_row_by_row():
    tower = PatchTower(patch_size=2, dim=4, num_layers=1, num_heads=2, use_class_token=False)
    image = np.arange(4 * 6, dtype="float32").reshape(1, 4, 6, 1)
    tower.build(image.shape)
    tower.patches.set_weights([np.eye(4, dtype="float32"), np.zeros(4, "float32")])
    tower.positions.assign(np.zeros((6, 4), "float32"))
    tower.norm.set_weights([np.ones(4, "float32"), np.zeros(4, "float32")])
    tokens = []
    tower.blocks = [lambda x, training: tokens.append(to_numpy(x)) or x]
    tower(image)
    last = image[0, 2:, 4:, 0].reshape(-1)
    np.testing.assert_allclose(tokens[0][0, 5], (last - last.mean()) / last.std(), atol=1e-5)


@pytest.mark.towers
def test_bert_of_keras_hub_in_two_halves_is_bert():
    bert, x = backbones.bert(num_layers=3), backbones.texts()
    sizes = {"num_heads": 2, "hidden_dim": 12, "activation": gelu_tanh}
    for weight in bert.weights:  # whose biases are zero at first
        weight.assign(np.random.default_rng(len(weight.path)).normal(size=weight.shape, scale=0.3))
    text = TextTower(backbones.VOCABULARY, backbones.LENGTH, 8, num_layers=1, **sizes)
    fusion = FusionEncoder(num_layers=2, image_dim=5, **sizes)
    tokens = text(x)
    fusion({"text": tokens})
    load_bert(bert, text, fusion)
    found = to_numpy(fusion({"text": text(x), "text_mask": x["padding_mask"]}))
    expected = to_numpy(
        bert({**x, "segment_ids": np.zeros_like(x["token_ids"])})["sequence_output"]
    )
    there = x["padding_mask"] > 0
    np.testing.assert_allclose(found[there], expected[there], atol=1e-5)
    alone = FusionEncoder(num_layers=2, image_dim=5, **sizes)
    alone({"text": tokens})
    load_bert(bert, fusion=alone)  # the last two layers, as with the tower before it
    cross = [weight for weight in alone.blocks[1].weights if "cross" not in weight.path]
    same = [weight for weight in fusion.blocks[1].weights if "cross" not in weight.path]
    for weight, expected in zip(cross, same, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), to_numpy(expected))


def test_what_loading_refuses():
    with pytest.raises(TypeError, match="must be a BERT of keras-hub"):
        load_bert(text_tower())
    parts = ("token_embedding", "position_embedding", "segment_embedding", "embeddings_layer_norm")
    bert = types.SimpleNamespace(transformer_layers=[None], **dict.fromkeys(parts))
    with pytest.raises(ValueError, match="must be built"):
        load_bert(bert, text_tower())
    tower = text_tower()
    tower.build()
    with pytest.raises(ValueError, match="at most as many layers as BERT, 1"):
        load_bert(bert, tower)
    table = types.SimpleNamespace(get_weights=lambda: [np.zeros((31, 8))])
    bert = types.SimpleNamespace(transformer_layers=[None] * 2, **dict.fromkeys(parts, table))
    with pytest.raises(ValueError, match="must have the shape of BERT's weight"):
        load_bert(bert, tower)
