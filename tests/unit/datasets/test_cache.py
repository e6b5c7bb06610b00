"""The cache: one file for each key, complete or absent."""

import numpy as np
import pytest

from keras_contrastive.datasets._cache import cached


@pytest.fixture
def builds():
    """Functions that build arrays, and the list of their calls."""
    calls = []

    def build(value=1):
        def call():
            calls.append(value)
            return {"numbers": np.full(3, value), "names": np.array(["a", "bcd"])}

        return call

    build.calls = calls
    return build


def test_the_arrays_are_built_once(builds, tmp_path):
    first, second = (cached("some", "key", builds(), tmp_path / "new" / "folder") for _ in range(2))
    assert builds.calls == [1]
    for arrays in (first, second):
        assert sorted(arrays) == ["names", "numbers"]
        assert arrays["numbers"].tolist() == [1, 1, 1]
        assert arrays["names"].tolist() == ["a", "bcd"]


def test_each_key_has_its_own_file(builds, tmp_path):
    for _ in range(2):
        for value, key in enumerate(["32 pillow 1.0", "32 pillow 2.0", "16 pillow 1.0"]):
            assert cached("some", key, builds(value), tmp_path)["numbers"][0] == value
    assert builds.calls == [0, 1, 2]
    assert len(list(tmp_path.glob("some-*.npz"))) == 3


def test_the_environment_variable_sets_the_folder(builds, home, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_CONTRASTIVE_HOME", str(tmp_path / "chosen"))
    cached("some", "key", builds(), None)
    assert len(list((tmp_path / "chosen").glob("some-*.npz"))) == 1
    cached("some", "key", builds(), tmp_path / "here")
    assert len(list((tmp_path / "here").glob("some-*.npz"))) == 1
    assert not home.exists()


def test_the_default_folder_is_in_the_home_of_the_user(builds, home):
    cached("some", "key", builds(), None)
    assert len(list((home / ".cache" / "keras_contrastive").glob("some-*.npz"))) == 1


def test_an_interrupted_save_leaves_no_file(builds, tmp_path, monkeypatch):
    def half(path, **arrays):
        path.write_bytes(b"PK half of the file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", half)
        with pytest.raises(KeyboardInterrupt):
            cached("some", "key", builds(), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert cached("some", "key", builds(), tmp_path)["numbers"].tolist() == [1, 1, 1]


def test_a_killed_process_leaves_a_file_that_is_not_read(builds, tmp_path):
    cached("some", "key", builds(), tmp_path)
    (path,) = tmp_path.iterdir()
    # The name while a process writes, and half of the content.
    path.with_suffix(".4711.npz").write_bytes(path.read_bytes()[:50])
    path.unlink()
    assert cached("some", "key", builds(2), tmp_path)["numbers"].tolist() == [2, 2, 2]


def test_a_file_gets_its_name_after_it_is_written(builds, tmp_path, monkeypatch):
    save, complete = np.savez_compressed, []

    def watched(path, **arrays):
        save(path, **arrays)
        complete.append([file.name.count(".") for file in tmp_path.iterdir()])

    monkeypatch.setattr(np, "savez_compressed", watched)
    cached("some", "key", builds(), tmp_path)
    # The unfinished file has the process id in its name.
    assert complete == [[2]]
    assert [file.name.count(".") for file in tmp_path.iterdir()] == [1]
