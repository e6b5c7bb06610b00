"""Files of TensorBoard's embedding projector."""

import numpy as np
import pytest

from keras_contrastive import viz
from tests.unit.viz.figures import embeddings, images

pytestmark = pytest.mark.viz


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def read(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def test_tensors_and_labels_have_a_line_for_each_row(tmp_path):
    x, labels = embeddings(5).astype("float32"), ["a", "b\tc", "", "六\nline", 7]
    folder = viz.projector(tmp_path / "new" / "logs", x, labels)
    np.testing.assert_array_equal(np.loadtxt(folder / "tensors.tsv", dtype="float32"), x)
    assert lines(folder / "metadata.tsv") == ["a", "b c", "-", "六 line", "7"]
    assert lines(folder / "projector_config.pbtxt") == [
        "embeddings {",
        '  tensor_name: "embeddings"',
        '  tensor_path: "tensors.tsv"',
        '  metadata_path: "metadata.tsv"',
        "}",
    ]


def test_several_columns_have_a_header_and_a_single_one_has_none(tmp_path):
    columns = {"digit": np.arange(3), "name": ["zero", "one", "two"]}
    folder = viz.projector(tmp_path, np.eye(3), columns)
    assert lines(folder / "metadata.tsv") == ["digit\tname", "0\tzero", "1\tone", "2\ttwo"]
    folder = viz.projector(tmp_path, np.eye(3), {"digit": np.arange(3)})
    assert lines(folder / "metadata.tsv") == ["0", "1", "2"]


def test_sprite_is_a_square_grid_of_the_images_in_order(tmp_path):
    pictures = images(5, (8, 8, 3))
    folder = viz.projector(tmp_path, np.eye(5), images=pictures, name='a "name"')
    sprite = read(folder / "sprite.png")
    assert sprite.shape == (24, 24, 3)  # a grid of 3 by 3
    for row, picture in enumerate(pictures):
        y, x = 8 * (row // 3), 8 * (row % 3)
        np.testing.assert_array_equal(sprite[y : y + 8, x : x + 8], picture)
    assert (sprite[16:, 16:] == 255).all()
    config = lines(folder / "projector_config.pbtxt")
    assert config[1] == '  tensor_name: "a \\"name\\""'
    assert config[3] == (
        '  sprite { image_path: "sprite.png" single_image_dim: 8 single_image_dim: 8 }'
    )
    assert not (folder / "metadata.tsv").exists()


def test_large_and_wide_images_are_scaled(tmp_path):
    folder = viz.projector(tmp_path, np.eye(2), images=[np.zeros((100, 200)), np.zeros((300, 30))])
    assert read(folder / "sprite.png").shape == (128, 128, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.ones(3)}, "`x` must be embeddings"),
        ({"labels": ["a"]}, "`labels` must have one label for each embedding"),
        ({"labels": {"a": [1, 2, 3], "b": [1]}}, r"`labels\['b'\]` must have one label"),
        ({"images": images(2)}, "`images` must have one image for each embedding"),
    ],
)
def test_wrong_arguments_raise_before_a_file_is_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        viz.projector(tmp_path / "new", **{"x": np.eye(3), **arguments})
    assert not (tmp_path / "new").exists()


def test_labels_may_have_a_column_axis(tmp_path):
    labels = np.array([[3], [1]])
    folder = viz.projector(tmp_path, np.eye(2), labels)
    assert (folder / "metadata.tsv").read_text().split() == ["3", "1"]
