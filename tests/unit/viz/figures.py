"""One figure of each kind, and readings of figures."""

import io

import numpy as np

from keras_contrastive import viz

# A dollar sign, scripts, emoji with a joiner and a selector, a flag, and a line break.
HOSTILE = ["$5 and $6", "семь 六 ثمانية", "👩‍💻 ❤️ 🦊", "🇩🇪 नौ", "two\nlines", "long " * 60]
IDS = np.arange(6)
ROWS = np.array([[0, 1, 2], [0, 1, 3], [2, 1, 0]])
SCORES = np.array([[0.9, 0.5, -0.25], [0.8, 0.7, 0.6], [1.0, 0.1, 0.0]])


def images(count=6, shape=(5, 4, 3), seed=0):
    return np.random.default_rng(seed).integers(256, size=(count, *shape)).astype("uint8")


def embeddings(count=40, dim=5):
    return np.random.default_rng(0).normal(size=(count, dim)) * np.arange(dim, 0, -1)


def history(epochs=15):
    steps = np.arange(epochs)
    return {
        "loss": 3 - steps / 10,
        "val_loss": 3 - steps / 20,
        "temperature": 0.07 - steps / 1000,
        "effective_rank": 5.0 + steps,
        "val_recall_at_1": np.where(steps % 5 == 0, steps / 20, np.nan),
        "$5 六 🦊": steps,
    }


FIGURES = {
    "images of images": lambda: viz.neighbors(images(3), images(), ROWS, SCORES, IDS[:3], IDS),
    "texts of images": lambda: viz.neighbors(images(3), HOSTILE, ROWS, SCORES, IDS[:3], IDS),
    "images of texts": lambda: viz.neighbors(HOSTILE[3:], images(), ROWS, SCORES),
    "texts of texts": lambda: viz.neighbors(HOSTILE[:3], HOSTILE, ROWS, title="🦊 " + HOSTILE[1]),
    "points": lambda: viz.embeddings(embeddings(), np.resize(HOSTILE, 40), title=HOSTILE[2]),
    "thumbnails": lambda: viz.embeddings(embeddings(), images=images(40)),
    "training": lambda: viz.training(history(), batch_size=64, title=HOSTILE[1]),
}


def texts_of(figure):
    """Returns the visible texts of a figure that are not empty."""
    import matplotlib.text

    found = figure.findobj(matplotlib.text.Text)
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def png_size(figure, **options):
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, **options)
    with Image.open(file) as image:
        return image.size
