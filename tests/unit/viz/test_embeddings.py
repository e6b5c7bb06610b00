"""Maps of embeddings: coordinates, colors, legends and thumbnails."""

import sys
import types

import numpy as np
import pytest

from keras_contrastive import viz
from keras_contrastive.viz._style import OTHERS
from tests.unit.viz.figures import embeddings, images

pytestmark = pytest.mark.viz


def points(figure):
    return np.concatenate([part.get_offsets() for part in figure.axes[0].collections])


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def color(part):
    from matplotlib.colors import to_hex

    return to_hex(part.get_facecolor()[0])


def test_coordinates_are_the_principal_components():
    x = embeddings() + 100.0
    values, vectors = np.linalg.eigh(np.cov(x.T))
    expected = (x - x.mean(axis=0)) @ vectors[:, ::-1][:, :2]
    figure = viz.embeddings(x)
    np.testing.assert_allclose(np.abs(points(figure)), np.abs(expected), atol=1e-6)
    shares = values[::-1] / values.sum()
    assert f"({shares[0]:.0%} of variance)" in figure.axes[0].get_xlabel()
    assert f"({shares[1]:.0%} of variance)" in figure.axes[0].get_ylabel()
    np.testing.assert_array_equal(points(figure), points(viz.embeddings(x)))


def test_labels_choose_colors_and_the_legend_lists_them_in_order():
    labels = np.resize([10, 2, 1], 40)
    figure = viz.embeddings(embeddings(), labels)
    assert legend(figure) == ["1", "2", "10"]
    parts = figure.axes[0].collections
    assert len({color(part) for part in parts}) == 3
    assert [len(part.get_offsets()) for part in parts] == [(labels == n).sum() for n in (1, 2, 10)]
    assert legend(viz.embeddings(embeddings(), ["b", "a"] * 20)) == ["a", "b"]


def test_rare_labels_are_one_gray_group():
    labels = [f"class {i % 24:02}" for i in range(78)] + ["rare 1", "rare 2"]
    figure = viz.embeddings(embeddings(80), labels)
    assert legend(figure)[-1] == "2 others"
    assert len(legend(figure)) == 25
    *parts, rest = figure.axes[0].collections
    assert color(rest) == OTHERS
    looks = {(color(part), part.get_paths()[0].vertices.tobytes()) for part in parts}
    assert len(looks) == 24


def test_dict_of_modalities_has_a_color_each_in_one_map():
    x = embeddings()
    figure = viz.embeddings({"image": x[:25], "text": x[25:]})
    assert legend(figure) == ["image", "text"]
    np.testing.assert_allclose(points(figure), points(viz.embeddings(x)))


def test_images_are_drawn_unless_they_would_overlap():
    x = np.array([[0.0, 0], [0, 1e-9], [10, 0], [0, 10]])
    pictures = images(4)
    figure = viz.embeddings(x, images=pictures)
    drawn = [box.offsetbox.get_data() for box in figure.axes[0].artists]
    assert len(drawn) == 3
    for found, row in zip(drawn, (0, 2, 3), strict=True):
        np.testing.assert_array_equal(found, pictures[row])
    assert len(points(figure)) == 4


def test_equal_rows_and_one_dimension_are_drawn():
    assert np.isfinite(points(viz.embeddings(np.ones((5, 3))))).all()
    assert np.isfinite(points(viz.embeddings(np.arange(5.0)[:, None]))).all()


def test_umap_gets_cosine_distances_and_the_seed(monkeypatch):
    seen = {}

    class UMAP:
        def __init__(self, **options):
            seen.update(options)

        def fit_transform(self, rows):
            return rows[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    figure = viz.embeddings(embeddings(10), method="umap", seed=3)
    assert seen == {"n_neighbors": 9, "metric": "cosine", "random_state": 3, "n_jobs": 1}
    assert figure.axes[0].get_xlabel() == "UMAP 1"
    np.testing.assert_allclose(points(figure), embeddings(10)[:, :2])


def test_umap_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"`umap` must be installed.*pip install \"\.\[umap\]\""):
        viz.embeddings(embeddings(), method="umap")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones(4)}, "with at least two rows"),
        ({"x": np.ones((1, 4))}, "with at least two rows"),
        ({"x": np.array([[1.0, np.nan], [1, 2]])}, "`x` must be finite. Received: 1 rows"),
        ({"labels": ["a"]}, "one label for each embedding"),
        ({"images": images(3)}, "one image for each embedding"),
        ({"method": "tsne"}, "`method` must be"),
        ({"x": {"a": np.ones((3, 2)), "b": np.ones((3, 3))}}, "the same size for each name"),
        ({"x": {"a": np.ones((3, 2))}, "labels": [1, 2, 3]}, "`labels` must be `None`"),
    ],
)
def test_wrong_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        viz.embeddings(**{"x": embeddings(), **arguments})


def test_labels_may_have_a_column_axis():
    labels = np.arange(12).reshape(-1, 1) % 3
    figure = viz.embeddings(np.random.default_rng(0).normal(size=(12, 3)), labels)
    assert legend(figure) == ["0", "1", "2"]
