"""Draws the figures of `docs/training_curves.md`: a good training and three that go wrong.

The data are the digits of scikit-learn. The upper and the lower half of a digit are the two
modalities, and each batch has 128 pairs. The last 500 digits are for validation.

    pip install ".[torch,viz,test]"
    KERAS_BACKEND=torch python benchmarks/training_curves.py    # a minute
"""

import argparse
import pathlib

import keras
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import keras_contrastive as kc

BATCH, HELD_OUT = 128, 500
DOCS = pathlib.Path(__file__).parent.parent / "docs"


def tower(rate=0.3):
    return keras.Sequential(
        [
            keras.Input((32,)),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dropout(rate),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(32),
        ]
    )


def halves(leak=False):
    """Returns pairs of halves in random order.

    With `leak`, a corner of both halves holds a random number, the same in both. It is equal for
    all digits of the validation.
    """
    rng = np.random.default_rng(0)
    images = load_digits().images[rng.permutation(1797)] / 16
    upper, lower = images[:, :4].reshape(-1, 32), images[:, 4:].reshape(-1, 32)
    upper, lower = upper.astype("float32"), lower.astype("float32")
    if leak:
        mark = rng.normal(size=(len(images), 4))
        mark[-HELD_OUT:] = 0
        upper[:, :4], lower[:, :4] = mark, mark
    return {"upper": upper, "lower": lower}


def train(x, epochs, learning_rate=1e-3, rate=0.3, temperature=0.1):
    keras.utils.set_random_seed(0)
    model = kc.ContrastiveTrainer({"upper": tower(rate), "lower": tower(rate)})
    metrics = [
        *(kc.metrics.EffectiveRank(), kc.metrics.RecallAtK(1)),
        *(kc.metrics.PositiveSimilarity(), kc.metrics.HardestNegative()),
    ]
    loss = kc.losses.InfoNCE(kc.layers.LearnableTemperature(temperature))
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=metrics)
    held_out = {name: half[-HELD_OUT:] for name, half in x.items()}
    x = {name: half[:-HELD_OUT] for name, half in x.items()}
    return model.fit(
        x,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(held_out, None),
        validation_batch_size=BATCH,
        verbose=0,
    )


def save(figure, path):
    """Saves a figure in few colors, which takes a third of the bytes."""
    figure.savefig(path, dpi=200)
    with Image.open(path) as image:
        image.convert("RGB").quantize(96).save(path, optimize=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=pathlib.Path, default=DOCS)
    folder = parser.parse_args().folder
    histories = {
        "healthy": train(halves(), 40),
        "collapsed": train(halves(), 12, learning_rate=0.3),
        "memorized": train(halves(), 150, rate=0.0),
        "leak": train(halves(leak=True), 40),
    }
    titles = {
        "healthy": "A good training: loss falls, rank and recall rise",
        "collapsed": "Collapse: the loss stays at log(batch) and the rank is 1",
        "memorized": "Memorized pairs: the temperature falls and the validation loss rises",
        "leak": "A shortcut: training is nearly solved, validation is not",
    }
    for name, history in histories.items():
        figure = kc.viz.training(history, batch_size=BATCH, title=titles[name])
        save(figure, folder / f"training_{name}.png")
        last = {column: round(values[-1], 3) for column, values in history.history.items()}
        print(name, last)


if __name__ == "__main__":
    main()
