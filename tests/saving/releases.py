"""Folders of models that a release saved on each backend. Every later release must load them."""

import pathlib

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
RELEASES = sorted(
    (folder.name for folder in FIXTURES.iterdir()),
    key=lambda name: [int(part) for part in name.split(".")],
)
BACKENDS = "tensorflow", "jax", "torch"
SAVED = [f"{release}-{backend}" for release in RELEASES for backend in BACKENDS]


def folder_of(release, kind):
    return FIXTURES / release / kind


def saved_file(saved, kind, name):
    """Returns the path of a file.

    Args:
        saved: One of `SAVED`.
        kind: `"trainer"` or `"fusion"`.
        name: Name of the file, with `{}` for the backend.
    """
    release, _, backend = saved.rpartition("-")
    return folder_of(release, kind) / name.format(backend)
