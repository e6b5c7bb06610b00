"""Writes the files of `test_fusion.py` and `test_answer_generators.py`.

Command: `KERAS_BACKEND=jax python -m tests.saving.make_fusion_fixtures`. Run it on each backend
with the oldest supported Keras, since an older Keras cannot load files of a newer one. Each run
saves the models of its backend and replaces the curves.
"""

import json

import keras
import numpy as np

import keras_contrastive as kc
from keras_contrastive.layers import (
    BrownianBridge,
    EmbeddingQueue,
    GeometricConsistency,
    LearnableTemperature,
)
from keras_contrastive.losses import InfoNCE
from tests.helpers.backend import to_numpy
from tests.helpers.fusion_tasks import generator, questions
from tests.helpers.fusion_trainers import data, fusion_trainer
from tests.saving.releases import folder_of

FOLDER = folder_of(kc.__version__, "fusion")
BATCH = 8


def whole(dropout=0.0, run_eagerly=False, **kwargs):
    """Returns a model with everything that draws or has state."""
    loss = InfoNCE(LearnableTemperature(0.2), memory=EmbeddingQueue(20, 4))
    structures = [
        BrownianBridge(t=(0.2, 0.8), weight=0.1, seed=3, name="bridge"),
        GeometricConsistency(weight=0.1, name="consistency"),
    ]
    compiled = {"run_eagerly": run_eagerly}
    return fusion_trainer(
        loss=loss, dropout=dropout, regularizers=structures, compiled_with=compiled, **kwargs
    )


def curve(steps=10):
    """Returns all reported values of each step."""
    model, x, generator = (
        whole(optimizer=keras.optimizers.SGD(0.02)),
        data(),
        np.random.default_rng(5),
    )
    found: dict = {}
    for _ in range(steps):
        ids = generator.permutation(len(x["text"]))[:BATCH].astype("int32")
        model.reset_metrics()
        logs = model.train_on_batch(
            {name: rows[ids] for name, rows in x.items()}, ids, return_dict=True
        )
        for name, value in logs.items():
            found.setdefault(name, []).append(float(value))
    return found


def trained():
    """Returns the model after an epoch."""
    model = whole(optimizer=keras.optimizers.SGD(0.05))
    model.fit(data(), np.arange(24), batch_size=BATCH, shuffle=False, verbose=0)
    return model


def facts(model):
    """Returns values that must be equal after loading."""
    slow = [
        float(np.sum(to_numpy(average).astype("float64") ** 2))
        for average in model.teacher.averages
    ]
    return {
        "predictions": {
            name: rows[:4].tolist() for name, rows in model.predict(data(), verbose=0).items()
        },
        "slow": slow,
        "queue": to_numpy(model.loss.memory.embeddings).tolist(),
        "queue_ids": to_numpy(model.loss.memory.ids).tolist(),
        "steps": [
            int(to_numpy(step))
            for step in (
                model.teacher.step,
                model.matching.step,
                model.masked_language.corruption.step,
                model.regularizers[0].step,
            )
        ],
    }


def answerer():
    """Returns a generator that has learned its answers."""
    x, _, answers = questions(128)
    model = generator()
    model.compile(keras.optimizers.Adam(0.005))
    model.fit({**x, "answer": answers}, batch_size=32, epochs=25, shuffle=False, verbose=0)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    return model


def answerer_facts(model):
    """Returns values that must be equal after loading."""
    x, _, answers = questions(12, seed=1)
    loss = model.evaluate({**x, "answer": answers}, verbose=0, return_dict=True)["loss"]
    return {"written": model.predict(x, verbose=0).tolist(), "loss": float(loss)}


def main():
    """Writes the fixtures of the active backend."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    backend = keras.backend.backend()
    model = trained()
    model.save(FOLDER / f"from_{backend}.keras")
    (FOLDER / f"from_{backend}.json").write_text(json.dumps(facts(model)) + "\n")
    model = answerer()
    model.save(FOLDER / f"answers_from_{backend}.keras")
    (FOLDER / f"answers_from_{backend}.json").write_text(json.dumps(answerer_facts(model)) + "\n")
    (FOLDER / "curve.json").write_text(json.dumps(curve(), indent=1) + "\n")


if __name__ == "__main__":
    main()
