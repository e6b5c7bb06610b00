"""Trains an image tower and a text tower on emoji from scratch, and searches with them.

Each emoji has two drawings by two artists and a name in 14 languages: three views of one item. One
image encoder embeds both drawings, one text encoder embeds the names of all languages, and a
contrastive loss pulls the views of an emoji together. The test searches emoji of unseen families:
the name of a drawing among all held-out names, the drawing of a name, and the drawing by the other
artist.

    python examples/emoji_retrieval.py --backend jax
    python examples/emoji_retrieval.py --loss infonce gamma --batch-size 32 256 --seeds 3

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import math
import os
import pathlib
import time
import zlib

LOSSES = ("gamma", "infonce")
TEXT_LENGTH = 96  # maximum number of pieces of a name
BUCKETS = 16384  # rows of the embedding table of the pieces
DIM = 128
TEMPERATURE = 0.07


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train image and text towers on emoji from scratch, and search held-out emoji.",
        epilog="With several losses, batch sizes or seeds, the table shows means with standard "
        "errors. The images show the first run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--loss", choices=LOSSES, nargs="+", default=["gamma"], help="one or more losses"
    )
    parser.add_argument(
        "--batch-size", type=int, nargs="+", default=[128], help="one or more batch sizes"
    )
    parser.add_argument(
        "--epochs", type=int, default=60, help="passes over the emoji of the training families"
    )
    parser.add_argument(
        "--seeds", type=int, default=1, help="number of runs of each kind, starting at seed 0"
    )
    parser.add_argument(
        "--languages",
        default="en,de,es,fr",
        help="'all', or codes such as en,de,ja; the first one is searched",
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the two images"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one seed and one epoch, to check that the script runs"
    )
    parsed = parser.parse_args()
    if parsed.quick:
        parsed.seeds = parsed.epochs = 1
    return parsed


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers, ops  # noqa: E402

import keras_contrastive as kc  # noqa: E402

# Data


def pieces(name):
    """Returns bucket numbers of the words and of all runs of 1 to 4 characters, in any script."""
    marked = f"^{name.lower()}$"
    strings = ["word " + word for word in marked[1:-1].split()]
    strings += [marked[i : i + n] for n in (1, 2, 3, 4) for i in range(len(marked) - n + 1)]
    return [1 + zlib.crc32(piece.encode()) % (BUCKETS - 1) for piece in strings]


def encode_names(names):
    """Returns the padded bucket numbers of the pieces of each name, `(names, TEXT_LENGTH)`."""
    encoded = np.zeros((len(names), TEXT_LENGTH), "int32")
    for row, name in zip(encoded, names, strict=True):
        numbers = pieces(name)[:TEXT_LENGTH]
        row[: len(numbers)] = numbers
    return encoded


def jitter(images, rng):
    """Shifts each image by up to a tenth and zooms it by up to 15 %, on a white background."""
    size = images.shape[1]
    zoom = rng.uniform(0.87, 1.15, (len(images), 1))
    shift = rng.uniform(-0.1, 0.1, (2, len(images), 1)) * size
    middle = (size - 1) / 2
    ys, xs = np.rint((np.arange(size) - middle) / zoom + middle + shift).astype("int32")
    rows = np.arange(len(images))[:, None, None]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    ys, xs = (np.clip(axis, -1, size) + 1 for axis in (ys, xs))
    return padded[rows, ys[:, :, None], xs[:, None, :]]


class Batches(keras.utils.PyDataset):
    """Batches of both drawings and one name in a random language. The ids are row numbers.

    The order of the two artists is random, so that both calls of the encoder see both artists. With
    a fixed order, batch normalization would compute separate training statistics for each artist,
    which differ from those of the search.
    """

    def __init__(self, data, languages, batch_size, seed):
        super().__init__()
        self.images = data.images
        self.names = np.stack([encode_names(data.texts[language]) for language in languages])
        self.batch_size = batch_size
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(data))

    def __len__(self):
        # The incomplete last batch is dropped. The next shuffle puts its rows elsewhere.
        return max(len(self.order) // self.batch_size, 1)

    def __getitem__(self, index):
        ids = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        language = self.rng.integers(len(self.names), size=len(ids))
        artist = self.rng.integers(2, size=len(ids))
        x = {
            "drawing": jitter(self.images[ids, artist], self.rng),
            "other drawing": jitter(self.images[ids, 1 - artist], self.rng),
            "text": self.names[language, ids],
        }
        return x, ids.astype("int32")

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


# Towers


def image_encoder(size=32, width=48, dim=DIM):
    """Returns a small convolutional encoder with one residual block after each strided layer."""

    def block(x, filters, kernel, strides=1):
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))

    inputs = keras.Input((size, size, 3))
    # The white background becomes zero, like the padding of the convolutions.
    x = layers.Rescaling(-1 / 255, 1.0)(inputs)
    for filters, kernel in ((width, 4), (2 * width, 2), (4 * width, 2)):
        x = block(x, filters, kernel, strides=2)
        x = layers.add([x, block(x, filters, 3)])
    x = block(x, 8 * width, 1)
    x = layers.concatenate([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return keras.Model(inputs, layers.Dense(dim)(layers.Dropout(0.2)(x)), name="image_encoder")


@keras.saving.register_keras_serializable(package="emoji_retrieval")
class SumOfPieces(layers.Layer):
    """Sums the vectors of the pieces of a name, divided by the square root of their number."""

    def call(self, vectors, numbers):
        present = ops.cast(ops.expand_dims(numbers != 0, -1), vectors.dtype)
        return ops.sum(vectors * present, axis=1) / ops.sqrt(
            ops.maximum(ops.sum(present, axis=1), 1)
        )


def text_encoder(dim=DIM):
    """Returns an encoder of names: an embedding per piece, their sum, and one hidden layer."""
    inputs = keras.Input((TEXT_LENGTH,), dtype="int32")
    vectors = layers.Embedding(
        BUCKETS, DIM, embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1)
    )(inputs)
    # Drops whole pieces.
    vectors = layers.Dropout(0.5, noise_shape=(None, TEXT_LENGTH, 1))(vectors)
    x = layers.LayerNormalization()(SumOfPieces()(vectors, inputs))
    hidden = layers.Dropout(0.2)(layers.Dense(2 * DIM, activation="gelu")(x))
    return keras.Model(
        inputs, layers.Dense(dim)(layers.add([x, layers.Dense(DIM)(hidden)])), name="text_encoder"
    )


def make_loss(name, num_items, seed):
    if name == "gamma":
        return kc.losses.GammaContrastive(temperature=TEMPERATURE, num_items=num_items, seed=seed)
    return kc.losses.InfoNCE(temperature=TEMPERATURE)


def train(data, languages, loss_name, batch_size, epochs, seed, verbose):
    """Trains the towers on the training families."""
    keras.utils.set_random_seed(seed)
    batches = Batches(data, languages, batch_size, seed)
    images = image_encoder(data.images.shape[2])
    model = kc.ContrastiveTrainer(
        {"drawing": images, "other drawing": images, "text": text_encoder()}
    )
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=2e-3 * math.sqrt(batch_size / 128), warmup_steps=steps // 20
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=0.2),
        loss=make_loss(loss_name, len(data), seed),
    )
    model.fit(batches, epochs=epochs, verbose=verbose)
    return model


# Search


def embed(model, data, language):
    """Returns unit vectors of all drawings and names."""
    drawings, texts = model.embedder("drawing"), model.embedder("text")
    return {
        "twemoji": drawings.predict(data.images[:, 0], batch_size=256, verbose=0),
        "openmoji": drawings.predict(data.images[:, 1], batch_size=256, verbose=0),
        "text": texts.predict(encode_names(data.texts[language]), batch_size=256, verbose=0),
    }


def evaluate(model, data, languages):
    """Returns recall at 1 and 10, and the chance level, for each search over held-out families."""
    held_out = data[(data.split == "test") & ~data.is_flag]
    flags = data[(data.split == "test") & data.is_flag]
    vectors = embed(model, held_out, languages[0])
    in_others = [embed(model, held_out, language)["text"] for language in languages[1:]]
    on_flags = embed(model, flags, languages[0])
    twemoji, openmoji, text = vectors["twemoji"], vectors["openmoji"], vectors["text"]
    searches = {
        "drawing -> name": [(twemoji, text), (openmoji, text)],
        "name -> drawing": [(text, twemoji), (text, openmoji)],
        "drawing -> drawing": [(twemoji, openmoji), (openmoji, twemoji)],
    }
    if in_others:
        searches["name in another language -> drawing"] = [(other, twemoji) for other in in_others]
    searches["drawing -> drawing, flags"] = [(on_flags["twemoji"], on_flags["openmoji"])]
    results = {}
    for name, corpora in searches.items():
        scores = [
            kc.evaluation.retrieval(queries, corpus, k=(1, 10)) for queries, corpus in corpora
        ]
        results[name] = {
            "r@1": np.mean([f["recall_at_1"] for f in scores]),
            "r@10": np.mean([f["recall_at_10"] for f in scores]),
            "chance": 10 / len(corpora[0][1]),
        }
    return results


def print_table(runs):
    """Prints means and standard errors over the seeds for each search, loss and batch size."""
    print(
        f"\n{'search':<37}{'loss':<9}{'batch':>5}{'R@1':>16}{'R@10':>16}"
        f"{'chance R@10':>13}{'times chance':>16}"
    )
    searches = next(iter(runs.values()))[0]
    for search in searches:
        for (loss, batch_size), results in runs.items():
            chance = results[0][search]["chance"]
            one, ten = (np.array([r[search][key] for r in results]) for key in ("r@1", "r@10"))
            recalls = f"{_with_error(one, 3):>16}{_with_error(ten, 3):>16}"
            over_chance = f"{chance:>13.3f}{_with_error(ten / chance, 1):>16}"
            print(f"{search:<37}{loss:<9}{batch_size:>5}{recalls}{over_chance}")


def _with_error(values, digits):
    mean = f"{values.mean():.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ± {values.std(ddof=1) / math.sqrt(len(values)):.{digits}f}"


# Images


def draw_found_names(model, data, language, path, queries=8):
    """Draws the five nearest names of some held-out drawings, of both artists in turn."""
    vectors = embed(model, data, language)
    rows = np.linspace(0, len(data) - 1, queries).astype(int)
    styles = np.arange(queries) % 2
    by_style = np.stack([vectors[style] for style in kc.datasets.STYLES], axis=1)
    scores, found = kc.evaluation.search(by_style[rows, styles], vectors["text"], k=5)
    figure = kc.viz.neighbors(
        data.images[rows, styles],
        list(data.texts[language]),
        found,
        scores,
        query_ids=rows,
        corpus_ids=np.arange(len(data)),
        title="Held-out emoji and the names found for them",
    )
    save(figure, path)


def draw_found_emoji(model, data, languages, path, queries=8):
    """Draws the six nearest held-out drawings of some names, in all languages in turn."""
    rows = np.linspace(3, len(data) - 4, queries).astype(int)
    vectors = {language: embed(model, data, language) for language in languages}
    chosen = [languages[place % len(languages)] for place in range(queries)]
    pairs = list(zip(chosen, rows, strict=True))
    names = np.stack([vectors[language]["text"][row] for language, row in pairs])
    scores, found = kc.evaluation.search(names, vectors[languages[0]]["twemoji"], k=6)
    figure = kc.viz.neighbors(
        [f"{language}: {data.texts[language][row]}" for language, row in pairs],
        data.images[:, 0],
        found,
        scores,
        query_ids=rows,
        corpus_ids=np.arange(len(data)),
        title="Names and the held-out emoji found for them",
    )
    save(figure, path)


def save(figure, path):
    figure.text(0.02, 4 / figure.bbox.height, kc.datasets.ATTRIBUTION, size=7, color="gray")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    print(f"wrote {path}")


def main():
    languages = (
        list(kc.datasets.LANGUAGES)
        if arguments.languages == "all"
        else arguments.languages.split(",")
    )
    unknown = set(languages) - set(kc.datasets.LANGUAGES)
    if unknown:
        codes = ", ".join(kc.datasets.LANGUAGES)
        raise SystemExit(f"--languages: {', '.join(sorted(unknown))}? There are {codes}.")
    data = kc.datasets.load_emoji(size=32)
    training = data[data.split != "test"]
    held_out = data[(data.split == "test") & ~data.is_flag]
    print(
        f"{keras.backend.backend()}: {len(training)} emoji for training, {len(held_out)} for the "
        f"search (unseen families, no flags), names in {len(languages)} languages"
    )
    runs, first = {}, None
    for loss_name in arguments.loss:
        for batch_size in arguments.batch_size:
            results = runs[loss_name, batch_size] = []
            for seed in range(arguments.seeds):
                start = time.perf_counter()
                quiet = len(arguments.loss) * len(arguments.batch_size) * arguments.seeds > 1
                model = train(
                    training,
                    languages,
                    loss_name,
                    batch_size,
                    arguments.epochs,
                    seed,
                    verbose=0 if quiet else 2,
                )
                results.append(evaluate(model, data, languages))
                seconds = time.perf_counter() - start
                print(f"{loss_name}, batch {batch_size}, seed {seed}: {seconds:.0f} s", flush=True)
                first = first or model
    print_table(runs)
    latin = [
        language for language in languages if language in ("en", "de", "fr", "es", "it", "pt", "id")
    ]
    draw_found_names(first, held_out, (latin or languages)[0], arguments.out / "names_found.png")
    draw_found_emoji(first, held_out, latin or languages, arguments.out / "emoji_found.png")


if __name__ == "__main__":
    main()
