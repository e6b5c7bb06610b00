"""The examples in the docstrings print the documented results on every backend."""

import doctest
import importlib
import pkgutil

import keras
import numpy as np
import pytest

import keras_contrastive


def examples():
    names = {"keras": keras, "keras_contrastive": keras_contrastive, "np": np}
    for module in pkgutil.walk_packages(keras_contrastive.__path__, "keras_contrastive."):
        module = importlib.import_module(module.name)
        for example in doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names):
            if example.examples:
                marks = []
                if any("keras_hub" in step.source for step in example.examples):
                    marks.append(pytest.mark.towers)
                if ".viz." in example.name:
                    marks.append(pytest.mark.viz)
                if ".fusion." in example.name and any(
                    ".fit(" in s.source for s in example.examples
                ):
                    marks.append(pytest.mark.slow_to_compile)
                yield pytest.param(example, id=example.name, marks=marks)


@pytest.mark.parametrize("example", list(examples()))
def test_example_prints_the_documented_result(example):
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    runner.run(example, out=report.append, clear_globs=False)
    assert not "".join(report)


def test_a_wrong_example_is_found():
    example = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    report = []
    doctest.DocTestRunner().run(example, out=report.append)
    assert "Expected:" in "".join(report)


def test_no_example_is_skipped():
    assert not [
        e.id for e in examples() for step in e.values[0].examples if step.options.get(doctest.SKIP)
    ]
