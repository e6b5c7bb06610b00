"""The encoder against its transcription in NumPy; padding that cannot leak; a text alone."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive.encoders import TransformerBlock
from keras_contrastive.fusion import FusionEncoder
from tests.helpers.backend import to_numpy, value_and_gradients
from tests.helpers.towers import settle
from tests.reference import transformer

BATCH, LENGTH, DIM, PATCHES, IMAGE_DIM = 3, 5, 8, 4, 6


def inputs(rng, **changed):
    there = np.arange(LENGTH) < np.array([[5], [3], [1]])
    seen = np.arange(PATCHES) < np.array([[2], [4], [3]])
    x = {
        "text": rng.normal(size=(BATCH, LENGTH, DIM)).astype("float32"),
        "image": rng.normal(size=(BATCH, PATCHES, IMAGE_DIM)).astype("float32"),
        "text_mask": there,
        "image_mask": seen,
    }
    return {name: value for name, value in (x | changed).items() if value is not None}


def encoder(**kwargs):
    layer = FusionEncoder(num_layers=2, num_heads=2, hidden_dim=10, image_dim=IMAGE_DIM, **kwargs)
    layer.build({"text": (None, None, DIM), "image": (None, None, IMAGE_DIM)})
    return settle(layer, 1)


def weights_of(block):
    names = {weight.path.partition(f"{block.name}/")[2]: weight for weight in block.weights}
    return {name: to_numpy(weight).astype("float64") for name, weight in names.items()}


def reference(layer, x):
    rows = []
    for row in range(BATCH):
        tokens = x["text"][row].astype("float64")
        context = x["image"][row].reshape(-1, IMAGE_DIM).astype("float64") if "image" in x else None
        mask = x.get("text_mask", np.ones((BATCH, LENGTH), bool))[row]
        seen = x.get("image_mask", np.ones((BATCH, PATCHES), bool))[row].reshape(-1)
        for block in layer.blocks:
            tokens = transformer.block(weights_of(block), tokens, mask, context, seen)
        rows.append(tokens)
    return np.stack(rows)


@pytest.mark.parametrize(
    "missing", [(), ("image_mask",), ("text_mask", "image_mask"), ("image", "image_mask")]
)
def test_it_equals_the_transcription(rng, missing):
    layer, x = encoder(), inputs(rng, **dict.fromkeys(missing))
    found, expected = to_numpy(layer(x)), reference(layer, x)
    there = x.get("text_mask", np.ones((BATCH, LENGTH), bool))
    np.testing.assert_allclose(found[there], expected[there], atol=1e-5)


def test_a_grid_is_the_sequence_of_its_cells(rng):
    layer, x = encoder(), inputs(rng)
    grid = {
        "image": x["image"].reshape(BATCH, 2, 2, IMAGE_DIM),
        "image_mask": x["image_mask"].reshape(BATCH, 2, 2),
    }
    np.testing.assert_allclose(to_numpy(layer(x | grid)), to_numpy(layer(x)), atol=1e-6)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_padding_does_not_leak(rng, modality):
    layer, x = encoder(), inputs(rng)
    there = x[f"{modality}_mask"]
    moved = {**x, modality: np.where(there[..., None], x[modality], 100.0).astype("float32")}
    seen = x["text_mask"]
    np.testing.assert_array_equal(to_numpy(layer(moved))[seen], to_numpy(layer(x))[seen])
    mask = f"{modality}_mask"
    without = {name: value for name, value in moved.items() if name != mask}
    assert (
        np.abs(to_numpy(layer(without)) - to_numpy(layer(x)))[seen].max() > 0.01
    )  # which the mask has hidden


@pytest.mark.parametrize("modality", ["text", "image"])
def test_no_gradient_reaches_padding(rng, modality):
    layer, x = encoder(), inputs(rng)
    seen = ops.convert_to_tensor(x["text_mask"][..., None].astype("float32"))

    def total(moved):
        return ops.sum(ops.sin(layer({**x, modality: moved})) * seen)

    _, (gradient,) = value_and_gradients(total, x[modality])
    there = x[f"{modality}_mask"]
    assert np.abs(gradient[~there]).max() == 0
    assert np.abs(gradient[there]).max() > 1e-3


def test_a_text_alone_is_read_by_the_same_transformer_without_cross_attention(rng):
    layer, x = encoder(), inputs(rng, image=None, image_mask=None)
    tokens, mask = x["text"], x["text_mask"]
    for block in layer.blocks:
        alone = TransformerBlock(2, 10)
        alone.build((None, None, DIM))
        own = [weight for weight in block.weights if "cross_attention" not in weight.path]
        alone.set_weights([to_numpy(weight) for weight in own])
        tokens = alone(tokens, tokens_mask=mask)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(tokens), atol=1e-6)


def test_rows_without_a_token_stay_finite(rng):
    layer, x = encoder(), inputs(rng)
    x |= {"text_mask": np.zeros_like(x["text_mask"]), "image_mask": np.zeros_like(x["image_mask"])}
    assert np.isfinite(to_numpy(layer(x))).all()


def test_a_mask_that_keras_has_hung_on_the_tokens_makes_no_hole():
    ids = np.array([[5, 6, 0, 0], [7, 0, 0, 0]])
    embedded = keras.layers.Embedding(9, DIM, mask_zero=True)(ids)
    plain = ops.convert_to_tensor(to_numpy(embedded))
    block = TransformerBlock(2, 10, context_dim=DIM)
    masks = {"tokens_mask": ids > 0, "context_mask": ids > 0}
    found = to_numpy(block(embedded, context=embedded, **masks))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, to_numpy(block(plain, context=plain, **masks)), atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(rng, policy):
    x = inputs(rng)
    plain = to_numpy(encoder()(x))
    mixed = encoder(dtype=policy)(x)
    assert keras.backend.standardize_dtype(mixed.dtype) == policy.removeprefix("mixed_")
    seen = x["text_mask"]
    np.testing.assert_allclose(to_numpy(ops.cast(mixed, "float32"))[seen], plain[seen], atol=0.15)


def test_it_is_saved_and_loaded_within_a_model(rng, tmp_path):
    text, image = (
        keras.Input((LENGTH, DIM), name="text"),
        keras.Input((2, 2, IMAGE_DIM), name="image"),
    )
    layer = FusionEncoder(num_layers=1, num_heads=2, dropout=0.1, activation="relu")
    model = keras.Model({"text": text, "image": image}, layer({"text": text, "image": image}))
    x = {"text": inputs(rng)["text"], "image": inputs(rng)["image"].reshape(BATCH, 2, 2, IMAGE_DIM)}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


def test_the_size_of_albef_can_be_said():
    layer = FusionEncoder(num_layers=6, num_heads=12, hidden_dim=3072, dropout=0.1)
    config = FusionEncoder.from_config(layer.get_config()).get_config()
    assert (config["num_layers"], config["num_heads"], config["hidden_dim"]) == (6, 12, 3072)


def test_what_it_refuses(rng):
    x = inputs(rng)
    with pytest.raises(TypeError, match="takes a dict with text"):
        encoder()(x["text"])
    with pytest.raises(ValueError, match="the first is required"):
        encoder()({"image": x["image"]})
    with pytest.raises(ValueError, match="Received: text, pictures"):
        encoder()({"text": x["text"], "pictures": x["image"]})
    with pytest.raises(ValueError, match="built for image tokens of dimension 6"):
        encoder()({**x, "image": x["text"][:, :PATCHES]})
    with pytest.raises(ValueError, match="must yield tokens"):
        encoder()({**x, "image": x["image"][:, 0], "image_mask": None})
    with pytest.raises(ValueError, match="must divide the dimension"):
        FusionEncoder(num_heads=3)({"text": x["text"]})
    for size in (0, 2.0, True):
        with pytest.raises((TypeError, ValueError), match="must be a positive integer"):
            FusionEncoder(num_layers=size)
    alone = FusionEncoder(num_layers=1, num_heads=2)
    alone({"text": x["text"]})
    with pytest.raises(ValueError, match="without `image_dim`"):
        alone(x)
    block = TransformerBlock(2, 4)
    with pytest.raises(ValueError, match="no cross-attention"):
        block(ops.ones((1, 2, 4)), context=ops.ones((1, 2, 4)))
