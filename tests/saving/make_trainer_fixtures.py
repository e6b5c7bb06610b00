"""Writes the files of `test_other_backends.py`.

Command: `KERAS_BACKEND=jax python -m tests.saving.make_trainer_fixtures`. Run it on each backend
with the oldest supported Keras, since an older Keras cannot load files of a newer one. Each run
saves the models of its backend and replaces the curves.
"""

import json

import keras
import numpy as np
from keras import ops

import keras_contrastive as kc
from keras_contrastive import ContrastiveTrainer
from keras_contrastive.layers import EmbeddingQueue, LearnableTemperature
from keras_contrastive.losses import GammaContrastive, GlobalContrastive, InfoNCE
from keras_contrastive.metrics import RecallAtK
from tests.helpers.towers import Directions, Shift, pairs, towers
from tests.saving.releases import folder_of

FOLDER = folder_of(kc.__version__, "trainer")
ROWS = 24


def losses():
    """Returns losses by name. Their curves must not depend on the backend."""
    return {
        "gamma_draws": GammaContrastive(num_items=ROWS, draws=2, seed=1, temperature=0.5),
        "gamma_mean": GammaContrastive(num_items=ROWS, temperature=0.5),
        "gamma_shared": GammaContrastive(draws=2, seed=1, temperature=0.5),
        "global": GlobalContrastive(
            num_items=ROWS, temperature=LearnableTemperature(0.5), momentum_steps=10
        ),
        "info_nce": InfoNCE(temperature=LearnableTemperature(0.5, per_direction=True)),
        "queue": InfoNCE(temperature=0.5, memory=EmbeddingQueue(12, dim=4)),
    }


def curve(loss, steps=20):
    """Returns the loss of each step, and the sum of squares of the final trained weights."""
    model = ContrastiveTrainer(towers(), augmenters={"text": Shift(0.5)})
    model.compile(keras.optimizers.SGD(0.05), loss)
    x, generator, values = pairs(ROWS), np.random.default_rng(5), []
    for _ in range(steps):
        ids = generator.permutation(ROWS)[:8].astype("int32")
        values.append(
            float(model.train_on_batch({name: rows[ids] for name, rows in x.items()}, ids))
        )
        model.reset_metrics()
    size = sum(
        float(np.sum(ops.convert_to_numpy(weight) ** 2)) for weight in model.trainable_weights
    )
    return {"losses": values, "size": size}


def trained(policy="float32"):
    """Returns a trained model with everything that can be saved."""
    keras.config.set_dtype_policy(policy)
    regularizers = [Directions(name="directions")]
    model = ContrastiveTrainer(towers(), augmenters={"text": Shift(0.5)}, regularizers=regularizers)
    temperature = LearnableTemperature(0.5)
    queue = EmbeddingQueue(10, dim=4)
    loss = GammaContrastive(num_items=ROWS, draws=2, seed=1, temperature=temperature, memory=queue)
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=[RecallAtK(1)])
    model.fit(pairs(ROWS), batch_size=8, shuffle=False, verbose=0)
    keras.config.set_dtype_policy("float32")
    return model


def facts(model):
    """Returns values that must be equal after loading."""
    return {
        "predictions": {
            name: rows[:4].tolist() for name, rows in model.predict(pairs(ROWS), verbose=0).items()
        },
        "log_rates": ops.convert_to_numpy(model.loss.state.log_rates).tolist()[:-1],
        "queue": ops.convert_to_numpy(model.loss.memory.embeddings).tolist(),
        "queue_ids": ops.convert_to_numpy(model.loss.memory.ids).tolist(),
        "scale": float(ops.convert_to_numpy(model.loss.temperature.scale)),
        "iterations": int(ops.convert_to_numpy(model.optimizer.iterations)),
    }


def main():
    """Writes the fixtures of the active backend."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    backend = keras.backend.backend()
    model = trained()
    model.save(FOLDER / f"from_{backend}.keras")
    (FOLDER / f"from_{backend}.json").write_text(json.dumps(facts(model)) + "\n")
    trained("mixed_float16").save(FOLDER / f"mixed_from_{backend}.keras")
    curves = {name: curve(loss) for name, loss in losses().items()}
    (FOLDER / "curves.json").write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
