"""Draws `docs/get_started/concepts.svg`, the path of a batch through a training step.

python docs/tools/concepts_figure.py
"""

import pathlib

FILE = pathlib.Path(__file__).parents[1] / "get_started" / "concepts.svg"
WIDTH, HEIGHT = 720, 325
BLUE, ORANGE, GRAY, TEXT = "#0072b2", "#d55e00", "#666666", "#222222"
COLUMNS = [10, 130, 290, 440, 580]
ROWS = {"image": 60, "text": 150}


def box(x: int, y: int, width: int, title: str, note: str, color: str) -> str:
    middle = x + width / 2
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="58" rx="8" fill="white" stroke="{color}"'
        ' stroke-width="2"/>'
        f'<text x="{middle}" y="{y + 25}" class="title">{title}</text>'
        f'<text x="{middle}" y="{y + 44}" class="note">{note}</text>'
    )


def arrow(x: float, y: float, to_x: float, to_y: float, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    line = f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="{GRAY}" stroke-width="1.5"'
    return f'{line} marker-end="url(#head)"{dash}/>'


def tower(name: str, y: int, color: str) -> list[str]:
    parts = [
        box(COLUMNS[0], y, 90, name, "(batch, ...)", color),
        box(COLUMNS[1], y, 120, "encoder", "features", color),
        box(COLUMNS[2], y, 120, "projector", "optional", color),
        box(COLUMNS[3], y, 110, "embedding", "(batch, dim)", color),
    ]
    ends = [(100, 130), (250, 290), (410, 440)]
    return parts + [arrow(start, y + 29, end - 3, y + 29) for start, end in ends]


def figure() -> str:
    style = (
        "text{font-family:Helvetica,Arial,sans-serif;text-anchor:middle;fill:" + TEXT + "}"
        ".title{font-size:15px;font-weight:bold}.note{font-size:12px;fill:" + GRAY + "}"
        ".head{font-size:15px;font-weight:bold;text-anchor:start}.left{text-anchor:start}"
    )
    bottom = 290
    parts = [
        '<text x="10" y="30" class="head">A row of the batch is one item. Each tower embeds one'
        " modality.</text>",
        *tower("image", ROWS["image"], BLUE),
        *tower("text", ROWS["text"], ORANGE),
        box(COLUMNS[4], 105, 130, "loss", "all rows, both ways", TEXT),
        arrow(550, ROWS["image"] + 29, 590, 105 - 3),
        arrow(550, ROWS["text"] + 29, 590, 163 + 3),
        arrow(190, ROWS["text"] + 58, 190, bottom - 38, dashed=True),
        arrow(495, ROWS["text"] + 58, 495, bottom - 38, dashed=True),
        f'<text x="190" y="{bottom - 18}" class="title">representation</text>',
        f'<text x="190" y="{bottom}" class="note">embedder(name, projected=False)</text>',
        f'<text x="190" y="{bottom + 18}" class="note">for classifiers and probes</text>',
        f'<text x="495" y="{bottom - 18}" class="title">embedding</text>',
        f'<text x="495" y="{bottom}" class="note">predict(x), embedder(name)</text>',
        f'<text x="495" y="{bottom + 18}" class="note">for search and zero-shot</text>',
    ]
    marker = (
        '<marker id="head" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
        f'<path d="M0,0 L7,3 L0,6 z" fill="{GRAY}"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">'
        f"<defs><style>{style}</style>{marker}</defs>"
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    FILE.write_text(figure(), encoding="utf-8")
