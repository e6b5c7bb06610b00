"""Trains on names in several languages, or drawings by several artists, as modalities of one item.

Languages: each language has its own text tower. The test searches the names of held-out emoji from
each language in each other language. There are three ways to train on the same emoji:

* all: an emoji has its name in all languages, and all pairs of languages are contrasted;
* through English: all names, but only pairs with English are contrasted;
* English and one other: an emoji has its English name and one other name, always the same one, so
  that no emoji has both a German and a Russian name. The argument `present` names the
  inputs that mark available names.

"spelling" needs no training: it compares names by the runs of characters that they share.

Drawings: an image tower and a tower of English names are trained on the drawings of one or both
artists.

* Twemoji: one drawing; Twemoji, twice: the same drawing, shifted in two ways, so that a step has as
  many images as with two artists;
* either: one of the two drawings, chosen at random each time;
* both: two modalities, contrasted with each other and with the name;
* rows: two rows of a batch with equal ids, each with a drawing and the name.

    python examples/multilingual.py --backend jax

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import itertools
import os

WAYS = {
    "languages": ("spelling", "all", "through English", "English and one other"),
    "drawings": ("Twemoji", "Twemoji, twice", "either", "both", "rows"),
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train on several languages, or several drawings, as modalities of one item.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--languages",
        default="en,de,es,ru,ja",
        help="codes; the first one is the pivot of 'through English'",
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of runs of each kind, starting at seed 0"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=20,
        help="epochs on drawings; training on names takes twice as many",
    )
    parser.add_argument(
        "--ways", choices=[*WAYS["languages"], *WAYS["drawings"]], nargs="+", help="default: all"
    )
    parser.add_argument(
        "--quick", action="store_true", help="three languages, three ways, one seed, one epoch"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.languages, arguments.seeds, arguments.epochs = "en,de,ja", 1, 1
        arguments.ways = ["spelling", "English and one other", "rows"]
    return arguments


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402
from emoji_retrieval import (  # noqa: E402
    BUCKETS,
    TEMPERATURE,
    encode_names,
    image_encoder,
    jitter,
    text_encoder,
)
from information_gap import with_error  # noqa: E402

import keras_contrastive as kc  # noqa: E402


class InfoNCEWithFirstView(kc.losses.InfoNCE):
    """`InfoNCE` between the first view and each other view only."""

    def directions(self, names):
        first, *others = names
        pairs = [pair for view in others for pair in ((first, view), (view, first))]
        return {pair: 1 / len(pairs) for pair in pairs}


def compile_model(model, steps, loss=kc.losses.InfoNCE):
    """Compiles the model with the recipe of `emoji_retrieval.py`, without any tuning."""
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=2e-3, warmup_steps=max(steps // 20, 1)
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.2), loss(TEMPERATURE))


# Languages


def encode_all_names(data, languages):
    return {language: encode_names(data.texts[language]) for language in languages}


def train_languages(way, data, languages, seed):
    keras.utils.set_random_seed(seed)
    x, present = encode_all_names(data, languages), {}
    if way == "English and one other":
        other = np.random.default_rng(seed).integers(1, len(languages), len(data))
        x |= {
            f"has {language}": other == place for place, language in enumerate(languages) if place
        }
        present = {f"has {language}": language for language in languages[1:]}
    model = kc.ContrastiveTrainer(
        {language: text_encoder() for language in languages}, present=present
    )
    epochs = 2 * arguments.epochs
    loss = InfoNCEWithFirstView if way == "through English" else kc.losses.InfoNCE
    compile_model(model, epochs * -(-len(data) // 128), loss)
    model.fit(x, np.arange(len(data), dtype="int32"), 128, epochs, verbose=0)
    return model


def spelling(names):
    """Returns the number of occurrences of each piece in each name."""
    return np.stack([np.bincount(row[row > 0], minlength=BUCKETS) for row in names]).astype(
        "float32"
    )


def evaluate_languages(way, training, test, languages, seed):
    """Returns R@10 from each language to each other language."""
    x = encode_all_names(test, languages)
    if way == "spelling":
        vectors = {language: spelling(names) for language, names in x.items()}
    else:
        model = train_languages(way, training, languages, seed)
        vectors = model.predict(x, batch_size=len(test), verbose=0)
    return {
        (a, b): kc.evaluation.retrieval(vectors[a], vectors[b])["recall_at_10"]
        for a, b in itertools.permutations(languages, 2)
    }


def print_languages(found, languages):
    pivot, *others = languages
    pairs = {
        f"{pivot} → another": [(pivot, a) for a in others],
        f"another → {pivot}": [(a, pivot) for a in others],
        "another → another": list(itertools.permutations(others, 2)),
    }
    print_table(
        {
            way: {p: [np.mean([run[a] for a in pairs[p]]) for run in runs] for p in pairs}
            for way, runs in found.items()
        }
    )
    for way, runs in found.items():
        print(f"\n| {way}: from, in | " + " | ".join(languages) + " |")
        print("| --- |" + " --- |" * len(languages))
        for a in languages:
            cells = ["" if a == b else with_error([run[a, b] for run in runs]) for b in languages]
            print(f"| {a} | " + " | ".join(cells) + " |")


# Drawings


class Drawings(keras.utils.PyDataset):
    """Batches of 64 emoji with one or two shifted drawings and the English name.

    The ids are row numbers.
    """

    def __init__(self, way, data, seed):
        super().__init__()
        self.way, self.images, self.names = way, data.images, encode_names(data.texts["en"])
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(data)).astype("int32")

    def __len__(self):
        return len(self.order) // 64

    def __getitem__(self, index):
        ids = self.order[64 * index : 64 * (index + 1)]
        # The order of the artists is random, so that they share the statistics of batch
        # normalization.
        first = 0 * ids if self.way.startswith("Twemoji") else self.rng.integers(2, size=len(ids))
        second = first if self.way.startswith("Twemoji") else 1 - first
        drawings = [jitter(self.images[ids, artist], self.rng) for artist in (first, second)]
        if self.way == "rows":
            ids = np.tile(ids, 2)
            return {"drawing": np.concatenate(drawings), "name": self.names[ids]}, ids
        modalities = dict(zip(drawing_modalities(self.way), drawings, strict=False))
        return {**modalities, "name": self.names[ids]}, ids

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


def drawing_modalities(way):
    return ("drawing", "other drawing") if way in ("Twemoji, twice", "both") else ("drawing",)


def evaluate_drawings(way, training, test, seed):
    """Returns R@10 of each search, the mean of both directions."""
    keras.utils.set_random_seed(seed)
    images = image_encoder(training.images.shape[2], width=24)
    modalities = drawing_modalities(way)
    model = kc.ContrastiveTrainer({**dict.fromkeys(modalities, images), "name": text_encoder()})
    batches = Drawings(way, training, seed)
    compile_model(model, arguments.epochs * len(batches))
    model.fit(batches, epochs=arguments.epochs, verbose=0)
    names = encode_names(test.texts["en"])
    drawings = model.embedder("drawing")
    twemoji, openmoji = (
        drawings.predict(test.images[:, artist], batch_size=len(test), verbose=0)
        for artist in range(2)
    )
    name = model.embedder("name").predict(names, batch_size=len(test), verbose=0)
    pairs = {
        "Twemoji, name": (twemoji, name),
        "OpenMoji, name": (openmoji, name),
        "mean of both, name": (twemoji + openmoji, name),
        "Twemoji, OpenMoji": (twemoji, openmoji),
    }
    return {
        words: np.mean([kc.evaluation.retrieval(*two)["recall_at_10"] for two in ((a, b), (b, a))])
        for words, (a, b) in pairs.items()
    }


def print_table(rows):
    """Prints means and standard errors over the seeds, with one row per way."""
    columns = list(next(iter(rows.values())))
    print("\n| R@10 | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * len(columns))
    for way, found in rows.items():
        print(
            f"| {way} | " + " | ".join(with_error(found[column]) for column in columns) + " |",
            flush=True,
        )


def main():
    data = kc.datasets.load_emoji(size=32)
    training, test = (data[(data.split == split) & ~data.is_flag] for split in ("train", "test"))
    print(
        f"{keras.backend.backend()}: {len(training)} emoji for training, {len(test)} for the "
        "search, no flags",
        flush=True,
    )
    ways = {
        part: [way for way in names if way in (arguments.ways or names)]
        for part, names in WAYS.items()
    }
    if ways["languages"]:
        languages = arguments.languages.split(",")
        found = {}
        for way in ways["languages"]:
            seeds = range(1 if way == "spelling" else arguments.seeds)
            found[way] = [
                evaluate_languages(way, training, test, languages, seed) for seed in seeds
            ]
        print_languages(found, languages)
    rows = {}
    for way in ways["drawings"]:
        runs = [evaluate_drawings(way, training, test, seed) for seed in range(arguments.seeds)]
        rows[way] = {words: [run[words] for run in runs] for words in runs[0]}
    if rows:
        print_table(rows)


if __name__ == "__main__":
    main()
