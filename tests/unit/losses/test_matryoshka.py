"""Matryoshka: the weighted mean of a loss over truncated embeddings, in models and trainers."""

import keras
import numpy as np
import pytest

from keras_contrastive import ContrastiveTrainer, losses
from keras_contrastive.evaluation import retrieval
from keras_contrastive.layers import EmbeddingQueue, LearnableTemperature
from tests.contracts.loss_cases import EVERY
from tests.helpers import normal
from tests.helpers.backend import COMPILE_LEAST, to_numpy
from tests.helpers.towers import pairs, towers

IDS = np.array([7, 3, 7, 0, 3])
DIMS, WEIGHTS = (3, 1, 2), (1.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("name", "normalize"), [("InfoNCE", True), ("SupCon", True), ("GammaContrastive", False)]
)
def test_all_call_arguments_reach_the_loss(name, normalize):
    z, hard = dict(zip("ab", normal(2, 5, 3), strict=True)), normal(5, 2, 3, seed=9)
    loss = EVERY[name].make(temperature=0.5, normalize=normalize, reduction="sum")
    arguments = {
        "sample_weight": np.array([0, 1, 2, 0.5, 1], "float32"),
        "directions": {("b", "a"): 0.25, ("a", "b"): 0.75},
        "present": {"b": np.array([True, True, True, False, True])},
    }
    hard_ids = np.stack([IDS, IDS[::-1]], axis=1)
    expected = 0.0
    for dim, weight in zip(DIMS, WEIGHTS, strict=True):
        views = {view: rows[:, :dim] for view, rows in z.items()}
        shorter = {"b": (hard[..., :dim], hard_ids)}
        expected += weight / 8 * float(loss(IDS, views, **arguments, hard_negatives=shorter))
    matryoshka = losses.Matryoshka(loss, DIMS, WEIGHTS)
    found = matryoshka(IDS, z, **arguments, hard_negatives={"b": (hard, hard_ids)})
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("dims", "error"),
    [
        (8, TypeError),
        ((2.5, 3), TypeError),
        ((True,), TypeError),
        ((), ValueError),
        ((0, 2), ValueError),
        ((-1, 2), ValueError),
        ((3, 2, 3), ValueError),
    ],
)
def test_dims_are_distinct_positive_integers(dims, error):
    with pytest.raises(error, match=r"`dims` must be a sequence of distinct.*Received: dims="):
        losses.Matryoshka(losses.InfoNCE(), dims)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (2.0, TypeError, "`weights` must be `None` or a sequence of 2 positive"),
        ((1.0,), ValueError, "`weights` must have one number for each of the 2 `dims`"),
        ((1.0, "a"), TypeError, r"`weights\[1\]` must be a positive"),
        ((1.0, 0.0), ValueError, r"`weights\[1\]` must be a positive"),
    ],
)
def test_each_weight_is_a_positive_number(weights, error, message):
    with pytest.raises(error, match=message):
        losses.Matryoshka(losses.InfoNCE(), (2, 3), weights)


def test_embeddings_that_are_too_small_raise():
    z = {"image": normal(5, 3), "text": normal(5, 3)}
    loss = losses.Matryoshka(losses.InfoNCE(), (2, 4))
    with pytest.raises(ValueError, match=r"`dims` must be at most 3.*dims=\(2, 4\), image \(5, 3"):
        loss(None, z)
    # Truncation does not hide that hard negatives have another size than the rows.
    loss = losses.Matryoshka(losses.InfoNCE(), (1, 2))
    with pytest.raises(ValueError, match="with the size of the embeddings"):
        loss(None, z, hard_negatives={"text": normal(4, 2)})


class Counting(losses.InfoNCE):
    """A loss of a user, with state for each item."""

    def build(self, directions=None, num_views=None):
        super().build(directions, num_views)
        self.visits = keras.layers.Layer(name="visits")
        self.visits.add_weight(shape=(9,), trainable=False)
        self.visits.built = True

    @property
    def layers(self):
        return [*super().layers, self.visits]


def test_losses_with_state_are_refused():
    for loss in (
        losses.InfoNCE(memory=EmbeddingQueue(8, 3)),
        losses.GammaContrastive(num_items=9),
        losses.GlobalContrastive(9),
    ):
        with pytest.raises(ValueError, match=r"`loss` must have no state.*(memory|num_items)="):
            losses.Matryoshka(loss, (2, 3))
    with pytest.raises(ValueError, match=r"`loss` must have no state.*Counting.*non-trainable"):
        losses.Matryoshka(Counting(), (2, 3)).build()
    with pytest.raises(TypeError, match="`loss` must be a contrastive loss"):
        losses.Matryoshka(keras.losses.MeanSquaredError(), (2, 3))
    with pytest.raises(ValueError, match=r"plain `keras\.Model` neither trains"):
        losses.Matryoshka(losses.InfoNCE(LearnableTemperature()), (2, 3))(None, normal(2, 5, 3))


def matryoshka(learnable=True, dims=(1, 4)):
    temperature = LearnableTemperature(0.5) if learnable else 0.5
    return losses.Matryoshka(losses.InfoNCE(temperature), dims, (1.0, 3.0))


def full_trainer(loss, **kwargs):
    model = ContrastiveTrainer(
        towers(),
        hard_negatives={"wrong": "text"},
        hard_negative_ids={"wrong_id": "wrong"},
        present={"has_text": "text"},
        **kwargs,
    )
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.5), loss, **COMPILE_LEAST)
    return model


def full_data():
    x, rows = pairs(), np.arange(24)
    extra = {"wrong": x["text"][::-1].copy(), "wrong_id": 23 - rows, "has_text": rows % 5 > 0}
    return {**x, **extra}, rows // 2, np.linspace(0.5, 2, 24).astype("float32")


@pytest.mark.slow_to_compile
def test_trainer_trains_logs_and_saves_it(tmp_path):
    x, ids, weights = full_data()
    model = full_trainer(matryoshka(), micro_batch_size=5)
    before = [to_numpy(weight).copy() for weight in model.trainable_variables]
    arguments = {"sample_weight": weights, "batch_size": 24, "verbose": 0}
    history = model.fit(x, ids, shuffle=False, **arguments).history
    views = {name: towers()[name](x[name]) for name in ("image", "text")}
    expected = matryoshka(learnable=False)(
        ids,
        views,
        weights,
        present={"text": x["has_text"]},
        # A row without a text has no wrong text either. No anchor has the id 99.
        hard_negatives={
            "text": (
                to_numpy(towers()["text"](x["wrong"]))[x["has_text"]],
                x["wrong_id"][x["has_text"]],
            )
        },
    )
    assert history["loss"] == pytest.approx([float(expected)], rel=1e-5)
    assert len(before) == 9  # eight of the towers, and the temperature
    assert 1e-4 < abs(history["temperature"][0] - 0.5) < 0.02
    assert len(model.optimizer._exclude_from_weight_decay) == 1
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    assert repr(loaded.loss) == repr(model.loss)
    assert repr(loaded.loss).startswith("Matryoshka(InfoNCE(temperature=LearnableTemperature(0.")
    assert loaded.evaluate(x, ids, verbose=0) == pytest.approx(model.evaluate(x, ids, verbose=0))


def test_sizes_beyond_the_embeddings_raise_and_leave_the_trainer_as_it_was():
    x = pairs()
    model = ContrastiveTrainer(towers())
    model.compile("sgd", matryoshka(dims=(2, 5)), **COMPILE_LEAST)
    with pytest.raises(ValueError, match=r"`dims` must be at most 4.*image \((24|None), 4\)"):
        model.fit(x, batch_size=24, verbose=0)
    model.compile("sgd", matryoshka(), **COMPILE_LEAST)
    history = model.fit(x, batch_size=24, verbose=0).history
    views = {name: towers()[name](x[name]) for name in x}
    expected = float(matryoshka(learnable=False)(None, views))
    assert history["loss"] == pytest.approx([expected], rel=1e-5)
    assert 1e-4 < abs(history["temperature"][0] - 0.5) < 0.02


@pytest.mark.traced
@pytest.mark.slow_to_compile
def test_truncated_embeddings_find_more_than_those_of_a_plain_model():
    generator = np.random.default_rng(0)
    cause = generator.normal(size=(1200, 24))
    x = {
        name: (cause @ generator.normal(size=(24, 48)) / 5 + generator.normal(size=(1200, 48)))
        for name in ("image", "text")
    }
    x = {name: rows.astype("float32") for name, rows in x.items()}
    train = {name: rows[:800] for name, rows in x.items()}
    test = {name: rows[800:] for name, rows in x.items()}
    hits = []
    for wrap in (lambda loss: loss, lambda loss: losses.Matryoshka(loss, (16, 128))):
        keras.utils.set_random_seed(1)
        model = ContrastiveTrainer({name: keras.layers.Dense(128) for name in x})
        model.compile(keras.optimizers.Adam(0.003), wrap(losses.InfoNCE(0.1)))
        model.fit(train, batch_size=100, epochs=15, verbose=0)
        embeddings = [
            model.embedder(name, truncate=16).predict(test[name], verbose=0) for name in x
        ]
        assert embeddings[0].shape == (400, 16)
        hits.append(retrieval(*embeddings, k=(10,))["hit_rate_at_10"])
    print(hits)
    assert hits[1] > hits[0] + 0.05


def test_a_frozen_temperature_is_no_state():
    temperature = LearnableTemperature(0.1, per_direction=True, trainable=False)
    loss = losses.Matryoshka(losses.InfoNCE(temperature), (2, 4))
    loss.build()
    z = tuple(normal(2, 5, 4))
    expected = losses.Matryoshka(losses.InfoNCE(0.1), (2, 4))(None, z)
    assert float(loss(None, z, training=False)) == pytest.approx(float(expected), rel=1e-5)
