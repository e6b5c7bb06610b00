"""Writes what `test_saving.py` reads: `KERAS_BACKEND=jax python -m tests.fusion.make_fixtures`.

Run it once on each backend; every run saves this backend's model, and its curve replaces that of the run before. Use
the oldest Keras that is supported: an older Keras refuses the files of a newer one.
"""

import json
import pathlib

import keras
import numpy as np

from keras_contrastive.layers import BrownianBridge, EmbeddingQueue, GeometricConsistency, LearnableTemperature
from keras_contrastive.losses import InfoNCE
from tests.backend import to_numpy
from tests.fusion.trainers import data, fusion_trainer

FOLDER = pathlib.Path(__file__).parent / "fixtures"
BATCH = 8


def whole(dropout=0.0, run_eagerly=False, **kwargs):
    """A model with all that draws or remembers: slow weights, a queue, negatives, masks, a temperature, bridges."""
    loss = InfoNCE(LearnableTemperature(0.2), memory=EmbeddingQueue(20, 4))
    structures = [
        BrownianBridge(t=(0.2, 0.8), weight=0.1, seed=3, name="bridge"),
        GeometricConsistency(weight=0.1, name="consistency"),
    ]
    compiled = {"run_eagerly": run_eagerly}
    return fusion_trainer(loss=loss, dropout=dropout, regularizers=structures, compiled_with=compiled, **kwargs)


def curve(steps=10):
    """All that is reported of each step."""
    model, x, generator = whole(optimizer=keras.optimizers.SGD(0.02)), data(), np.random.default_rng(5)
    found: dict = {}
    for _ in range(steps):
        ids = generator.permutation(len(x["text"]))[:BATCH].astype("int32")
        model.reset_metrics()
        logs = model.train_on_batch({name: rows[ids] for name, rows in x.items()}, ids, return_dict=True)
        for name, value in logs.items():
            found.setdefault(name, []).append(float(value))
    return found


def trained():
    """The model after an epoch."""
    model = whole(optimizer=keras.optimizers.SGD(0.05))
    model.fit(data(), np.arange(24), batch_size=BATCH, shuffle=False, verbose=0)
    return model


def facts(model):
    """What must be the same after loading."""
    slow = [float(np.sum(to_numpy(average).astype("float64") ** 2)) for average in model._momentum_weights.averages]
    return {
        "predictions": {name: rows[:4].tolist() for name, rows in model.predict(data(), verbose=0).items()},
        "slow": slow,
        "queue": to_numpy(model.loss.memory.embeddings).tolist(),
        "queue_ids": to_numpy(model.loss.memory.ids).tolist(),
        "steps": [
            int(to_numpy(step))
            for step in (
                model._momentum_weights.step,
                model.matching.step,
                model.masked_language.corruption.step,
                model.regularizers[0].step,
            )
        ],
    }


def main():
    """Write the fixtures of the active backend."""
    FOLDER.mkdir(exist_ok=True)
    backend = keras.backend.backend()
    model = trained()
    model.save(FOLDER / f"from_{backend}.keras")
    (FOLDER / f"from_{backend}.json").write_text(json.dumps(facts(model)) + "\n")
    (FOLDER / "curve.json").write_text(json.dumps(curve(), indent=1) + "\n")


if __name__ == "__main__":
    main()
