"""Checks that a built site is complete and needs no network: `check_site.py out/site`.

Prints links that lead nowhere, and styles, scripts and images that would be downloaded.
"""

import html.parser
import pathlib
import sys
import urllib.parse

LOADED = {("script", "src"), ("img", "src"), ("link", "href")}


class Page(html.parser.HTMLParser):
    """The anchors of a page, its links, and the files that it loads."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        if values.get("rel") not in ("canonical", "prev", "next"):
            self.loaded |= {values[name] for of, name in LOADED if of == tag and name in values}


def problems(site: pathlib.Path) -> list[str]:
    # A server shows 404.html for any address, so its links begin at the root.
    files = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]
    pages = {path.resolve(): Page(path) for path in files}
    found = [f"{site} has no pages"] if not pages else []
    for path, page in pages.items():
        where = path.relative_to(site.resolve())
        for target in sorted(page.links | page.loaded):
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                if target in page.loaded and parts.scheme != "data":
                    found.append(f"{where} loads {target}")
                continue
            linked = (
                (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            )
            if not linked.is_file():
                found.append(f"{where} links to {target}, which does not exist")
            elif parts.fragment and linked in pages and parts.fragment not in pages[linked].anchors:
                found.append(f"{where} links to {target}, a missing anchor")
    return found


if __name__ == "__main__":
    lines = problems(pathlib.Path(sys.argv[1]))
    print(*lines, sep="\n")
    sys.exit(int(bool(lines)))
