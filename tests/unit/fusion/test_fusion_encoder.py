"""The fusion encoder equals a float64 reference and ignores padding."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.encoders import TransformerBlock
from keras_contrastive.fusion import FusionEncoder
from tests.helpers.backend import FASTEST, compiled, to_numpy, value_and_gradients
from tests.helpers.fusion_tasks import weights_of
from tests.helpers.towers import settle
from tests.reference import transformer

BATCH, LENGTH, DIM, PATCHES, IMAGE_DIM = 3, 5, 8, 4, 6


def inputs(rng, **changed):
    """Inputs of the encoder. A changed input that is `None` is left out."""
    x = {
        "text": rng.normal(size=(BATCH, LENGTH, DIM)).astype("float32"),
        "image": rng.normal(size=(BATCH, PATCHES, IMAGE_DIM)).astype("float32"),
        "text_mask": np.arange(LENGTH) < np.array([[5], [3], [1]]),
        "image_mask": np.arange(PATCHES) < np.array([[2], [4], [3]]),
    }
    return {name: value for name, value in (x | changed).items() if value is not None}


def encoder(**kwargs):
    layer = FusionEncoder(num_layers=2, num_heads=2, hidden_dim=10, image_dim=IMAGE_DIM, **kwargs)
    layer.build({"text": (None, None, DIM), "image": (None, None, IMAGE_DIM)})
    return settle(layer, 1)


@pytest.fixture(scope="module")
def layer():
    return encoder()


def reference(layer, x):
    rows = []
    for row in range(BATCH):
        tokens = x["text"][row].astype("float64")
        context = x["image"][row].reshape(-1, IMAGE_DIM).astype("float64") if "image" in x else None
        text_mask = x.get("text_mask", np.ones((BATCH, LENGTH), bool))[row]
        image_mask = x.get("image_mask", np.ones((BATCH, PATCHES), bool))[row].reshape(-1)
        for block in layer.blocks:
            tokens = transformer.block(weights_of(block), tokens, text_mask, context, image_mask)
        rows.append(tokens)
    return np.stack(rows)


@pytest.mark.parametrize(
    "missing", [(), ("image_mask",), ("text_mask", "image_mask"), ("image", "image_mask")]
)
def test_encoder_equals_the_reference(layer, rng, missing):
    x = inputs(rng, **dict.fromkeys(missing))
    actual, expected = to_numpy(layer(x)), reference(layer, x)
    is_token = x.get("text_mask", np.ones((BATCH, LENGTH), bool))
    np.testing.assert_allclose(actual[is_token], expected[is_token], atol=1e-5)


def test_grid_is_the_sequence_of_its_cells(layer, rng):
    x = inputs(rng)
    grid = {
        "image": x["image"].reshape(BATCH, 2, 2, IMAGE_DIM),
        "image_mask": x["image_mask"].reshape(BATCH, 2, 2),
    }
    np.testing.assert_allclose(to_numpy(layer(x | grid)), to_numpy(layer(x)), atol=1e-6)


def test_each_block_of_a_layer_reads_its_own_image(rng):
    layer = FusionEncoder(1, 2, hidden_dim=10, num_images=2)
    layer.build({"text": (None, None, DIM), "image": (None, 2, None, IMAGE_DIM)})
    settle(layer, 1)
    text = rng.normal(size=(BATCH, LENGTH, DIM)).astype("float32")
    image = rng.normal(size=(BATCH, 2, PATCHES, IMAGE_DIM)).astype("float32")
    image_mask = np.arange(PATCHES) < np.array([[[2], [4]], [[3], [1]], [[4], [4]]])
    actual = to_numpy(layer({"text": text, "image": image, "image_mask": image_mask}))
    for row in range(BATCH):
        expected = text[row].astype("float64")
        for position, block in enumerate(layer.blocks):
            context = image[row, position].astype("float64")
            text_mask, context_mask = np.ones(LENGTH, bool), image_mask[row, position]
            expected = transformer.block(
                weights_of(block), expected, text_mask, context, context_mask
            )
        np.testing.assert_allclose(actual[row], expected, atol=1e-5)
    grids = {
        "image": image.reshape(BATCH, 2, 2, 2, IMAGE_DIM),
        "image_mask": image_mask.reshape(BATCH, 2, 2, 2),
    }
    np.testing.assert_allclose(to_numpy(layer({"text": text, **grids})), actual, atol=1e-6)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_padding_does_not_change_other_positions(layer, rng, modality):
    x = inputs(rng)
    mask, is_token = f"{modality}_mask", x["text_mask"]
    changed = {**x, modality: np.where(x[mask][..., None], x[modality], 100.0).astype("float32")}
    expected = to_numpy(layer(x))
    np.testing.assert_array_equal(to_numpy(layer(changed))[is_token], expected[is_token])
    # Without the mask, the same change is visible.
    del changed[mask]
    assert np.abs(to_numpy(layer(changed)) - expected)[is_token].max() > 0.01


@pytest.mark.parametrize("modality", ["text", "image"])
def test_padding_has_no_gradient(layer, rng, modality):
    x = inputs(rng)
    is_token = ops.convert_to_tensor(x["text_mask"][..., None].astype("float32"))

    def total(changed):
        return ops.sum(ops.sin(layer({**x, modality: changed})) * is_token)

    _, (gradient,) = value_and_gradients(total, x[modality], **FASTEST)
    mask = x[f"{modality}_mask"]
    assert np.abs(gradient[~mask]).max() == 0
    assert np.abs(gradient[mask]).max() > 1e-3


def test_text_alone_is_read_by_the_blocks_without_cross_attention(layer, rng):
    x = inputs(rng, image=None, image_mask=None)
    tokens, mask = x["text"], x["text_mask"]
    for block in layer.blocks:
        alone = TransformerBlock(2, 10)
        alone.build((None, None, DIM))
        weights = [weight for weight in block.weights if "cross_attention" not in weight.path]
        alone.set_weights([to_numpy(weight) for weight in weights])
        tokens = alone(tokens, tokens_mask=mask)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(tokens), atol=1e-6)


def test_output_is_finite_for_rows_without_tokens(layer, rng):
    x = inputs(rng)
    x |= {name: np.zeros_like(x[name]) for name in ("text_mask", "image_mask")}
    assert np.isfinite(to_numpy(layer(x))).all()


def test_keras_mask_of_an_embedding_is_ignored():
    ids = np.array([[5, 6, 0, 0, 0], [7, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    embedded = keras.layers.Embedding(9, DIM, mask_zero=True)(ids)
    plain = ops.convert_to_tensor(to_numpy(embedded))
    block = TransformerBlock(2, 10, context_dim=DIM)
    masks = {"tokens_mask": ids > 0, "context_mask": ids > 0}
    actual = to_numpy(block(embedded, context=embedded, **masks))
    assert np.isfinite(actual).all()
    np.testing.assert_allclose(actual, to_numpy(block(plain, context=plain, **masks)), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_close_to_float32(layer, rng, policy):
    x = inputs(rng)
    # Without dropout, JAX cannot compile the attention of Keras in float16 for a CPU.
    mixed = encoder(dropout=0.1, dtype=policy)
    assert mixed.compute_dtype == policy.removeprefix("mixed_")
    call = compiled(lambda text: ops.cast(mixed({**x, "text": text}), "float32"))
    actual, expected = to_numpy(call(ops.convert_to_tensor(x["text"]))), to_numpy(layer(x))
    is_token = x["text_mask"]
    np.testing.assert_allclose(actual[is_token], expected[is_token], atol=0.15)


def test_encoder_is_saved_inside_a_functional_model(rng, tmp_path):
    text = keras.Input((LENGTH, DIM), name="text")
    image = keras.Input((2, 2, IMAGE_DIM), name="image")
    layer = FusionEncoder(num_layers=1, num_heads=2, dropout=0.1, activation="relu")
    model = keras.Model({"text": text, "image": image}, layer({"text": text, "image": image}))
    arrays = inputs(rng)
    x = {"text": arrays["text"], "image": arrays["image"].reshape(BATCH, 2, 2, IMAGE_DIM)}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(to_numpy(loaded(x)), to_numpy(model(x)), atol=1e-6)


def test_config_restores_an_encoder_of_the_size_of_albef():
    config = FusionEncoder(num_layers=6, num_heads=12, hidden_dim=3072, dropout=0.1).get_config()
    assert (config["num_layers"], config["num_heads"], config["hidden_dim"]) == (6, 12, 3072)
    assert FusionEncoder.from_config(config).get_config() == config


TEXT = np.ones((1, LENGTH, DIM), "float32")
IMAGE = np.ones((1, PATCHES, IMAGE_DIM), "float32")
CALL_ERRORS = {
    "no dict": (TEXT, TypeError, "`inputs` must be a dict with text, image"),
    "no text": ({"image": IMAGE}, ValueError, "Only the first is required"),
    "unknown input": ({"text": TEXT, "pictures": IMAGE}, ValueError, "Received: text, pictures"),
    "other image dimension": (
        {"text": TEXT, "image": TEXT},
        ValueError,
        "Image tokens must have the dimension 6",
    ),
    "pooled image": (
        {"text": TEXT, "image": IMAGE[:, 0]},
        ValueError,
        "must (yield|return) tokens",
    ),
}


@pytest.mark.parametrize(("x", "error", "message"), CALL_ERRORS.values(), ids=CALL_ERRORS)
def test_wrong_inputs_raise(layer, x, error, message):
    with pytest.raises(error, match=message):
        layer(x)


TWO_IMAGES = {"text": TEXT, "image": np.ones((1, 2, PATCHES, IMAGE_DIM), "float32")}
TWO_IMAGE_ERRORS = {
    "one image": ({"text": TEXT, "image": IMAGE}, "`image` must hold the tokens of 2 images"),
    "one mask": (
        {**TWO_IMAGES, "image_mask": np.ones((1, PATCHES), bool)},
        "`image_mask` must hold a mask for each of the 2 images",
    ),
}


@pytest.mark.parametrize(("x", "message"), TWO_IMAGE_ERRORS.values(), ids=TWO_IMAGE_ERRORS)
def test_wrong_inputs_of_an_encoder_of_two_images_raise(x, message):
    layer = FusionEncoder(1, 2, num_images=2, image_dim=IMAGE_DIM)
    with pytest.raises(ValueError, match=message):
        layer(x)


def test_encoder_that_was_built_without_an_image_raises_for_an_image():
    layer = FusionEncoder(num_layers=1, num_heads=2)
    layer.build({"text": TEXT.shape})
    with pytest.raises(ValueError, match="If the first call has no image, pass `image_dim`"):
        layer({"text": TEXT, "image": IMAGE})


def test_context_without_cross_attention_raises():
    tokens = ops.ones((BATCH, LENGTH, DIM))
    with pytest.raises(ValueError, match="no cross-attention"):
        TransformerBlock(2, 10)(tokens, context=tokens)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_layers": 0}, ValueError, "`num_layers` must be a positive integer"),
        ({"num_layers": 2.0}, TypeError, "`num_layers` must be a positive integer"),
        ({"num_layers": True}, TypeError, "`num_layers` must be a positive integer"),
        ({"num_images": 0}, ValueError, "`num_images` must be a positive integer"),
        ({"image_dim": -1}, ValueError, "`image_dim` must be `None` or a positive integer"),
        ({"num_heads": 3}, ValueError, "must divide the dimension"),
    ],
)
def test_wrong_arguments_raise(arguments, error, message):
    with pytest.raises(error, match=message):
        FusionEncoder(**arguments)({"text": TEXT})
