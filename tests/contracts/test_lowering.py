"""Training steps are lowered for GPU and TPU on a machine that has neither."""

import numpy as np
import pytest
from keras import ops

import keras_contrastive as kc
from keras_contrastive import losses
from tests.contracts.loss_cases import LOSSES
from tests.contracts.regularizer_cases import NAMES, REGULARIZERS, built, random_views
from tests.helpers.backend import lower_for_accelerators, lower_train_step_for_accelerators
from tests.helpers.towers import Shift, pairs, towers

pytestmark = pytest.mark.every_case

# The tile shape on accelerators. On a CPU tiles are smaller.
ACCELERATOR_TILES = (4096, 4096)
ROWS, DIM = 40, 8
# With these tiles, 40 rows are computed in a loop and a remainder.
SMALL_TILES = (16, 16)
LARGE = (8192, 64)
STATEFUL = {
    "ArcFace": lambda: losses.ArcFace(kc.layers.ClassProxies(ROWS, DIM)),
    "GlobalContrastive": lambda: losses.GlobalContrastive(num_items=ROWS),
    "GammaContrastive, with state": lambda: losses.GammaContrastive(num_items=ROWS),
    "GammaContrastive, shared": losses.GammaContrastive,
}


def is_loop(program):
    return "stablehlo.while" in program


def has_all_logits(program, rows):
    """Whether the program holds a matrix of all pairs of rows, of one view or of both."""
    return any(f"tensor<{count}x{count}x" in program for count in (rows, 2 * rows))


def test_operation_without_an_implementation_on_accelerators_raises():
    def largest_eigenvalue(x):
        return ops.max(ops.real(ops.eig(ops.stop_gradient(x))[0]))

    with pytest.raises(NotImplementedError, match="tpu"):
        lower_for_accelerators(largest_eigenvalue, (3, 3))


@pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES.keys())
def test_step_of_each_loss_is_lowered_in_one_tile(case):
    loss = case.make(temperature=0.1)
    program = lower_for_accelerators(lambda a, b: loss(None, (a, b)), (ROWS, DIM), (ROWS, DIM))
    assert has_all_logits(program, ROWS)


@pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES.keys())
def test_step_of_each_loss_is_lowered_in_a_loop_over_tiles(case, tile_shape):
    tile_shape(SMALL_TILES)
    loss = case.make(temperature=0.1)
    program = lower_for_accelerators(lambda a, b: loss(None, (a, b)), (ROWS, DIM), (ROWS, DIM))
    assert is_loop(program)
    assert not has_all_logits(program, ROWS)


@pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL.keys())
def test_step_of_each_loss_with_state_is_lowered(make, tile_shape):
    tile_shape(SMALL_TILES)
    loss = make()
    loss.build()
    ids = np.arange(ROWS)
    program = lower_for_accelerators(
        lambda a, b: loss(ids, (a, b), training=True),
        (ROWS, DIM),
        (ROWS, DIM),
        variables=[variable for layer in loss.layers for variable in layer.variables],
    )
    assert is_loop(program)


@pytest.mark.parametrize("name", ["InfoNCE", "SupCon", "SigmoidContrastive", "GammaContrastive"])
def test_step_of_8192_rows_is_lowered_in_a_loop_over_tiles(name, tile_shape):
    tile_shape(ACCELERATOR_TILES)
    loss = LOSSES[name].make(temperature=0.1)
    program = lower_for_accelerators(lambda a, b: loss(None, (a, b)), LARGE, LARGE)
    assert is_loop(program)
    assert not has_all_logits(program, LARGE[0])


@pytest.mark.parametrize("case", REGULARIZERS.values(), ids=REGULARIZERS.keys())
def test_step_of_each_regularizer_is_lowered(case, tile_shape):
    tile_shape(SMALL_TILES)
    layer = built(case.make(), random_views(ROWS, DIM))

    def penalty(*views):
        return layer.penalty(dict(zip(NAMES, views, strict=True)), training=True)

    program = lower_for_accelerators(penalty, *[(ROWS, DIM)] * len(NAMES))
    assert not has_all_logits(program, ROWS)


@pytest.mark.parametrize("name", ["queue", "regularizers", "micro-batches"])
def test_step_of_the_trainer_is_lowered(name):
    arguments = {
        "queue": {},
        "regularizers": {
            "augmenters": {"text": Shift()},
            "regularizers": [case.make() for case in REGULARIZERS.values()],
        },
        "micro-batches": {"micro_batch_size": 8},
    }[name]
    memory = kc.layers.EmbeddingQueue(20, dim=4) if name == "queue" else None
    loss = losses.InfoNCE(kc.layers.LearnableTemperature(), memory=memory)
    model = kc.ContrastiveTrainer(towers(), **arguments)
    model.compile("adam", loss, metrics=[kc.metrics.RecallAtK(k=1)])
    x = pairs(rows=16)
    model(x)
    program = lower_train_step_for_accelerators(
        model, ({name: ops.convert_to_tensor(rows) for name, rows in x.items()},)
    )
    assert "stablehlo" in program
