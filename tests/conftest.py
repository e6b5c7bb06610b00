"""Fixtures of all tests: each starts with the same seeds, dtype policy and tile shape."""

import collections
import gc
import zlib

import hypothesis
import keras
import numpy as np
import pytest

from keras_contrastive import config
from tests.helpers.backend import forget_compiled, functions_run_eagerly, optimize_no_graphs

hypothesis.settings.register_profile("here", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("here")

ON_TORCH = keras.backend.backend() == "torch"
# Of each so many cases of a function, plain `tox` runs the first, on PyTorch also the third. On JAX
# and TensorFlow, where most of the time is compilation, it runs one of each four functions of a
# file in tests/unit.
ONE_CASE_IN = 5 if ON_TORCH else 17
TAKEN = (0, 2) if ON_TORCH else (0,)
ONE_FUNCTION_IN = 1 if ON_TORCH else 4
# What `full` would add of these is left to `release` on JAX and TensorFlow.
EXPERIMENTAL = "tests/unit/fusion/", "tests/saving/test_fusion.py"
EXTRAS = "conformance", "drawings", "emoji_art", "towers", "viz"
UNSAMPLED = "every_case", "full", "drawings", *(EXTRAS if ON_TORCH else ())


def pytest_addoption(parser):
    parser.addoption(
        "--traced",
        action="store_true",
        help="trace the functions of all tests on TensorFlow, and optimize their graphs",
    )


def pytest_collection_finish():
    """Exempts what is imported from later garbage collections, which would visit all of it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Adds marks: `extra` to tests that need an extra, `full` and `release` to slow ones."""
    for item in items:
        if any(item.get_closest_marker(mark) for mark in EXTRAS):
            item.add_marker(pytest.mark.extra)
    functions, slow = collections.defaultdict(list), collections.defaultdict(list)
    for item in items:
        is_slow = not ON_TORCH and item.get_closest_marker("slow_to_compile")
        if is_slow or not any(map(item.get_closest_marker, UNSAMPLED)):
            (slow if is_slow else functions)[item.nodeid.partition("[")[0]].append(item)
    for name, cases in functions.items():
        _sample_cases(name, cases)
    for name, cases in slow.items():
        _sample_cases(name, cases, is_slow=True)
    files = collections.defaultdict(list)
    for name in functions:
        files[name.partition("::")[0]].append(name)
    for file, names in files.items():
        if file.startswith("tests/unit/"):
            _sample_functions(file, [functions[name] for name in names])
    for item in items:
        is_experimental = item.nodeid.startswith(EXPERIMENTAL)
        if not ON_TORCH and is_experimental and item.get_closest_marker("full"):
            item.add_marker(pytest.mark.release)


def _sample_cases(name, cases, is_slow=False):
    first = _first(name, ONE_CASE_IN, len(cases))
    for number, case in enumerate(cases):
        place = (number - first) % ONE_CASE_IN
        if is_slow or place not in TAKEN:
            in_full = ON_TORCH or place in (*TAKEN, ONE_CASE_IN // 3, 2 * ONE_CASE_IN // 3)
            case.add_marker(pytest.mark.full if in_full else pytest.mark.release)


def _sample_functions(file, functions):
    first = _first(file, ONE_FUNCTION_IN, len(functions))
    for number, cases in enumerate(functions):
        if (number - first) % ONE_FUNCTION_IN:
            for case in cases:
                case.add_marker(pytest.mark.full)


def _first(name, step, count):
    """The place of the first one that runs. It depends on the name: not all tests take the same."""
    return zlib.crc32(name.encode()) % min(step, count)


@pytest.fixture(autouse=True)
def _same_start():
    # A garbage collection would take longer than most tests.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")
    config.set_tile_shape(None)


@pytest.fixture(autouse=True, scope="session")
def _eager(pytestconfig):
    """TensorFlow traces no training steps, which takes seconds, except for tests of that."""
    traced = pytestconfig.getoption("--traced")
    if not traced:
        optimize_no_graphs()
    with functions_run_eagerly(not traced):
        yield


@pytest.fixture(autouse=True)
def _traced(request):
    if request.node.get_closest_marker("traced") is None:
        yield
        return
    with functions_run_eagerly(False):
        yield


@pytest.fixture(autouse=True, scope="module")
def _small_memory():
    yield
    forget_compiled()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def tile_shape():
    """A function that sets the tile shape, `(rows, columns)` or `None`, until the test ends."""
    return config.set_tile_shape


@pytest.fixture
def tiles(request):
    """Sets the tile shape that an indirect parameter gives, `(rows, columns)` or `None`."""
    config.set_tile_shape(getattr(request, "param", None))
    return config.get_tile_shape()
