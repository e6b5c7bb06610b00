"""Loss modules of other libraries, without the parts that need packages that are not installed.

torchvision of PyPI does not load beside PyTorch for CPUs, and packages for TensorFlow that are no
longer developed do not load beside Keras 3. The modules of the losses need neither.
"""

import importlib
import importlib.util
import pathlib
import sys
import types
import typing

# Packages whose `__init__` fails.
SKIPPED = (
    *("keras_cv", "keras_cv.src", "keras_cv.src.losses"),
    *("lightly.loss", "lightly.models", "lightly.models.modules"),
    "open_clip",
    *("tensorflow_addons", "tensorflow_addons.losses", "tensorflow_addons.utils"),
    *("tensorflow_similarity", "tensorflow_similarity.losses"),
)
# Modules that fail, of which the losses use names of types at most.
NOT_RUN = ("lightly.models.utils", "tensorflow_addons.utils.types")


def module(name):
    """Returns a module. Does not run the `__init__` of the packages that it is in, if `SKIPPED`."""
    root = name.partition(".")[0]
    for package in SKIPPED:
        if package.partition(".")[0] == root and package not in sys.modules:
            sys.modules[package] = _empty_package(package)
    for unused in NOT_RUN:
        stub = types.ModuleType(unused)
        stub.__getattr__ = lambda name: typing.Any
        sys.modules.setdefault(unused, stub)
    return importlib.import_module(name)


def _empty_package(name):
    root, *inner = name.split(".")
    spec = sys.modules[root].__spec__ if root in sys.modules else importlib.util.find_spec(root)
    package = types.ModuleType(name)
    package.__spec__ = spec
    package.__path__ = [str(pathlib.Path(spec.origin).parent.joinpath(*inner))]
    return package
