"""Adds generated pages to the site: the API reference, and the pages outside of `docs`."""

import pathlib
import sys

import mkdocs_gen_files

TOOLS = pathlib.Path(__file__).parent
sys.path.insert(0, str(TOOLS))

import api_pages  # noqa: E402
import links  # noqa: E402


def write(path: str, text: str) -> None:
    with mkdocs_gen_files.open(path, "w") as file:
        file.write(text)


for name, text in api_pages.pages().items():
    write(f"api/{name}", text)

for source, page in links.PAGES_OUTSIDE.items():
    text = (links.ROOT / source).read_text(encoding="utf-8")
    if source == "LICENSE":
        text = f"# License\n\n```text\n{text}```\n"
    write(page, links.moved(text, source, page))

for source in links.linked_files():
    with mkdocs_gen_files.open(f"source/{source}", "wb") as file:
        file.write((links.ROOT / source).read_bytes())
