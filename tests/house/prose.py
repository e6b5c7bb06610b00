"""Prints phrases in the package that the house style bans, and exits with 1 if there are any.

python tests/house/prose.py
"""

import ast
import pathlib
import re
import sys
import tokenize

PACKAGE = pathlib.Path(__file__).parents[2] / "keras_contrastive"
# In docstrings, comments and messages.
BANNED = {
    r"\(P\d+-\d+": "cite the paper and its equation instead of an internal label",
    r"\bnobody\b": 'say "never a positive" or name what is missing',
    r"\bwhat is no\b": 'say "not a"',
    r"\btold\b": "software is not a person: say passed, given or reported",
    r"\bis asked\b|\basks\b": "software is not a person: say requested or requires",
    r"\b(knows|remembers|remembered|hears|forgets|learnt)\b": "software is not a person",
    r"\bthis room\b": "say subpackage",
    r"\bwhere nobody\b|\bwho\b(?! (use|uses|want|wants|write|writes))": "software is not a person",
    r"\b(costs|weighs) nothing\b": 'say "contributes zero"',
}
# At the start of a docstring.
BANNED_START = {
    r"(What|Where|Which|How|When)\b": "begin with a verb or with a noun",
    r"(Refuse|Refuses)\b": 'say "Raises"',
}


def texts(source):
    """Yields `(line, text, is_docstring)` of each docstring, other string and comment."""
    tree = ast.parse(source)
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(first.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value, node in docstrings
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def violations(source):
    """Returns `(line, phrase, advice)` of each banned phrase."""
    found = []
    for line, text, is_docstring in texts(source):
        for pattern, advice in BANNED.items():
            for match in re.finditer(pattern, text, re.IGNORECASE):
                found.append((line + text[: match.start()].count("\n"), match[0], advice))
        if is_docstring:
            for pattern, advice in BANNED_START.items():
                if match := re.match(pattern, text):
                    found.append((line, match[0], advice))
    return sorted(found)


def main():
    count = 0
    for path in sorted(PACKAGE.rglob("*.py")):
        for line, phrase, advice in violations(path.read_text(encoding="utf-8")):
            count += 1
            print(f"{path.relative_to(PACKAGE.parent)}:{line}: {phrase!r}: {advice}")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
