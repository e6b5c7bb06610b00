"""Links between pages and files of the project, as the site needs them.

Pages are written for code hosts: links lead to `../CONTRIBUTING.md` or `../examples/name.py`. The
site has a page or a file for each of them.
"""

import functools
import pathlib
import posixpath
import re
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
# Files outside of `docs` that have a page.
PAGES_OUTSIDE = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "LICENSE": "project/license.md",
    "README.md": "index.md",
}
LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def replace_targets(text: str, replacement: Callable[[str], str]) -> str:
    """Replaces the relative targets of links outside of code blocks."""
    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    for index in range(0, len(parts), 2):
        parts[index] = LINK.sub(lambda m: m[1] + replacement(m[2]) + m[3], parts[index])
    return "".join(parts)


def in_site(target: str, source: str) -> str:
    """Returns the path in the site of a link target in `source`, a path in the repository."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path in PAGES_OUTSIDE:
        return PAGES_OUTSIDE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}"


def moved(text: str, source: str, page: str) -> str:
    """Rewrites the links of `source`, a path in the repository, for `page`, a path in the site."""
    folder = posixpath.dirname(page)
    return replace_targets(
        text, lambda target: posixpath.relpath(in_site(target, source), folder or ".")
    )


def linked_files() -> set[str]:
    """Returns the files outside of `docs` that pages link to, and that have no page."""
    found: set[str] = set()

    def note(target: str, source: str) -> str:
        path = in_site(target, source)
        if path.startswith("source/"):
            found.add(path.removeprefix("source/"))
        return target

    pages = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    for source in [*pages, *PAGES_OUTSIDE]:
        text = (ROOT / source).read_text(encoding="utf-8")
        replace_targets(text, functools.partial(note, source=source))
    return found


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Replaces a script that would be downloaded by one of the site (an event of mkdocs)."""
    script = posixpath.relpath("assets/worker.js", posixpath.dirname(page.url) or ".")
    return output.replace("https://unpkg.com/iframe-worker/shim", script)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrites the links of each page (an event of mkdocs)."""
    return moved(markdown, f"docs/{page.file.src_uri}", page.file.src_uri)
