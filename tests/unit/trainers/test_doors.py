"""Data is checked at each door of a trainer before Keras gets it.

A refused call leaves the model as it was: it predicts, trains and saves.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.encoders import TextTower
from keras_contrastive.layers import EmbeddingQueue
from keras_contrastive.losses import GammaContrastive, InfoNCE, SupCon
from tests.helpers.backend import COMPILE_LEAST, DATA_KINDS
from tests.helpers.towers import pairs, towers

IDS = np.arange(24)
NAMES = np.array([f"product_{i}" for i in range(24)])
ONE_HOT = np.eye(24, dtype="int32")
MULTI_HOT = np.triu(np.ones((24, 24), "int32"))


def trainer(loss=None, **kwargs):
    model = ContrastiveTrainer(towers(), **kwargs)
    model.compile(keras.optimizers.SGD(0.1), loss or InfoNCE(), **COMPILE_LEAST)
    return model


DOORS = {
    "fit": lambda m, x, *rest: m.fit(x, *rest[:1], sample_weight=_second(rest), verbose=0),
    "validation_data": lambda m, *parts: m.fit(
        pairs(), validation_data=(*parts, None)[: max(len(parts), 2)], verbose=0
    ),
    "evaluate": lambda m, x, *rest: m.evaluate(
        x, *rest[:1], sample_weight=_second(rest), verbose=0
    ),
    "train_on_batch": lambda m, *parts: m.train_on_batch(*parts),
    "test_on_batch": lambda m, *parts: m.test_on_batch(*parts),
}
INPUT_DOORS = DOORS | {
    "predict": lambda m, x: m.predict(x, verbose=0),
    "predict_on_batch": lambda m, x: m.predict_on_batch(x),
}


def _second(rest):
    return rest[1] if len(rest) > 1 else None


def unequal(rows=15):
    return {"image": pairs()["image"], "text": pairs()["text"][:rows]}


# Wrong data, the error and words of its message: what is wrong, and what to do.
WRONG_INPUTS = {
    "unequal rows": (unequal(), ValueError, ["`image` has 24 rows", "`text` has 15", "image_ids"]),
    "no modality": ({"images": pairs()["image"]}, ValueError, ["image, text", "images"]),
    "a tuple": ((pairs()["image"], pairs()["text"]), TypeError, ["image, text", "tuple"]),
    "no rows": ({k: v[:0] for k, v in pairs().items()}, ValueError, ["no rows"]),
    "a number": ({**pairs(), "text": 3.0}, ValueError, ["`text`", "3.0"]),
    "nothing": ({**pairs(), "text": None}, ValueError, ["`text`", "None"]),
    "ragged lists": ({**pairs(), "text": [[1.0], [1.0, 2.0]]}, ValueError, ["`text`", "Pad"]),
}
WRONG_IDS = {
    "too few": (IDS[:20], ValueError, ["20 ids", "24 rows"]),
    "strings": (NAMES, TypeError, ["`y`", "integer", "np.unique(y, return_inverse=True)[1]"]),
    "a list of strings": (NAMES.tolist(), TypeError, ["`y`", "integer", "np.unique"]),
    "floats": (IDS.astype("float32"), TypeError, ["`y`", "integer", "astype"]),
    "scores": (IDS / 7, TypeError, ["`y`", "integer", "not whole"]),
    "bools": (IDS > 3, TypeError, ["`y`", "integer", "astype"]),
    "one-hot": (ONE_HOT, ValueError, ["`y`", "integer", "argmax(axis=1)"]),
    "one-hot floats": (ONE_HOT.astype("float32"), ValueError, ["`y`", "argmax(axis=1)"]),
    "multi-hot": (MULTI_HOT, ValueError, ["`y`", "several labels"]),
    "negative": (IDS - 1, ValueError, ["`y`", "[0, 2**31)", "-1"]),
    "64 bits": (7 + 2**32 * IDS, ValueError, ["`y`", "[0, 2**31)", "np.unique"]),
}
WRONG_WEIGHTS = {
    "too few": (np.ones(23), ValueError, ["`sample_weight`", "23 weights", "24 rows"]),
    "two columns": (np.ones((24, 2)), ValueError, ["`sample_weight`", "(24, 2)"]),
    "strings": (NAMES, TypeError, ["`sample_weight`", "numbers", "strings"]),
    "NaN": (np.where(IDS == 3, np.nan, 1.0), ValueError, ["`sample_weight`", "nan at row 3"]),
    "negative": (IDS - 5.0, ValueError, ["`sample_weight`", "at least 0", "-5.0 at row 0"]),
}


def assert_refused(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.fixture(scope="module")
def model():
    return trainer()


@pytest.mark.parametrize("door", INPUT_DOORS)
@pytest.mark.parametrize("mistake", WRONG_INPUTS)
def test_wrong_inputs_are_refused(model, door, mistake):
    x, error, words = WRONG_INPUTS[mistake]
    words = [*words, *(["validation_data"] if door == "validation_data" else [])]
    assert_refused(lambda: INPUT_DOORS[door](model, x), error, words)


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="layers of TensorFlow accept strings"
)
@pytest.mark.parametrize("door", INPUT_DOORS)
@pytest.mark.parametrize("names", [NAMES, NAMES.tolist(), NAMES.astype(object)])
def test_strings_are_refused(model, door, names):
    x = {**pairs(), "text": names}
    assert_refused(
        lambda: INPUT_DOORS[door](model, x), TypeError, ["`text`", "strings", "TextVectorization"]
    )


@pytest.mark.parametrize("door", DOORS)
def test_training_and_evaluation_need_all_modalities(model, door):
    x = {"image": pairs()["image"]}
    assert_refused(lambda: INPUT_DOORS[door](model, x), ValueError, ["Add text"])


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("mistake", WRONG_IDS)
def test_wrong_ids_are_refused(model, door, mistake):
    ids, error, words = WRONG_IDS[mistake]
    assert_refused(lambda: DOORS[door](model, pairs(), ids), error, words)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("mistake", WRONG_WEIGHTS)
def test_wrong_weights_are_refused(model, door, mistake):
    weights, error, words = WRONG_WEIGHTS[mistake]
    assert_refused(lambda: DOORS[door](model, pairs(), IDS, weights), error, words)


@pytest.mark.parametrize("door", ["fit", "train_on_batch"])
def test_class_weight_is_refused(model, door):
    call = getattr(model, door)
    assert_refused(lambda: call(pairs(), IDS, class_weight={0: 2.0}), ValueError, ["class_weight"])


@pytest.mark.parametrize("door", ["fit", "evaluate"])
@pytest.mark.parametrize("kind", DATA_KINDS)
@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ((pairs(), 7 + 2**32 * IDS), ValueError, ["`y`", "np.unique"]),
        ((pairs(), IDS.astype("float32")), TypeError, ["`y`", "integer"]),
        ((pairs()["image"], pairs()["text"]), TypeError, ['{"image": ..., "text": ...}']),
        (({"image": pairs()["image"]}, IDS), ValueError, ["text"]),
        ((pairs(), IDS, np.where(IDS, 1.0, np.inf)), ValueError, ["`sample_weight`", "finite"]),
    ],
    ids=["64-bit ids", "float ids", "a tuple of views", "one modality", "infinite weights"],
)
def test_batches_of_data_sets_are_checked(model, door, kind, data, error, words):
    batches = DATA_KINDS[kind](data, batch_size=8)
    assert_refused(lambda: getattr(model, door)(batches, verbose=0), error, words)


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_a_wrong_late_batch_is_refused(kind):
    late = IDS.copy()
    late[20] = -5
    model = trainer()
    batches = DATA_KINDS[kind]((pairs(), late), batch_size=8)
    assert_refused(lambda: model.fit(batches, verbose=0), ValueError, ["`y`", "[0, 2"])
    assert_works(model)


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_a_loss_with_items_needs_the_ids_of_a_data_set(kind):
    model = trainer(GammaContrastive(num_items=24))
    batches = DATA_KINDS[kind]((pairs(),), batch_size=8)
    assert_refused(lambda: model.fit(batches, verbose=0), ValueError, ["num_items=24", "(x, ids)"])
    assert_works(model)


def test_ids_of_items_that_the_loss_does_not_have_are_refused():
    model = trainer(GammaContrastive(num_items=20))
    assert_refused(lambda: model.fit(pairs(), IDS, verbose=0), ValueError, ["num_items=20", "23"])
    assert_refused(lambda: model.train_on_batch(pairs(), IDS), ValueError, ["num_items=20", "23"])
    assert_refused(lambda: model.train_on_batch(pairs()), ValueError, ["num_items=20", "y=None"])


@pytest.mark.parametrize(
    "ids",
    [
        IDS.tolist(),
        IDS[:, None],
        IDS.astype("uint8"),
        IDS.astype("int64"),
        ops.convert_to_tensor(IDS.astype("int32")),
    ],
    ids=["a list", "a column", "uint8", "int64", "a tensor"],
)
@pytest.mark.parametrize("door", ["evaluate", "test_on_batch"])
def test_integers_of_all_forms_are_ids(model, door, ids):
    repeated = DOORS[door](model, pairs(), np.arange(24))
    assert float(DOORS[door](model, pairs(), ids)) == pytest.approx(float(repeated), rel=1e-5)


def test_inputs_can_be_lists(model):
    lists = {name: rows.tolist() for name, rows in pairs().items()}
    found, expected = (model.predict(x, verbose=0) for x in (lists, pairs()))
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)


def test_token_ids_beyond_the_vocabulary_are_refused():
    layers = [keras.layers.Embedding(10, 4), keras.layers.GlobalAveragePooling1D()]
    model = ContrastiveTrainer({"text": keras.Sequential(layers), "same": keras.Sequential(layers)})
    model.compile("sgd", InfoNCE())
    x = {"text": np.ones((4, 3), "int32"), "same": np.full((4, 3), 10)}
    assert_refused(lambda: model.fit(x, verbose=0), ValueError, ["`same`", "[0, 10)"])
    x["same"][:] = -1
    assert_refused(lambda: model.fit(x, verbose=0), ValueError, ["`same`", "[0, 10)"])
    one = ContrastiveTrainer(keras.Sequential(layers), augmenters=keras.layers.Identity())
    one.compile("sgd", InfoNCE())
    for call in (one.fit, one.evaluate, one.predict):
        assert_refused(lambda call=call: call(x["same"], verbose=0), ValueError, ["`x`", "[0, 10)"])


def test_token_ids_in_a_dict_are_checked():
    tower = TextTower(vocabulary_size=10, max_length=3, dim=4, num_layers=1, num_heads=2)
    model = ContrastiveTrainer({"text": tower, "image": keras.layers.Dense(4)})
    model.compile("sgd", InfoNCE())
    text = {"token_ids": np.full((4, 3), 10), "padding_mask": np.ones((4, 3), bool)}
    x = {"text": text, "image": np.ones((4, 3), "float32")}
    assert_refused(lambda: model.fit(x, verbose=0), ValueError, ["`text`", "[0, 10)"])


def test_a_presence_input_must_say_yes_or_no():
    model = trainer(present={"has_text": "text"})
    x = {**pairs(), "has_text": np.linspace(0, 1, 24)}
    assert_refused(lambda: model.fit(x, verbose=0), ValueError, ["`has_text`", "bool"])


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_a_presence_input_of_a_data_set_must_say_yes_or_no(kind):
    model = trainer(present={"has_text": "text"})
    x = {**pairs(), "has_text": np.linspace(0, 1, 24)}
    batches = DATA_KINDS[kind]((x,), batch_size=8)
    assert_refused(lambda: model.fit(batches, verbose=0), ValueError, ["`has_text`", "bool"])


@pytest.mark.parametrize("kind", DATA_KINDS)
def test_predictions_ignore_all_but_the_inputs(model, kind):
    batches = DATA_KINDS[kind]((pairs(), IDS / 7), batch_size=8)
    found = model.predict(batches, verbose=0)
    np.testing.assert_allclose(found["text"], model.predict(pairs(), verbose=0)["text"], atol=1e-6)


def test_the_rows_of_arrays_are_the_ids_of_a_queue():
    # Nothing moves, so that the second epoch is the first one and the queue.
    losses = []
    for data in ({"y": IDS}, {"sample_weight": np.ones(24)}, {}):
        model = ContrastiveTrainer(towers())
        loss = InfoNCE(temperature=0.5, memory=EmbeddingQueue(48, 4))
        model.compile(keras.optimizers.SGD(0.0), loss, **COMPILE_LEAST)
        history = model.fit(pairs(), epochs=2, batch_size=24, verbose=0, **data).history
        losses.append(history["loss"][1])
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-5)


def test_class_labels_as_ids_are_told():
    model = ContrastiveTrainer(towers()["image"], augmenters=keras.layers.GaussianNoise(0.1))
    model.compile("sgd", InfoNCE(), **COMPILE_LEAST)
    with pytest.warns(UserWarning, match="2 distinct ids for 24 rows.*`SupCon`"):
        model.fit(pairs()["image"], IDS % 2, verbose=0)
    model.compile("sgd", SupCon(), **COMPILE_LEAST)
    model.fit(pairs()["image"], IDS % 2, verbose=0)  # no warning, which would be an error


def test_a_batch_of_one_row_is_told(model):
    with pytest.warns(UserWarning, match="no row has a negative"):
        model.fit(pairs(), batch_size=1, verbose=0)


@pytest.mark.parametrize("form", [np.bool_, np.int32, np.float32])
@pytest.mark.parametrize("shape", [(24,), (24, 1)])
def test_presence_has_several_forms(form, shape):
    has_text = IDS % 3 > 0
    model = trainer(present={"has_text": "text"})
    expected = model.test_on_batch({**pairs(), "has_text": has_text})
    found = model.test_on_batch({**pairs(), "has_text": has_text.astype(form).reshape(shape)})
    assert float(found) == pytest.approx(float(expected), rel=1e-6)


def assert_works(model):
    assert np.isfinite(model.predict(pairs(), verbose=0)["text"]).all()
    assert np.isfinite(model.fit(pairs(), IDS, verbose=0).history["loss"]).all()


@keras.saving.register_keras_serializable(package="tests")
class Breaking(keras.layers.Layer):
    """Raises when it is called, once it is told to."""

    error = None

    def call(self, inputs):
        if self.error:
            raise self.error("broken")
        return inputs


@pytest.mark.parametrize("door", ["fit", "evaluate", "predict", "train_on_batch"])
@pytest.mark.parametrize("trained", [True, False], ids=["trained", "new"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_a_step_leaves_the_model_as_it_was(door, trained, error, tmp_path):
    encoders = towers()
    breaking = Breaking()
    encoders["text"] = keras.Sequential([keras.Input((5,)), encoders["text"], breaking])
    model = ContrastiveTrainer(encoders)
    model.compile(keras.optimizers.Adam(0.01), InfoNCE())  # compiled, on JAX and TensorFlow
    if trained:
        model.fit(pairs(), verbose=0)
    before = [ops.convert_to_numpy(weight) for weight in model.weights]
    breaking.error = error
    model.compile(model.optimizer, model.loss)  # so that a step is traced again
    arguments = {} if door == "train_on_batch" else {"verbose": 0}
    with pytest.raises(error, match="broken"):
        getattr(model, door)(pairs(), **arguments)
    breaking.error = None
    for weight, expected in zip(model.weights, before, strict=False):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), expected)
    assert_works(model)
    model.save(tmp_path / "model.keras")


@pytest.mark.parametrize("door", ["evaluate", "predict"])
def test_an_interrupt_between_batches_leaves_the_model_as_it_was(model, door):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    name = {"evaluate": "on_test_batch_end", "predict": "on_predict_batch_end"}[door]
    before = [ops.convert_to_numpy(weight) for weight in model.weights]
    callbacks = [keras.callbacks.LambdaCallback(**{name: interrupt})]
    with pytest.raises(KeyboardInterrupt):
        getattr(model, door)(pairs(), batch_size=8, callbacks=callbacks, verbose=0)
    for weight, expected in zip(model.weights, before, strict=False):
        np.testing.assert_array_equal(ops.convert_to_numpy(weight), expected)
    assert_works(model)


def test_sparse_matrices_are_refused(model):
    sparse = pytest.importorskip("scipy.sparse")
    x = pairs()
    x["text"] = sparse.csr_matrix(x["text"])
    for call in (model.fit, model.evaluate, model.predict):
        assert_refused(lambda call=call: call(x, verbose=0), TypeError, ["`text`", "toarray"])
