"""A user's loss, regularizer and model. `mypy` checks them, `test_user_code.py` runs them."""

from typing import Any

import keras
import numpy as np
from keras import ops

import keras_contrastive as kc
from keras_contrastive import extend


class MarginContrastive(extend.ContrastiveLoss):
    """Computes InfoNCE after subtracting a margin from the logit of the positive."""

    def __init__(self, temperature: float = 0.1, margin: float = 0.1, **kwargs: Any) -> None:
        super().__init__(temperature, **kwargs)
        self.margin = margin

    def per_direction(self, contrast: extend.Contrast, training: bool | None) -> Any:
        threshold = contrast.log_sum_negatives + self.margin
        return contrast.zero_where_invalid(contrast.mean_softplus(threshold))


class Distance(extend.ViewRegularizer):
    """Penalizes the squared distance of the modalities."""

    def __init__(self, weight: float = 1.0, **kwargs: Any) -> None:
        super().__init__({"distance": 1.0}, weight, **kwargs)

    def terms(self, modalities: Any, ids: Any = None, training: bool | None = None) -> Any:
        first, second = modalities
        return {"distance": ops.mean(ops.square(first.plain - second.plain))}


def tower(name: str) -> keras.Model:
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)], name=name)


def train(loss: extend.ContrastiveLoss) -> dict[str, float]:
    """Trains two towers and returns their recall on the training pairs."""
    generator = np.random.default_rng(0)
    cause = generator.normal(size=(16, 6)).astype("float32")
    pairs = {"image": cause, "text": cause[:, ::-1].copy()}
    model = kc.ContrastiveTrainer(
        {"image": tower("image_tower"), "text": tower("text_tower")},
        regularizers=[Distance(weight=0.01)],
    )
    recall = kc.metrics.RecallAtK(1)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss, metrics=[recall])
    evaluation = kc.evaluation.RetrievalEvaluation(pairs, k=(1, 2))
    model.fit(pairs, batch_size=8, epochs=1, verbose=0, callbacks=[evaluation])
    scores: dict[str, float] = model.evaluate(pairs, batch_size=8, verbose=0, return_dict=True)
    return scores


def main() -> list[dict[str, float]]:
    with kc.config.tile_shape((4, 4)):
        return [
            train(kc.losses.InfoNCE(temperature=kc.layers.LearnableTemperature(0.1))),
            train(kc.GammaContrastive(num_items=16, momentum="visits", reduction="sum")),
            train(MarginContrastive(margin=0.2)),
        ]
