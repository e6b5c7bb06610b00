"""Pre-train a small fusion model on emoji: drawings of 24 x 24 with their names and kinds.

A convolutional network makes one vector of a drawing, a transformer reads "an owl" or "a bird" and the drawing together
(`FusionTrainer`): contrast with slow copies of the towers, matching with hard negatives, masked words; and, by choice,
one of the three structures of Jiang et al. (CVPR 2023). Only drawings of one artist and of training families are seen.

    python examples/fusion_pretrain.py --backend jax
    python examples/fusion_pretrain.py --structure bridge --weight 0.1 --steps 800

`fusion_tasks.py` goes on from here.

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
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--structure", choices=STRUCTURES, default="base", help="what is added to the losses"
    )
    parser.add_argument("--weight", type=float, default=0.1, help="weight of the structure")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="20 steps: to see that it runs")
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

CELL = 24  # side of a drawing
DIM, HEADS = 64, 4
PADDING, UNKNOWN, START, MASK, END = range(5)
LENGTH = 20  # the longest text, in words
CAPTION = 12  # the longest caption
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
    """Numbers the words of some texts; singular and plural have the same."""

    def __init__(self, texts):
        found = sorted({word for text in texts for word in self.split(text)})
        self.ids = {word: END + 1 + place for place, word in enumerate(found)}
        self.size = END + 1 + len(found)

    @staticmethod
    def split(text):
        words = re.findall(r"[\w'#*]+", text.lower())
        return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words]

    def longest(self, texts):
        """How many words the longest of these texts has."""
        return max(len(self.split(text)) for text in np.unique(texts).tolist())

    def __call__(self, texts, length=LENGTH, end=False):
        ids = np.full((len(texts), length), PADDING, "int32")
        for row, text in zip(ids, texts, strict=True):
            known = [START, *(self.ids.get(word, UNKNOWN) for word in self.split(text))] + [
                END
            ] * end
            row[: min(length, len(known))] = known[:length]
        return ids


def with_article(name):
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def kinds_of(data):
    """Of each emoji the kinds that it is of, from the narrowest to the widest."""
    kinds = sorted(emoji_tasks.emoji_kinds(data).items(), key=lambda kind: kind[1].sum())
    return [[name for name, members in kinds if members[row]] for row in range(len(data))]


class Captions:
    """Batches of drawings with texts of one level: the name, the narrowest kind, or the widest."""

    def __init__(self, data, seed):
        self.data, self.rng = data, np.random.default_rng(seed)
        self.kinds = kinds_of(data)
        self.names = sorted({name for kinds in self.kinds for name in kinds})
        toned = np.array(
            [
                any("\U0001f3fb" <= c <= "\U0001f3ff" for c in character)
                for character in data.characters
            ]
        )
        training = data.split == "train"
        self.shares = {
            "name": training * np.where(toned, 0.25, 1.0),
            "kind": training * np.array([float(bool(kinds)) for kinds in self.kinds]),
        }

    def batch(self, size):
        """Rows, texts and ids: equal kinds are not told apart."""
        level = self.rng.choice(["name", "narrow", "wide"], p=[0.4, 0.4, 0.2])
        shares = self.shares["name" if level == "name" else "kind"]
        rows = self.rng.choice(len(shares), size, replace=False, p=shares / shares.sum())
        if level == "name":
            return rows, self.data.texts["en"][rows].tolist(), rows
        kinds = [self.kinds[row][0 if level == "narrow" else -1] for row in rows]
        ids = [len(shares) + self.names.index(kind) for kind in kinds]
        return rows, [with_article(kind) for kind in kinds], np.array(ids)


def image_tower():
    """One vector of a drawing, as a sequence of one; in training it is moved and colored a little."""
    picture = keras.Input((CELL, CELL, 3))
    x = kc.augmentation.RandomResizedCrop(area=(0.7, 1.0), seed=1)(picture)
    x = kc.augmentation.RandomColorJitter(0.15, 0.15, 0.15, 0.02, seed=2)(x)
    x = keras.layers.Rescaling(-1 / 128, 255 / 128)(x)
    for filters, strides in ((24, 2), (48, 2), (48, 1), (96, 2)):
        x = keras.layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = keras.layers.Activation("relu")(keras.layers.BatchNormalization(momentum=0.9)(x))
    x = keras.layers.Dense(DIM)(keras.layers.Dropout(0.1)(keras.layers.Flatten()(x)))
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    return keras.Model(picture, keras.layers.Reshape((1, DIM))(x), name="image_tower")


def fusion_trainer(words, structure, weight):
    """The towers, the fusion encoder and their losses."""
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
        momentum=0.99,
        seed=4,
    )


def optimizer(learning_rate, steps):
    """AdamW, after a warm-up of a tenth, along a cosine to zero."""
    warm_up = max(steps // 10, 1)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=learning_rate, warmup_steps=warm_up
    )
    return keras.optimizers.AdamW(rate, weight_decay=0.05, clipnorm=1.0)


def vocabulary(data, tasks):
    """The words of names, kinds, tasks and answers, those of training alone."""
    texts = data.texts["en"][data.split == "train"].tolist() + list(emoji_tasks.emoji_kinds(data))
    for task in tasks.values():
        texts += [*np.unique(task.texts[task.split == "train"]).tolist(), *task.answers]
    return Words(texts)


def pretrain(trainer, data, words, steps, seed, verbose=0):
    """Train for so many batches of captions."""
    captions = Captions(data, seed)
    rows, texts, ids = zip(*[captions.batch(BATCH) for _ in range(steps)], strict=True)
    x = {
        "image": data.images[np.concatenate(rows), 0].astype("float32"),
        "text": words([text for batch in texts for text in batch], CAPTION),
    }
    ids = np.concatenate(ids).astype("int32")
    trainer.fit(x, ids, batch_size=BATCH, shuffle=False, verbose=verbose)


def kinds_found(trainer, data, words, style):
    """Top-1 accuracy of the narrowest kind, "a bird" or "a tool", of drawings of unseen families."""
    kinds = kinds_of(data)
    names = sorted({of_emoji[0] for of_emoji in kinds if of_emoji})
    rows = np.array([row for row in np.flatnonzero(data.split == "test") if kinds[row]])
    texts = words([with_article(name) for name in names], CAPTION)
    x = {
        "image": data.images[rows, style].astype("float32"),
        "text": np.resize(texts, (len(rows), CAPTION)),
    }
    embeddings = trainer.predict(x, batch_size=256, verbose=0)
    labels = np.array([names.index(kinds[row][0]) for row in rows])
    found = kc.evaluation.zero_shot(
        embeddings["image"], labels, embeddings["text"][: len(names)], k=(1,)
    )
    return found["top_1_accuracy"], 1 / len(names)


def main():
    data = kc.datasets.load_emoji(CELL, skin_tones=True)
    words = vocabulary(data, {name: load() for name, load in TASKS.items()})
    keras.utils.set_random_seed(arguments.seed)
    steps = 20 if arguments.quick else arguments.steps
    trainer = fusion_trainer(words, arguments.structure, arguments.weight)
    trainer.compile(optimizer(2e-3, steps), kc.losses.InfoNCE(0.2))
    pretrain(trainer, data, words, steps, arguments.seed, verbose=2)
    for style, name in enumerate(kc.datasets.STYLES):
        found, chance = kinds_found(trainer, data, words, style)
        print(f"kind of a drawing of an unseen family, {name}: {found:.3f} (chance {chance:.3f})")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"fusion_{arguments.structure}.keras"
    trainer.save(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
