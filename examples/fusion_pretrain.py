"""Pre-trains a small fusion model on emoji: drawings of 24 x 24 pixels with their names and kinds.

A convolutional network encodes a drawing as one vector. A transformer reads a text such as "an owl"
or "a bird" together with the drawing (`FusionTrainer`). The losses are a contrastive loss with
momentum encoders, matching with hard negatives, masked words, and optionally one of the three
structures of Jiang et al. (CVPR 2023). Training uses drawings of one artist and training families
only.

    python examples/fusion_pretrain.py --backend jax
    python examples/fusion_pretrain.py --structure bridge --weight 0.1 --steps 800

`fusion_tasks.py` continues from here.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os
import pathlib

import emoji_tasks

STRUCTURES = ("base", "separation", "bridge", "consistency")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Pre-train a small fusion model on the drawings, names and kinds of emoji.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, or the default of Keras",
    )
    parser.add_argument(
        "--structure",
        choices=STRUCTURES,
        default="base",
        help="structure that is added to the losses",
    )
    parser.add_argument("--weight", type=float, default=0.1, help="weight of the structure")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="run 20 steps only")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the model"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import re  # noqa: E402

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_contrastive as kc  # noqa: E402

CELL = 24  # height and width of a drawing
DIM, HEADS = 64, 4
PADDING, UNKNOWN, START, MASK, END = range(5)
LENGTH = 20  # largest number of words in a text
CAPTION = 12  # largest number of words in a caption
BATCH = 64
TASKS = {
    "questions": lambda **few: emoji_tasks.emoji_questions(CELL, verbose=False, **few),
    "comparisons": lambda **few: emoji_tasks.emoji_comparisons(
        3 * CELL, kinds=("presence",), most=1, verbose=False, **few
    ),
    "entailment": lambda **few: emoji_tasks.emoji_entailment(2 * CELL, verbose=False, **few),
    "assignments": lambda **few: emoji_tasks.emoji_assignments(3 * CELL, verbose=False, **few),
}


class Words:
    """Maps the words of some texts to ids. Singular and plural have the same id."""

    def __init__(self, texts):
        words = sorted({word for text in texts for word in self.split(text)})
        self.ids = {word: END + 1 + position for position, word in enumerate(words)}
        self.size = END + 1 + len(words)

    @staticmethod
    def split(text):
        words = re.findall(r"[\w'#*]+", text.lower())
        return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]

    def longest(self, texts):
        """Returns the number of words of the longest text."""
        return max(len(self.split(text)) for text in np.unique(texts).tolist())

    def __call__(self, texts, length=LENGTH, end=False):
        ids = np.full((len(texts), length), PADDING, "int32")
        for row, text in zip(ids, texts, strict=True):
            words = [self.ids.get(word, UNKNOWN) for word in self.split(text)]
            text_ids = [START, *words, *[END] * end][:length]
            row[: len(text_ids)] = text_ids
        return ids


def with_article(name):
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def kinds_of(data):
    """Returns the kinds of each emoji, from the narrowest to the widest."""
    kinds = sorted(emoji_tasks.emoji_kinds(data).items(), key=lambda kind: kind[1].sum())
    return [[name for name, members in kinds if members[row]] for row in range(len(data))]


class Captions:
    """Batches of drawings with texts of one level: the name, the narrowest kind, or the widest."""

    def __init__(self, data, seed):
        self.data, self.rng = data, np.random.default_rng(seed)
        self.kinds = kinds_of(data)
        self.names = sorted({name for kinds in self.kinds for name in kinds})
        has_tone = np.array(
            [
                any("\U0001f3fb" <= c <= "\U0001f3ff" for c in character)
                for character in data.characters
            ]
        )
        training = data.split == "train"
        self.weights = {
            "name": training * np.where(has_tone, 0.25, 1.0),
            "kind": training * np.array([float(bool(kinds)) for kinds in self.kinds]),
        }

    def batch(self, size):
        """Returns rows, texts and ids. Rows with the same kind have the same id."""
        level = self.rng.choice(["name", "narrow", "wide"], p=[0.4, 0.4, 0.2])
        weights = self.weights["name" if level == "name" else "kind"]
        rows = self.rng.choice(len(weights), size, replace=False, p=weights / weights.sum())
        if level == "name":
            return rows, self.data.texts["en"][rows].tolist(), rows
        kinds = [self.kinds[row][0 if level == "narrow" else -1] for row in rows]
        ids = [len(weights) + self.names.index(kind) for kind in kinds]
        return rows, [with_article(kind) for kind in kinds], np.array(ids)


def image_tower():
    """Returns a tower that encodes a drawing as a sequence of one vector.

    In training, the drawing is cropped and its colors change slightly.
    """
    drawing = keras.Input((CELL, CELL, 3))
    x = kc.augmentation.RandomResizedCrop(scale=(0.7, 1.0), seed=1)(drawing)
    x = kc.augmentation.RandomColorJitter((0, 255), 0.15, 0.15, 0.15, 0.02, seed=2)(x)
    x = keras.layers.Rescaling(-1 / 128, 255 / 128)(x)
    for filters, strides in ((24, 2), (48, 2), (48, 1), (96, 2)):
        x = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Dense(DIM)(keras.layers.Dropout(0.1)(keras.layers.Flatten()(x)))
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(drawing, keras.layers.Reshape((1, DIM))(x), name="image_tower")


def fusion_trainer(words, structure, weight):
    """Returns the towers, the fusion encoder and their losses."""
    structures = {
        "base": [],
        "separation": [kc.layers.DeepFeatureSeparation(weight=weight, name="separation")],
        "bridge": [kc.layers.BrownianBridge(weight=weight, name="bridge")],
        "consistency": [kc.layers.GeometricConsistency(weight=weight, name="consistency")],
    }
    text = kc.encoders.TextTower(
        words.size, LENGTH, DIM, num_layers=1, num_heads=HEADS, hidden_dim=2 * DIM
    )
    return kc.fusion.FusionTrainer(
        {"image": image_tower(), "text": text},
        kc.fusion.FusionEncoder(2, HEADS, hidden_dim=2 * DIM),
        projectors={name: keras.layers.Dense(DIM) for name in ("image", "text")},
        masked_language=kc.fusion.MaskedLanguage(
            words.size, MASK, kept_ids=(START, END), rate=0.3, seed=3
        ),
        regularizers=structures[structure],
        teacher=kc.layers.MomentumTeacher(0.99),
        matching=kc.fusion.ImageTextMatching(seed=4),
    )


def optimizer(learning_rate, steps):
    """Returns AdamW with a warm-up over a tenth of the steps and a cosine decay to zero."""
    warm_up = max(steps // 10, 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=learning_rate, warmup_steps=warm_up
    )
    return keras.optimizers.AdamW(rate, weight_decay=0.05, clipnorm=1.0)


def vocabulary(data, tasks):
    """Returns the words of names, kinds, tasks and answers in training."""
    texts = data.texts["en"][data.split == "train"].tolist() + list(emoji_tasks.emoji_kinds(data))
    for task in tasks.values():
        texts += [*np.unique(task.texts[task.split == "train"]).tolist(), *task.answers]
    return Words(texts)


def pretrain(trainer, data, words, steps, seed, verbose=0):
    """Trains on the given number of batches of captions."""
    captions = Captions(data, seed)
    rows, texts, ids = zip(*[captions.batch(BATCH) for _ in range(steps)], strict=True)
    x = {
        "image": data.images[np.concatenate(rows), 0].astype("float32"),
        "text": words([text for batch in texts for text in batch], CAPTION),
    }
    ids = np.concatenate(ids).astype("int32")
    trainer.fit(x, ids, batch_size=BATCH, shuffle=False, verbose=verbose)


def kind_accuracy(trainer, data, words, style):
    """Returns the top-1 accuracy of the narrowest kind, such as "a bird", for unseen families.

    The second result is the accuracy of chance.
    """
    kinds = kinds_of(data)
    names = sorted({narrow_to_wide[0] for narrow_to_wide in kinds if narrow_to_wide})
    rows = np.array([row for row in np.flatnonzero(data.split == "test") if kinds[row]])
    texts = words([with_article(name) for name in names], CAPTION)
    x = {
        "image": data.images[rows, style].astype("float32"),
        "text": np.resize(texts, (len(rows), CAPTION)),
    }
    embeddings = trainer.predict(x, batch_size=256, verbose=0)
    labels = np.array([names.index(kinds[row][0]) for row in rows])
    results = kc.evaluation.zero_shot(
        embeddings["image"], labels, embeddings["text"][: len(names)], k=(1,)
    )
    return results["top_1_accuracy"], 1 / len(names)


def main():
    data = kc.datasets.load_emoji(CELL, skin_tones=True)
    words = vocabulary(data, {name: load() for name, load in TASKS.items()})
    keras.utils.set_random_seed(arguments.seed)
    steps = 20 if arguments.quick else arguments.steps
    trainer = fusion_trainer(words, arguments.structure, arguments.weight)
    trainer.compile(optimizer(2e-3, steps), kc.losses.InfoNCE(0.2))
    pretrain(trainer, data, words, steps, arguments.seed, verbose=2)
    for style, name in enumerate(kc.datasets.STYLES):
        accuracy, chance = kind_accuracy(trainer, data, words, style)
        print(
            f"kind of a drawing of an unseen family, {name}: {accuracy:.3f} (chance {chance:.3f})"
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"fusion_{arguments.structure}.keras"
    trainer.save(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
