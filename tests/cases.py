"""One row for each public loss: how it is made, and what it must equal. `test_api` fails until a new loss has one."""

import dataclasses
from collections.abc import Callable

from keras_contrastive import losses
from tests.reference import losses as reference


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, the reference of its value, and that of the function whose gradient it follows."""

    make: Callable
    value: Callable
    objective: Callable


def _jackknifed_infonce(views, ids, temperature, symmetric=True):
    return reference.jackknifed(views, ids, temperature, symmetric, include_positive=True)


LOSSES = {
    "InfoNCE": Case(losses.InfoNCE, reference.info_nce, reference.info_nce),
    "GammaContrastive": Case(losses.GammaContrastive, reference.decoupled, reference.jackknifed),
    "GammaContrastive, positive included": Case(
        lambda **kwargs: losses.GammaContrastive(include_positive=True, **kwargs),
        reference.info_nce,
        _jackknifed_infonce,
    ),
}
