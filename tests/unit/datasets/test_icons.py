"""Icons of tiny packages: columns, pairs, splits and cache. The drawings are made up."""

import io
import json
import zipfile

import numpy as np
import pytest

from keras_contrastive.datasets import Icons, load_icons, split_families
from keras_contrastive.datasets import _icon_wheels as wheels
from keras_contrastive.datasets import _iconify as iconify

IconSet = wheels.IconSet
SETS = {
    "fonts": IconSet("fonts_set", "fonts-set", "font", "Apache-2.0", ("fonts",), filled=True),
    "folder": IconSet("folder_set", "folder-set", "folder", "MIT"),
    "zip": IconSet("zip_set", "zip-set", "zip", "ISC"),
}
COLUMNS = ("name", "set", "filled", "category", "family", "split")


def image_of(text, size):
    """Returns pixels that depend on the text. "blank" and "full" have no drawing."""
    value = {"blank": 0, "full": 255}.get(text)
    if value is not None:
        return np.full((size, size), value, "uint8")
    seed = np.frombuffer(text.encode().ljust(4), "uint8")
    return np.random.default_rng(seed).integers(0, 256, (size, size), "uint8")


@pytest.fixture
def drawn(monkeypatch):
    """Replaces drawing. Returns the list of the drawings."""
    calls = []

    def draw_svg(svg, size):
        calls.append(svg)
        if svg.endswith("broken"):
            raise ValueError("not an SVG")
        return image_of(svg.split("\n")[-1], size)

    def draw_glyph(font, character, size):
        calls.append((font.name, character))
        return image_of(font.name + character, size)

    monkeypatch.setattr(wheels, "draw_svg", draw_svg)
    monkeypatch.setattr(wheels, "draw_glyph", draw_glyph)
    monkeypatch.setattr(iconify, "draw_svg", draw_svg)
    return calls


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def wheel_site(site, drawn, monkeypatch):
    """Three sets in packages of three kinds."""
    monkeypatch.setattr(wheels, "SETS", SETS)
    site.add("PIL", "pillow").add("resvg_py", "resvg-py")
    icons = {
        **{"24/outline/bell.svg": "zip bell", "24/solid/bell.svg": "zip bell filled"},
        **{"16/solid/bell.svg": "zip small bell", "outline/kiwi-logo.svg": "zip logo"},
        **{"outline/arrows-left.svg": "zip arrow", "outline/dots.svg": "same"},
        **{"outline/nothing.svg": "blank", "outline/square.svg": "full", "readme.txt": "text"},
        **{"outline/odd.svg": "broken"},
    }
    site.add("zip_set", "zip-set", {"icons.zip": zipped(icons)})
    tabler = {
        "icons/outline/bell.svg": "<!--\ncategory: Home and garden\n-->\nfolder bell",
        "icons/outline/ellipsis.svg": "same",
        "icons/filled/arrow-right.svg": "folder arrow",
        "icons/outline/kiwi.svg": "folder kiwi",
    }
    site.add("folder_set", "folder-set", tabler)
    glyphs = {"fonts-bell": "e001", "bell-outline": "e002", "bell": 57347, "letter-a": "e004"}
    files = {"assets/glyphmap.json": json.dumps(glyphs), "assets/icons.ttf": ""}
    return site.add("fonts_set", "fonts-set", files)


def rows_of(icons):
    return {
        (*map(str, (icons.set[i], icons.name[i])), bool(icons.filled[i])) for i in range(len(icons))
    }


def test_every_set_has_an_outlined_and_a_filled_drawing_of_a_name(wheel_site):
    icons = load_icons(size=4, verbose=False)
    dots = {("zip", "dots", False), ("folder", "ellipsis", False)}
    assert rows_of(icons) - dots == {
        *(("zip", "bell", False), ("zip", "bell", True), ("zip", "arrows left", False)),
        *(("folder", "bell", False), ("folder", "arrow right", True)),
        *(("fonts", "bell", False), ("fonts", "bell", True)),
    }
    assert icons.images.shape == (len(icons), 4, 4)
    assert icons.images.dtype == np.uint8
    by_row = {
        (s, n, f): image
        for s, n, f, image in zip(
            *(getattr(icons, c).tolist() for c in COLUMNS[1::-1] + COLUMNS[2:3]),
            icons.images,
            strict=True,
        )
    }
    np.testing.assert_array_equal(by_row["zip", "bell", True], image_of("zip bell filled", 4))
    np.testing.assert_array_equal(by_row["fonts", "bell", True], image_of("icons.ttf\ue003", 4))


def test_each_style_of_a_font_has_its_own_file(wheel_site, monkeypatch):
    codes = {style: json.dumps({f"cup-24-{style}": "e001"}) for style in ("regular", "filled")}
    files = {f"glyphmap-{style}.json": text for style, text in codes.items()}
    files |= {f"fonts/Some-{style.title()}.ttf": "" for style in codes}
    wheel_site.add("styled_set", "styled-set", files)
    monkeypatch.setattr(
        wheels, "SETS", {"styled": IconSet("styled_set", "styled-set", "font", "MIT")}
    )
    icons = load_icons(size=4, verbose=False)
    assert rows_of(icons) == {("styled", "cup", False), ("styled", "cup", True)}
    for style, image in zip(("Regular", "Filled"), icons.images, strict=True):
        np.testing.assert_array_equal(image, image_of(f"Some-{style}.ttf\ue001", 4))


def test_the_columns_belong_together(wheel_site):
    icons = load_icons(size=4, verbose=False)
    assert {len(getattr(icons, column)) for column in (*COLUMNS, "images", "concept")} == {
        len(icons)
    }
    assert len(set(icons.concept)) == len(set(icons.name))
    for name in set(icons.name):
        assert len(set(icons.concept[icons.name == name])) == 1
    assert icons.category[icons.set == "folder"].tolist().count("Home and garden") == 1
    assert set(icons.category[icons.set != "folder"]) == {""}
    arrows = icons[icons.family == "arrow"]
    assert sorted(arrows.name) == ["arrow right", "arrows left"]
    np.testing.assert_array_equal(icons.split, split_families(icons.family))
    assert icons.licenses == {"fonts": "Apache-2.0", "folder": "MIT", "zip": "ISC"}
    assert arrows.licenses == icons.licenses


def test_a_drawing_with_names_in_two_splits_is_in_the_later_one(wheel_site):
    splits = split_families(["dot", "ellipsi"]).tolist()
    assert splits == ["test", "train"]
    icons = load_icons(size=4, verbose=False)
    assert "dots" in icons.name
    assert "ellipsis" not in icons.name


def test_a_cached_file_has_the_same_arrays(wheel_site, drawn, tmp_path):
    first = load_icons(size=4, cache_dir=tmp_path / "cache", verbose=False)
    count = len(drawn)
    second = load_icons(size=4, cache_dir=tmp_path / "cache", verbose=False)
    assert len(drawn) == count > 0
    for column in (*COLUMNS, "images", "concept"):
        np.testing.assert_array_equal(getattr(first, column), getattr(second, column))
    load_icons(size=5, cache_dir=tmp_path / "cache", verbose=False)
    assert len(drawn) == 2 * count
    wheel_site.add("resvg_py", "resvg-py", version="2.0")
    load_icons(size=5, cache_dir=tmp_path / "cache", verbose=False)
    assert len(drawn) == 3 * count


# Pairs


@pytest.fixture
def many():
    """40 concepts by 1 to 4 of 5 sets, some with two drawings of a set."""
    rng = np.random.default_rng(0)
    rows = [
        (c, s) for c in range(40) for s in rng.permutation(5)[: 1 + c % 4] for _ in range(1 + c % 2)
    ]
    concept, sets = (np.array(column) for column in zip(*rng.permutation(rows), strict=True))
    name = np.char.add("thing ", concept.astype(str))
    columns = (
        np.zeros((len(rows), 2, 2), "uint8"),
        name,
        concept,
        np.char.add("set ", sets.astype(str)),
    )
    return Icons(*columns, np.zeros(len(rows), bool), name, name, np.full(len(rows), "train"), {})


def test_a_pair_is_of_one_concept_and_two_sets(many):
    pairs = many.pairs(seed=0)
    assert many.concept[pairs[:, 0]].tolist() == [c for c in range(40) if c % 4]
    np.testing.assert_array_equal(many.concept[pairs[:, 0]], many.concept[pairs[:, 1]])
    assert (many.set[pairs[:, 0]] != many.set[pairs[:, 1]]).all()


def test_every_pair_of_sets_is_as_likely(many):
    pairs = np.concatenate([many.pairs(seed) for seed in range(300)])
    counts = {}
    for row in pairs[many.concept[pairs[:, 0]] == 3]:
        counts[tuple(many.set[row])] = counts.get(tuple(many.set[row]), 0) + 1
    # Concept 3 has 4 sets, so 12 ordered pairs. Four standard errors of 25 are 19.
    assert len(counts) == 12
    assert all(abs(count - 25) < 19 for count in counts.values())
    # It has two drawings of each set.
    assert len(set(pairs[many.concept[pairs[:, 0]] == 3].ravel())) == 8


def test_a_seed_gives_the_same_pairs(many):
    np.testing.assert_array_equal(many.pairs(1), many.pairs(1))
    assert (many.pairs(1) != many.pairs(2)).any()
    assert many[:0].pairs(0).shape == (0, 2)
    with pytest.raises(ValueError, match="`seed` must be a non-negative integer"):
        many.pairs(-1)


# Iconify


FACTS = {
    "alpha": {"license": {"spdx": "MIT"}, "palette": False, "category": "UI 24px"},
    "bright": {"license": {"spdx": "MIT"}, "palette": True},
    "copyleft": {"license": {"spdx": "GPL-3.0"}, "palette": False},
    "ei": {"license": {"spdx": "CC-BY-4.0"}, "palette": False},
    "firms": {"license": {"spdx": "MIT"}, "palette": False, "category": "Logos"},
}


@pytest.fixture
def npm(site, drawn, tmp_path):
    """A folder of five sets, two of which are used."""
    site.add("PIL", "pillow").add("resvg_py", "resvg-py")
    alpha = {
        "icons": {
            **{"baseline-bell-outline": {"body": "\nbell"}, "bell-fill": {"body": "\nfilled"}},
            **{"old": {"body": "\nold", "hidden": True}, "cup-10": {"body": "\nsmall cup"}},
            "cup-24-regular": {"body": "\ncup", "width": 30},
        },
        "prefixes": {"baseline": "Baseline"},
        "categories": {"Kitchen": ["cup-24-regular"]},
        "width": 20,
    }
    ei = {"icons": {"sc-bell": {"body": "\nlast bell"}, "sc-cup": {"body": "\nlast cup"}}}
    files = {
        "collections.json": json.dumps(FACTS),
        "package.json": json.dumps({"version": "9.9"}),
        "json/alpha.json": json.dumps(alpha),
        "json/ei.json": json.dumps(ei),
    }
    for name, text in files.items():
        (tmp_path / "npm" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "npm" / name).write_text(text, encoding="utf-8")
    return tmp_path / "npm"


def test_iconify_has_one_drawing_of_each_name_in_free_sets(npm, drawn):
    icons = load_icons(size=4, source="iconify", folder=npm, verbose=False)
    assert rows_of(icons) == {
        *(("alpha", "bell", True), ("alpha", "cup", False)),
        *(("ei", "bell", False), ("ei", "cup", False)),
    }
    assert icons.licenses == {"alpha": "MIT", "ei": "CC-BY-4.0"}
    assert icons.category[(icons.name == "cup") & (icons.set == "alpha")].item() == "Kitchen"
    assert len(icons.pairs(0)) == 2
    assert any('viewBox="0 0 30 16"' in svg for svg in drawn)
    assert any('viewBox="0 0 20 16"' in svg for svg in drawn)


def test_another_version_of_iconify_has_its_own_cache_file(npm, drawn):
    for version, count in (("9.9", 4), ("9.9", 4), ("10", 8)):
        (npm / "package.json").write_text(json.dumps({"version": version}), encoding="utf-8")
        load_icons(size=4, source="iconify", folder=npm, verbose=False)
        assert len(drawn) == count


def test_a_folder_without_iconify_raises_with_the_command_that_installs_it(npm, tmp_path):
    message = r"`folder` must be .* Received: folder='.*nothing'\. Run: npm install .*@iconify/json"
    with pytest.raises(FileNotFoundError, match=message):
        load_icons(source="iconify", folder=tmp_path / "nothing")


def test_an_unknown_source_raises(wheel_site):
    with pytest.raises(ValueError, match=r"`source` must be .* Received: source='npm'"):
        load_icons(source="npm")
