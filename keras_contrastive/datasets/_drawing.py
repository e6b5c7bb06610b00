"""Images of vector drawings and of characters in fonts. Ink is 255, the ground is 0."""

import functools
import io
import pathlib
from typing import Any

import numpy as np

from keras_contrastive._typing import Array


def draw_svg(svg: str, size: int) -> Array:
    """Draws an SVG into `(size, size)` uint8. Colors are ignored, only opacity counts."""
    import resvg_py
    from PIL import Image

    svg = svg.replace("currentColor", "#000")
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    ink = Image.open(io.BytesIO(bytes(png))).convert("RGBA").getchannel("A")
    square = Image.new("L", (size, size))
    square.paste(ink, ((size - ink.width) // 2, (size - ink.height) // 2))
    return np.asarray(square)


def draw_glyph(font: pathlib.Path, character: str, size: int) -> Array:
    """Draws an icon of a font into `(size, size)` uint8, centered. Reduces it if it is larger."""
    from PIL import Image

    canvas = _text(font, character, size, 4 * size)
    left, top, right, bottom = canvas.getbbox() or (0, 0, 1, 1)
    side = max(right - left, bottom - top, size)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    square = canvas.crop((x, y, x + side, y + side))
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


def draw_character(font: pathlib.Path, character: str, size: int) -> Array:
    """Draws a character into `(size, size)` uint8, at its place in the em square."""
    # A narrow margin holds strokes that reach out of the em square.
    return np.asarray(_text(font, character, round(0.92 * size), size))


def _text(font: pathlib.Path, character: str, font_size: int, side: int) -> Any:
    from PIL import Image, ImageDraw

    canvas = Image.new("L", (side, side))
    middle = (side / 2, side / 2)
    ImageDraw.Draw(canvas).text(middle, character, 255, _font(font, font_size), anchor="mm")
    return canvas


@functools.lru_cache(maxsize=8)
def _font(path: pathlib.Path, size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(path), max(1, size))
