"""Soft targets equal a NumPy reference of ALBEF, Eq. 6, with queue, ids and missing rows."""

import numpy as np
import pytest
from keras import ops

from keras_contrastive._engine import Batch, expected_candidates
from keras_contrastive.config import tile_shape
from keras_contrastive.layers import EmbeddingQueue, LearnableTemperature
from keras_contrastive.losses import InfoNCE
from keras_contrastive.trainers._soft_targets import soft_target_difference
from tests.helpers.backend import to_numpy, value_and_gradients
from tests.reference.fusion import soft_contrast

BATCH, DIM, ALPHA, TEMPERATURE = 6, 4, 0.4, 0.3
NAMES = ("image", "text", "image_augmented", "text_augmented")
TEACHER_VIEWS = {"image": "image_augmented", "text": "text_augmented"}
DIRECTIONS = {("image", "text_augmented"): 0.5, ("text", "image_augmented"): 0.5}
IDS = np.array([3, 1, 4, 1, 5, 9], "int32")


def units(rng, *shape):
    x = rng.normal(size=(*shape, DIM))
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype("float32")


def queue_of(rng, size=5, filled=3):
    queue = EmbeddingQueue(size, DIM)
    queue.build(4)
    ids = np.array([1, 7, 3], "int32")
    queue.push(
        [ops.convert_to_tensor(view) for view in units(rng, 4, filled)], ops.convert_to_tensor(ids)
    )
    return queue, to_numpy(queue.embeddings)[:filled], ids


def batch_of(views, ids=None, present=None):
    views = {name: ops.convert_to_tensor(view) for name, view in zip(NAMES, views, strict=True)}
    return Batch.from_targets(ids, views, present=present)


def total(views, loss, ids, alpha=ALPHA):
    batch = batch_of(views, ids)
    difference = soft_target_difference(loss, batch, DIRECTIONS, TEACHER_VIEWS)
    value = loss.of_batch(batch, directions=DIRECTIONS, training=False)
    return value + alpha * loss.reduce(difference, batch)


def reference(views, ids=None, queue=(), queue_ids=(), alpha=ALPHA):
    ids = np.arange(BATCH) if ids is None else ids
    queue = np.zeros((0, 4, DIM)) if not len(queue) else queue
    queue_ids = np.array(queue_ids, int)
    image, text, slow_image, slow_text = views
    common = ids, queue_ids, alpha, TEMPERATURE
    to_text = soft_contrast(image, slow_image, slow_text, common[0], queue[:, 3], *common[1:])
    to_image = soft_contrast(text, slow_text, slow_image, common[0], queue[:, 2], *common[1:])
    return (to_text + to_image) / 2


@pytest.mark.slow_to_compile
@pytest.mark.parametrize(
    ("tiles", "with_ids", "with_queue"),
    [(None, False, True), ((4, 4), True, True), ((4, 4), False, False), (None, True, False)],
)
def test_value_equals_the_reference(rng, tiles, with_ids, with_queue):
    views, ids = units(rng, 4, BATCH), ops.convert_to_tensor(IDS) if with_ids else None
    queue, remembered, queue_ids = queue_of(rng)
    loss = InfoNCE(TEMPERATURE, memory=queue if with_queue else None)
    # Without ids, queued embeddings are negatives of all anchors.
    others = (remembered, queue_ids if with_ids else [-1] * 3) if with_queue else ()
    with tile_shape(tiles):
        found = float(total(views, loss, ids))
    assert found == pytest.approx(reference(views, IDS if with_ids else None, *others), rel=1e-5)
    assert found != pytest.approx(
        float(loss.of_batch(batch_of(views, ids), directions=DIRECTIONS, training=False)), rel=1e-2
    )


def test_gradient_equals_the_reference_and_is_zero_for_the_teacher(rng):
    views = units(rng, 4, BATCH).astype("float64").astype("float32")
    loss = InfoNCE(TEMPERATURE, normalize=False)

    def function(*views):
        return total([*views[:2], *(ops.stop_gradient(view) for view in views[2:])], loss, None)

    _, found = value_and_gradients(function, *views)
    for place in (0, 1):
        for row, column in ((0, 0), (2, 3), (5, 1)):
            step = np.zeros_like(views, dtype="float64")
            step[place, row, column] = 1e-5
            slope = (reference(views + step) - reference(views - step)) / 2e-5
            assert found[place][row, column] == pytest.approx(slope, abs=1e-5)
    assert np.abs(found[2:]).max() == 0


def test_gradient_of_the_temperature_equals_the_reference(rng):
    views = units(rng, 4, BATCH)
    loss = InfoNCE(LearnableTemperature(TEMPERATURE))
    loss.build()

    def function(log_scale):
        loss.scale = lambda: ops.exp(log_scale)
        return total(views, loss, None)

    log_scale = np.float32(-np.log(TEMPERATURE))
    value, (slope,) = value_and_gradients(function, log_scale)
    assert float(value) == pytest.approx(reference(views), rel=1e-5)

    def at(log_scale):
        image, text, slow_image, slow_text = (view.astype("float64") for view in views)
        # The targets are constant. Only the logits depend on the temperature.
        ratio = TEMPERATURE * np.exp(log_scale)
        return reference((image * ratio, text * ratio, slow_image, slow_text))

    assert float(slope) == pytest.approx(
        (at(log_scale + 1e-4) - at(log_scale - 1e-4)) / 2e-4, rel=1e-3
    )


def test_no_gradient_reaches_expected_candidates(rng):
    def function(anchors, candidates):
        ids = ops.arange(BATCH, dtype="int32")
        expected = expected_candidates(anchors, candidates, ids, ids, ids, ids)
        # The weights depend on the inputs. Without `stop_gradient`, the gradient is not zero.
        return ops.sum(expected * ops.arange(1, DIM + 1, dtype="float32")) + 0.0 * ops.sum(anchors)

    value, gradients = value_and_gradients(function, *units(rng, 2, BATCH))
    assert abs(float(value)) > 0.1
    assert max(np.abs(gradient).max() for gradient in gradients) == 0


def test_missing_rows_have_no_influence(rng):
    views = units(rng, 4, BATCH)
    has_text = np.arange(BATCH) != 2
    present = dict.fromkeys(("text", "text_augmented"), ops.convert_to_tensor(has_text))
    batch = batch_of(views, None, present)
    directions = {("image", "text_augmented"): 1.0}
    difference = soft_target_difference(InfoNCE(TEMPERATURE), batch, directions, TEACHER_VIEWS)
    difference = to_numpy(difference)
    assert difference[2] == 0
    views = [view[has_text] for view in views]
    hard, soft = one_direction(views, 0.0), one_direction(views, 1.0)
    assert difference[has_text].mean() == pytest.approx(soft - hard, rel=1e-4)


def one_direction(views, alpha):
    image, _, slow_image, slow_text = views
    no_queue = np.zeros((0, DIM)), np.zeros(0, int)
    return soft_contrast(
        image, slow_image, slow_text, np.arange(len(image)), *no_queue, alpha, TEMPERATURE
    )
