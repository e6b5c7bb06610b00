"""The share of answers whose words are all predicted."""

import numpy as np
import pytest

from keras_contrastive.metrics import AnswerAccuracy

LOGITS = np.log(np.eye(5)[[[3, 2, 4], [3, 2, 4], [3, 4, 2]]] + 0.01)


@pytest.mark.parametrize(
    ("third_answer", "sample_weight", "expected"),
    [
        ([3, 4, 2], None, 2 / 3),
        ([3, 4, 2], [1.0, 3.0, 0.0], 1 / 4),
        ([0, 0, 0], None, 1 / 2),  # a row without an answer does not count
    ],
)
def test_answer_is_right_if_all_words_are(third_answer, sample_weight, expected):
    metric = AnswerAccuracy()
    ids = np.array([[3, 2, 0], [4, 2, 0], third_answer])
    metric.update_state(ids, LOGITS, None if sample_weight is None else np.array(sample_weight))
    assert float(metric.result()) == pytest.approx(expected)
