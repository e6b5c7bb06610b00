"""The answer decoder equals a reference, is causal, and loads weights of a fusion encoder."""

import numpy as np
import pytest

from keras_contrastive.fusion import AnswerDecoder, FusionEncoder
from tests.helpers.backend import to_numpy
from tests.helpers.fusion_tasks import ANSWER_LENGTH, decoder, reference_logits, weights_of
from tests.helpers.fusion_trainers import CLS, DIM, SEP, VOCABULARY
from tests.helpers.towers import settle

ROWS, CONTEXT_DIM = 3, 6


def built_decoder(context_dim=CONTEXT_DIM, **kwargs):
    layer = decoder(**kwargs)
    layer.build((None, None), (None, None, context_dim))
    return settle(layer, 3)


def built_encoder(image_dim=CONTEXT_DIM, num_images=1):
    layer = FusionEncoder(1, 2, hidden_dim=12, num_images=num_images)
    layer.build({"text": (None, None, DIM), "image": (None, None, image_dim)})
    return settle(layer, 1)


@pytest.fixture(scope="module")
def layer():
    return built_decoder()


def test_decoder_equals_the_reference(layer, rng):
    ids = rng.integers(4, VOCABULARY, (ROWS, ANSWER_LENGTH)).astype("int32")
    context = rng.normal(size=(ROWS, 5, CONTEXT_DIM)).astype("float32")
    mask = np.arange(5) < np.array([[5], [2], [1]])
    actual = to_numpy(layer(ids, context, mask))
    for row in range(ROWS):
        expected = reference_logits(layer, ids[row], context[row], mask[row])
        np.testing.assert_allclose(actual[row], expected, atol=2e-5)


def test_position_does_not_depend_on_later_positions(layer, rng):
    context = rng.normal(size=(ROWS, 5, CONTEXT_DIM)).astype("float32")
    ids = np.array([[CLS, 9, 10, 11]] * ROWS, "int32")
    changed = np.array([[CLS, 9, 14, 5]] * ROWS, "int32")
    mask = np.ones((ROWS, 5), bool)
    before, after = (to_numpy(layer(x, context, mask)) for x in (ids, changed))
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert (after[:, 2] != before[:, 2]).any()


@pytest.mark.parametrize(("image_dim", "num_images"), [(CONTEXT_DIM, 1), (4, 1), (4, 2)])
def test_blocks_are_loaded_from_a_fusion_encoder(image_dim, num_images):
    """The cross-attention is loaded if it has the same size, and for two images the first block."""
    target, encoder = built_decoder(num_layers=1), built_encoder(image_dim, num_images)
    target.load_blocks(encoder)
    weights, source = (weights_of(layer.blocks[0]) for layer in (target, encoder))
    loaded = {name for name in weights if np.array_equal(weights[name], source[name])}
    others = {name for name in weights if name.startswith("cross_attention")}
    assert len(others) == 10
    assert loaded == set(weights) - (others if image_dim != CONTEXT_DIM else set())


ERRORS = {
    "too few blocks": (
        lambda: built_decoder().load_blocks(built_encoder()),
        "must be built and have at least 2 blocks.*Received: 1 blocks",
    ),
    "decoder is not built": (
        lambda: decoder(num_layers=1).load_blocks(built_encoder()),
        "a decoder that is not built",
    ),
    "encoder is not built": (
        lambda: built_decoder(num_layers=1).load_blocks(FusionEncoder(1, 2)),
        "Received: no blocks",
    ),
    "other number of heads": (
        lambda: built_decoder(num_layers=1, num_heads=4).load_blocks(built_encoder()),
        "`self_attention`",
    ),
    "equal special ids": (lambda: decoder(padding_id=CLS), "must be different token ids"),
    "unknown special id": (
        lambda: AnswerDecoder(VOCABULARY, 4, CLS, VOCABULARY),
        r"token ids in \[0, 16\).*end_id=16",
    ),
    "long answer": (
        lambda: built_decoder()(np.ones((1, 5), "int32"), np.ones((1, 2, CONTEXT_DIM), "float32")),
        "at most `max_length=4` tokens",
    ),
}


@pytest.mark.parametrize(("call", "message"), ERRORS.values(), ids=ERRORS)
def test_wrong_input_raises(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_config_restores_the_decoder():
    config = decoder(dropout=0.1, activation="relu").get_config()
    restored = AnswerDecoder.from_config(config)
    assert restored.get_config() == config
    assert (restored.start_id, restored.end_id, restored.max_length) == (CLS, SEP, ANSWER_LENGTH)
