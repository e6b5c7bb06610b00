"""Evaluations of data sets, which are read batch by batch."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer
from keras_contrastive.evaluation import PROMPTS, KNNProbe, LinearProbe, ZeroShotEvaluation
from keras_contrastive.losses import InfoNCE
from tests.helpers import towers

ROWS, BATCH = 20, 8
LABELS = np.arange(ROWS) % 3
X = towers.pairs(ROWS)


class Batches(keras.utils.PyDataset):
    """Batches `(x, y)` of arrays, in another order each time that the data set is read."""

    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays
        self.order = np.arange(ROWS)

    @property
    def num_batches(self):
        return -(-ROWS // BATCH)

    def __getitem__(self, index):
        rows = self.order[index * BATCH :][:BATCH]
        if index == self.num_batches - 1:
            self.order = np.roll(self.order, 3)
        return keras.tree.map_structure(lambda array: array[rows], self.arrays)


def tf_data(*arrays):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(arrays).shuffle(ROWS).batch(BATCH)


def loader(*arrays):
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(*map(torch.as_tensor, arrays))
    return torch.utils.data.DataLoader(rows, BATCH, shuffle=True)


class Iterable:
    """A data set of another package."""

    def __init__(self, *arrays):
        self.data = Batches(*arrays)

    def __iter__(self):
        return (self.data[index] for index in range(self.data.num_batches))


KINDS = {"PyDataset": Batches, "tf.data": tf_data, "DataLoader": loader, "another": Iterable}


@pytest.fixture(scope="module")
def model():
    model = ContrastiveTrainer(towers.towers())
    model.compile("sgd", InfoNCE(), run_eagerly=True)
    return model


def identity(model, x):
    return x


def evaluated(evaluation, model=None):
    evaluation.set_model(model)
    names = evaluation.dry_run()
    found = evaluation.evaluate()
    assert [f"val_{name}" for name in names] == list(found)
    return {name: pytest.approx(value, rel=1e-3) for name, value in found.items()}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_probes_of_data_sets_equal_those_of_arrays(kind):
    x, new = X["image"], X["image"][::-1].copy()
    settings = {"embed": identity, "n_neighbors": 3}
    data, new_data = kind(x, LABELS), kind(new, LABELS)
    for arrays, data_sets in (
        ((x, LABELS, new, LABELS), (data, None, new_data, None)),
        ((x, LABELS), (data,)),
        ((x, LABELS, new, LABELS), (x, LABELS, new_data)),
    ):
        expected = evaluated(KNNProbe(*arrays, **settings))
        assert evaluated(KNNProbe(*data_sets, **settings)) == expected
    expected = evaluated(LinearProbe(x, LABELS, new, LABELS, embed=identity))
    assert evaluated(LinearProbe(data, x_test=new_data, embed=identity)) == expected


def tokenize(prompts):
    return np.array([np.arange(5.0) * len(prompt) % 7 for prompt in prompts], "float32")


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_zero_shot_of_data_sets_equals_that_of_arrays(kind):
    def embed(model, x):
        return {name: rows[:, :5] for name, rows in x.items()}

    prompts = ["a", "bb", "ccc"], tokenize, PROMPTS["photos"]
    settings = {"k": (1, 2), "embed": embed}
    expected = evaluated(ZeroShotEvaluation(X["image"], LABELS, *prompts, **settings))
    data = kind(X["image"], LABELS[:, None])  # as Keras' labels of CIFAR
    assert evaluated(ZeroShotEvaluation(data, None, *prompts, **settings)) == expected


def test_towers_embed_the_batches_of_a_data_set(model):
    data = Batches(X["image"], LABELS)
    expected = evaluated(KNNProbe(X["image"], LABELS, modality="image", n_neighbors=3), model)
    assert evaluated(KNNProbe(data, modality="image", n_neighbors=3), model) == expected


def test_embed_gets_the_inputs_of_a_batch():
    sizes = []

    def embed(model, x):
        sizes.append(len(x))
        return x

    x = X["image"]
    expected = evaluated(KNNProbe(x, LABELS, embed=embed))
    sizes.clear()
    assert evaluated(KNNProbe(Batches(x, LABELS), embed=embed)) == expected
    assert sizes == [8, 8, 4] * 2


def test_a_probe_of_a_data_set_in_fit(model):
    probe = KNNProbe(Batches(X["image"], LABELS), modality="image", freq=2)
    history = model.fit(X, epochs=2, callbacks=[probe], verbose=0).history
    np.testing.assert_array_equal(np.isnan(history["val_knn_top_1_accuracy"]), [True, False])


class Empty(Batches):
    num_batches = 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: Batches(x), ValueError, r"`x_train` must be a data set with .*\(x, labels\)"),
        (lambda x: Batches(x, LABELS / 2), TypeError, "`labels of x_train` must be integers"),
        (lambda x: Batches(x, np.eye(3)[LABELS]), TypeError, "`labels of x_train` must be int"),
        (lambda x: Empty(x), ValueError, "`x_train` must have at least one batch"),
    ],
)
def test_data_sets_without_labels_raise_when_fit_starts(model, make, error, message):
    probe = KNNProbe(make(X["image"]), embed=identity)
    with pytest.raises(error, match=message):
        model.fit(X, callbacks=[probe], verbose=0)


def test_labels_beside_a_data_set_raise():
    with pytest.raises(ValueError, match="`y_train` must be `None` if `x_train` is a data set"):
        KNNProbe(Batches(X["image"], LABELS), LABELS)


def test_prompts_have_one_place_for_the_class():
    templates = [template for templates in PROMPTS.values() for template in templates]
    assert len(templates) == len(set(templates)) == 12
    assert all(template.count("{}") == 1 for template in templates)
