"""Fine-tunes a CLIP of keras-hub with `GammaContrastive` and saves it as a keras-hub preset.

The `CLIPBackbone` of keras-hub has towers, projections and a logit scale, but no loss.
`kc.encoders.split_image_text_backbone` splits it into towers. The trainer fits the towers to the
drawings and English names of emoji. `save_to_preset` writes the trained weights. keras-hub alone
loads the preset and returns the same embeddings.

    # A small model with random weights:
    python examples/finetune_clip.py --backend jax
    # A published model:
    python examples/finetune_clip.py --preset clip_vit_base_patch32 --learning-rate 1e-5

The same works for SigLIP (`--model siglip`, or the name of its preset), with its bias and its
sigmoid loss.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import io
import json
import math
import os
import pathlib
import time


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Fine-tune CLIP or SigLIP on emoji, save a preset, and load it with keras-hub.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument(
        "--model",
        choices=("clip", "siglip"),
        default="clip",
        help="kind of the small model with random weights",
    )
    parser.add_argument(
        "--preset", help="name or folder of a preset, instead of a small model with random weights"
    )
    parser.add_argument(
        "--trainable-blocks",
        type=int,
        help="trainable blocks of each tower, from the end; default: all",
    )
    parser.add_argument(
        "--learning-rate", type=float, default=3e-4, help="learning rate of AdamW after the warm-up"
    )
    parser.add_argument("--batch-size", type=int, default=64, help="rows in a batch")
    parser.add_argument(
        "--epochs", type=int, default=20, help="passes over the emoji of the training families"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights, shuffling and the loss"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the new preset"
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

import keras  # noqa: E402
import keras_hub  # noqa: E402
import numpy as np  # noqa: E402

import keras_contrastive as kc  # noqa: E402

# Small models, built from the layers of the published ones

SIDE, LENGTH, VOCABULARY = 32, 24, 800
TOWER = {"hidden_dim": 128, "num_layers": 2, "num_heads": 4, "intermediate_dim": 256}


def small(kind, texts):
    """Returns a backbone with random weights, and a preprocessor with a tokenizer for the texts."""
    models = keras_hub.models
    kinds = {
        "clip": (
            models.CLIPVisionEncoder,
            models.CLIPTextEncoder,
            models.CLIPBackbone,
            clip_preprocessor,
        )
    }
    kinds["siglip"] = (
        models.SigLIPVisionEncoder,
        models.SigLIPTextEncoder,
        models.SigLIPBackbone,
        siglip_preprocessor,
    )
    vision_encoder, text_encoder, backbone, preprocessor = kinds[kind]
    preprocess = preprocessor(texts)
    text = TOWER | {"embedding_dim": 128, "vocabulary_size": preprocess.tokenizer.vocabulary_size()}
    vision = vision_encoder(**TOWER, patch_size=8, image_shape=(SIDE, SIDE, 3))
    text = text_encoder(
        **text, max_sequence_length=LENGTH, **({"projection_dim": 128} if kind == "siglip" else {})
    )
    backbone = backbone(vision, text, **({"projection_dim": 128} if kind == "clip" else {}))
    if kind == "siglip":
        # The initial values of the SigLIP paper. In keras-hub, the scale is 1 and the bias is 0.
        parts = kc.encoders.split_image_text_backbone(backbone)
        parts.temperature.log_scale.assign(np.log(10.0))
        parts.bias.bias.assign(-10.0)
    return backbone, preprocess


def clip_preprocessor(texts):
    import tokenizers

    pairs = tokenizers.Tokenizer(tokenizers.models.BPE(end_of_word_suffix="</w>"))
    pairs.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    settings = {"vocab_size": VOCABULARY, "end_of_word_suffix": "</w>", "show_progress": False}
    pairs.train_from_iterator(
        [text.lower() for text in texts], tokenizers.trainers.BpeTrainer(**settings)
    )
    learned = json.loads(pairs.to_str())["model"]
    # CLIP pools at the highest token id, which must be the end of the text.
    words = [
        *sorted(learned["vocab"], key=learned["vocab"].get),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = keras_hub.models.CLIPTokenizer(
        vocabulary, [" ".join(pair) for pair in learned["merges"]]
    )
    return keras_hub.models.CLIPPreprocessor(tokenizer, converter("CLIP"), sequence_length=LENGTH)


def siglip_preprocessor(texts):
    import sentencepiece

    proto, ends = io.BytesIO(), {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": 3}
    settings = {"vocab_size": VOCABULARY, "num_threads": 1, "minloglevel": 2}
    names = {"pad_piece": "<pad>", "eos_piece": "</s>", "unk_piece": "<unk>", "bos_piece": "<bos>"}
    lowered = iter([text.lower() for text in texts])
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lowered, model_writer=proto, **settings, **ends, **names
    )
    tokenizer = keras_hub.models.SigLIPTokenizer(proto.getvalue())
    return keras_hub.models.SigLIPPreprocessor(
        tokenizer, converter("SigLIP"), sequence_length=LENGTH
    )


def converter(name):
    """Returns a layer that maps images in [0, 255] to images in [-1, 1]."""
    return getattr(keras_hub.layers, f"{name}ImageConverter")(
        image_size=(SIDE, SIDE), scale=1 / 127.5, offset=-1.0
    )


def load(preset):
    """Loads the backbone and the preprocessor of a preset with keras-hub alone."""
    backbone = keras_hub.models.Backbone.from_preset(str(preset))
    siglip = isinstance(backbone, keras_hub.models.SigLIPBackbone)
    preprocessor = (
        keras_hub.models.SigLIPPreprocessor if siglip else keras_hub.models.CLIPPreprocessor
    )
    return backbone, preprocessor.from_preset(str(preset))


# Data and search


def prepare(data, preprocess):
    """Returns both drawings of each emoji with its name, and ids that mark rows of one emoji."""
    ids = np.tile(np.arange(len(data), dtype="int32"), 2)
    images = np.concatenate([data.images[:, 0], data.images[:, 1]])
    found = preprocess({"images": images, "prompts": names(data)[ids].tolist()})
    found = {name: np.asarray(keras.ops.convert_to_numpy(x)) for name, x in found.items()}
    return {"image": found.pop("images"), "text": found}, ids


def names(data):
    return np.array([str(name) for name in data.texts["en"]])


def embeddings(backbone, x, rows=64):
    """Returns the embeddings of a keras-hub backbone, computed with keras-hub alone."""
    methods = {"image": backbone.get_vision_embeddings, "text": backbone.get_text_embeddings}
    arrays = {"image": x["image"], "text": x["text"]["token_ids"]}

    def chunks(array):
        return (
            keras.ops.convert_to_tensor(array[start : start + rows])
            for start in range(0, len(array), rows)
        )

    return {
        name: np.concatenate(
            [keras.ops.convert_to_numpy(method(chunk)) for chunk in chunks(arrays[name])]
        )
        for name, method in methods.items()
    }


def print_search(title, vectors, ids):
    """Prints the recall of both drawings among the names, and of the names among all drawings."""
    once = slice(len(ids) // 2)  # each name occurs twice
    image, text = (vectors["image"], ids), (vectors["text"][once], ids[once])
    for search, (queries, query_ids), (corpus, corpus_ids) in (
        ("drawing -> name", image, text),
        ("name -> drawing", text, image),
    ):
        found = kc.evaluation.retrieval(queries, corpus, query_ids, corpus_ids, k=(1, 10))
        one, ten = found["hit_rate_at_1"], found["hit_rate_at_10"]
        print(f"{title:<18}{search:<18}R@1 {one:.3f}   R@10 {ten:.3f}")


def main():
    keras.utils.set_random_seed(arguments.seed)
    side = SIDE if arguments.preset is None else 128
    data = kc.datasets.load_emoji(size=side)
    learn, search = (data[(data.split == split) & ~data.is_flag] for split in ("train", "test"))
    backbone, preprocess = (
        small(arguments.model, names(learn)) if arguments.preset is None else load(arguments.preset)
    )
    if arguments.quick:
        learn, search = learn[:64], search[:32]
    (x, ids), (new_x, new_ids) = (prepare(rows, preprocess) for rows in (learn, search))
    print(
        f"{keras.backend.backend()}: {type(backbone).__name__}, "
        f"{backbone.count_params():,} parameters; {len(learn)} emoji for training, {len(search)} "
        f"of unseen families for the search "
        f"(chance is {10 / len(search):.3f} at R@10)"
    )
    print_search("before", embeddings(backbone, new_x), new_ids)

    parts = kc.encoders.split_image_text_backbone(
        backbone, trainable_blocks=arguments.trainable_blocks
    )
    model = kc.ContrastiveTrainer(parts.encoders)
    if parts.bias is None:
        loss = kc.losses.GammaContrastive(
            parts.temperature, num_items=len(learn), seed=arguments.seed
        )
    else:
        loss = kc.losses.SigmoidContrastive(parts.temperature, parts.bias)
    epochs = 1 if arguments.quick else arguments.epochs
    steps = epochs * math.ceil(len(ids) / arguments.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=arguments.learning_rate, warmup_steps=max(steps // 10, 1)
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=0.1), loss)
    start = time.perf_counter()
    losses = model.fit(x, ids, batch_size=arguments.batch_size, epochs=epochs, verbose=0).history[
        "loss"
    ]
    seconds = time.perf_counter() - start
    print(
        f"{type(loss).__name__}: {losses[0]:.3f} -> {losses[-1]:.3f} nats in {seconds:.0f} s; "
        f"temperature {1 / float(parts.temperature.scale):.4f}"
    )
    learned = model.predict(new_x, verbose=0)
    print_search("after", learned, new_ids)

    folder = arguments.out / f"{type(backbone).__name__}_on_emoji"
    backbone.save_to_preset(str(folder))
    preprocess.save_to_preset(str(folder))
    loaded, preprocess = load(folder)
    again = embeddings(loaded, prepare(search, preprocess)[0])
    print_search("loaded again", again, new_ids)
    difference = max(float(np.abs(again[name] - learned[name]).max()) for name in again)
    if difference > 1e-4:
        raise SystemExit(
            f"The preset in {folder} differs from the trained model: {difference:.1e}."
        )
    print(
        f"The preset in {folder}, read by keras-hub alone, gives the same embeddings, "
        f"to {difference:.1e}."
    )


if __name__ == "__main__":
    main()
