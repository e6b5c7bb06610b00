"""The page of errors and warnings lists messages that exist."""

import ast
import re

import pytest

from tests.helpers.markdown import ROOT, read

PAGE = ROOT / "docs" / "errors.md"
PACKAGE = ROOT / "keras_contrastive"


def text_of(node):
    """Returns a string expression with `…` in place of its values, or `None`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) else "…" for part in node.values
        )
    return None


def all_texts():
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = text_of(node)
            if text:
                yield re.sub(r"\{\w+\}", "…", text)


TEXTS = list(all_texts())
MESSAGES = re.findall(r"^\| (`+) ?(.+?) ?\1 \|", read(PAGE), flags=re.MULTILINE)


def test_the_page_has_messages():
    assert len(MESSAGES) > 25


@pytest.mark.parametrize("message", [message for _, message in MESSAGES])
def test_each_message_exists(message):
    assert any(message in text for text in TEXTS)


def test_a_message_that_no_code_raises_is_found():
    assert not any("`x` must be a banana" in text for text in TEXTS)
