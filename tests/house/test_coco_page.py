"""The page on COCO and Flickr30k: its code runs as printed, and its tables are right."""

import re

import numpy as np
import pytest

from tests.helpers.markdown import ROOT, python_blocks, read

PAGE = ROOT / "docs" / "coco_flickr30k.md"


@pytest.fixture(scope="module")
def page():
    names = {}
    for number, block in enumerate(python_blocks(PAGE)):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
    return names


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def protocol(queries, corpus, is_positive):
    """Returns hit rates at 1, 5, 10, the median rank and recalls at 1, 5, in float64."""
    scores = unit(queries) @ unit(corpus).T
    order = np.argsort(-scores, axis=1)
    hits = np.take_along_axis(is_positive, order, axis=1)
    hit_rates = [hits[:, :k].any(axis=1).mean() for k in (1, 5, 10)]
    recalls = [(hits[:, :k].sum(axis=1) / hits.sum(axis=1)).mean() for k in (1, 5)]
    return np.array([*hit_rates, np.median(hits.argmax(axis=1) + 1), *recalls])


def table(title):
    """Returns the numbers of a table of the page, by its first column."""
    (rows,) = re.findall(rf"^\| {title}\| R@1.*\n\|[- |]+\n((?:\|.*\n)+)", read(PAGE), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows.splitlines()]
    return {cell[0]: [float(number) for number in cell[1:]] for cell in cells}


def both_directions(images, captions, is_positive):
    return {
        "image to text": protocol(images, captions, is_positive),
        "text to image": protocol(captions, images, is_positive.T),
    }


# Numbers are printed with three digits. Rounding in float32 may move one image of 1,000.
def near(values):
    return pytest.approx(list(values), abs=0.0015)


@pytest.mark.slow_to_compile
def test_tables(page):
    images, captions, ids = page["images"], page["captions"], page["image_of_caption"]
    numbers = np.arange(len(images))
    whole = both_directions(images, captions, numbers[:, None] == ids)
    printed = table("")
    assert {name: near(values) for name, values in whole.items()} == printed
    folds = []
    for start in range(0, len(images), 200):
        fold = numbers[start : start + 200]
        rows = np.isin(ids, fold)
        folds.append(both_directions(images[fold], captions[rows], fold[:, None] == ids[rows]))
    for direction, row in table("five folds ").items():
        assert near(np.mean([fold[direction][:3] for fold in folds], axis=0)) == row


def test_code_gives_the_printed_numbers(page):
    names = ["hit_rate_at_1", "hit_rate_at_5", "hit_rate_at_10", "median_rank", "recall_at_1"]
    for direction, row in table("").items():
        found = page["whole"][direction]
        assert [found[name] for name in [*names, "recall_at_5"]] == near(row)
        assert found["hit_rate_at_1_error"] > 0
    for direction, row in table("five folds ").items():
        assert [page["folds"][direction][name] for name in names[:3]] == near(row)


def test_callback_reports_the_same_numbers(page):
    found = page["evaluation"].evaluate()
    for direction, measures in page["whole"].items():
        for name in ("hit_rate_at_1", "hit_rate_at_10", "median_rank"):
            assert found[f"val_{direction.replace(' ', '_')}_{name}"] == measures[name]
