"""The readme of the package index page: relative links lead to the project's address.

The address is in `pyproject.toml`, `[project.urls]`, and nowhere else.
"""

import pathlib
import re
import tomllib

from hatchling.metadata.plugin.interface import MetadataHookInterface


def with_addresses(text: str, source: str) -> str:
    """Returns Markdown whose relative links lead to files of the repository at `source`."""
    image = r"(!\[[^\]]*\]\()(?!https?:)"
    text = re.sub(image, rf"\g<1>{source}/raw/HEAD/", text)
    # The text of a link may be an image.
    link = r"(?<!!)(\[(?:[^\[\]]|\[[^\]]*\])*\]\()(?!https?:|#)"
    return re.sub(link, rf"\g<1>{source}/blob/HEAD/", text)


class Readme(MetadataHookInterface):
    """Sets the readme of the built distributions."""

    def update(self, metadata: dict) -> None:
        root = pathlib.Path(self.root)
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        text = (root / "README.md").read_text(encoding="utf-8")
        text = with_addresses(text, project["urls"]["Source"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
