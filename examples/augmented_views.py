"""Draws random views of images, and prints random views of texts, before you train on them.

Self-supervised training compares two views of each image. The views must differ, or the task is
trivial. They must also be recognizable, or the task is impossible. The sheet has one row of SimCLR
views for each emoji, and one row for each single augmentation.

    python examples/augmented_views.py
    python examples/augmented_views.py --backend jax --strength 1.0 --seed 7

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os
import pathlib

IMAGES = ("red apple", "frog", "rocket", "sailboat", "rainbow")
TEXTS = (
    "grinning cat with smiling eyes",
    "face savoring food",
    "front-facing baby chick",
    "person rowing boat",
    "red apple",
)
SYNONYMS = {
    "baby": ["infant", "newborn"],
    "boat": ["vessel", "dinghy"],
    "cat": ["kitten", "kitty"],
    "food": ["a meal", "a dish"],
    "grinning": ["beaming", "laughing"],
    "person": ["someone", "human"],
    "red": ["scarlet", "crimson"],
    "savoring": ["enjoying", "relishing"],
    "smiling": ["happy", "cheerful"],
}


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Draw random views of emoji, and print random views of their names.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=("jax", "tensorflow", "torch"),
        help="default: KERAS_BACKEND, else Keras'",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random views")
    parser.add_argument(
        "--strength",
        type=float,
        default=0.5,
        help="strength of the color jitter; SimCLR uses 1.0 on ImageNet",
    )
    parser.add_argument("--views", type=int, default=8, help="number of views in a row")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder for the image"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and arguments.backend:
    os.environ["KERAS_BACKEND"] = arguments.backend  # before Keras is imported

import keras  # noqa: E402
import numpy as np  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def single_augmentations(seed):
    """Returns each augmentation on its own, at full strength, applied to every image."""
    aug = kc.augmentation

    def jitter(**factor):
        others = dict.fromkeys(["brightness_factor", "contrast_factor", "saturation_factor"], 0)
        return aug.RandomColorJitter(**{**others, "hue_factor": 0, **factor}, rate=1, seed=seed)

    return {
        "crop": aug.RandomResizedCrop(seed=seed),
        "flip": aug.RandomFlip(seed=seed),
        "brightness": jitter(brightness_factor=0.8),
        "contrast": jitter(contrast_factor=0.8),
        "saturation": jitter(saturation_factor=0.8),
        "hue": jitter(hue_factor=0.5),
        "grayscale": aug.RandomGrayscale(factor=0.5, seed=seed),
        "blur": aug.RandomGaussianBlur(rate=1, seed=seed),
    }


def views_of(image, layer, number):
    """Returns random views of one image. Every row of a batch of copies gets its own draw."""
    batch = np.repeat(image[None], number, axis=0)
    views = keras.ops.convert_to_numpy(layer(batch, training=True))
    return np.clip(np.rint(views), 0, 255).astype("uint8")


def draw(blocks, path):
    """Draws a sheet: a title for each block; a label, the original and its views in each row."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    font = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    large, normal, small = (ImageFont.truetype(font, size) for size in (16, 13, 10))
    cell, gap, label, head, foot = 64, 6, 130, 44, 30
    columns = max(len(views) for rows in blocks.values() for _, _, views in rows)
    width = label + (1 + columns) * (cell + gap) + 3 * gap
    height = sum(head + len(rows) * (cell + gap) for rows in blocks.values()) + foot
    sheet = Image.new("RGB", (width, height), "white")
    canvas = ImageDraw.Draw(sheet)
    top = 0
    for title, rows in blocks.items():
        canvas.text((12, top + 14), title, "black", large)
        top += head
        for words, image, views in rows:
            canvas.text((12, top + cell // 2), words, "black", normal, anchor="lm")
            for column, pixels in enumerate([image, *views]):
                # A wider gap separates the original from its views.
                left = label + column * (cell + gap) + (2 * gap if column else 0)
                sheet.paste(Image.fromarray(pixels), (left, top))
                canvas.rectangle((left - 1, top - 1, left + cell, top + cell), outline="lightgray")
            top += cell + gap
    canvas.text((12, height - 20), kc.datasets.ATTRIBUTION, "gray", small)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    print(f"wrote {path}")


def print_texts(seed, number=3):
    """Prints a few views of each text for each operation."""
    for operation in ("replacement", "insertion", "swap", "deletion", "masking"):
        eda = kc.augmentation.EDA(SYNONYMS, alpha=0.3, operations=[operation], seed=seed)
        views = [eda(TEXTS) for _ in range(number)]
        print(f"\n{operation}")
        for text, *others in zip(TEXTS, *views, strict=True):
            print(f"  {text:<31} {' | '.join(others)}")


def main():
    data = kc.datasets.load_emoji(size=64)
    rows = [int(np.flatnonzero(data.texts["en"] == name)[0]) for name in IMAGES]
    drawings = {
        name: data.images[row, place % 2]
        for place, (name, row) in enumerate(zip(IMAGES, rows, strict=True))
    }
    simclr = kc.augmentation.SimCLRImageAugmenter(
        strength=arguments.strength, blur=True, seed=arguments.seed
    )
    number = arguments.views
    combined = [(name, image, views_of(image, simclr, number)) for name, image in drawings.items()]
    example = drawings[IMAGES[2]]
    layers = single_augmentations(arguments.seed)
    single = [(name, example, views_of(example, layer, number)) for name, layer in layers.items()]
    blocks = {
        f"SimCLR views at strength {arguments.strength:g}; the original is on the left": combined,
        "Each augmentation on its own": single,
    }
    draw(blocks, arguments.out / "augmented_views.png")
    print_texts(arguments.seed)


if __name__ == "__main__":
    main()
