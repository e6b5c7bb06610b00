"""Cases of each public loss: a factory and references. `test_api` fails until a loss has one."""

import dataclasses
import functools
from collections.abc import Callable

from keras_contrastive import losses
from tests.reference import batch_statistics
from tests.reference import losses as reference


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss, the reference of its value, and the reference of the function that it differentiates.

    `make` takes the arguments that all losses share; `directed` tells whether `symmetric` is one of
    them, and `stored` whether a queue is.
    """

    make: Callable
    value: Callable
    objective: Callable
    directed: bool = True
    stored: bool = True
    monotone: bool = True  # whether a closer positive costs less, all else being equal
    tempered: bool = True  # whether the loss has a temperature
    smooth: bool = True  # whether all candidates count, without ties that rounding decides
    weighted: bool = False  # whether weights of the views have no gradient
    separable: bool = True  # whether the loss of an anchor depends on its own candidates only

    def objective_near(self, views):
        """Returns the function whose gradient at these views is that of the loss."""
        if not self.weighted:
            return self.objective
        return functools.partial(self.objective, weights_of=views)


def _case(make, value, objective=None, **kwargs):
    return Case(make, value, objective or value, **kwargs)


_across = {"all_views": False}
_jackknifed_infonce = functools.partial(reference.jackknifed, include_positive=True)
_decoupled_of_all_views = functools.partial(reference.decoupled, all_views=True)


def _triplet(margin, mining):
    return _case(
        lambda temperature=None, **kwargs: losses.Triplet(margin, mining, **kwargs),
        functools.partial(reference.triplet, margin=margin, mining=mining),
        monotone=False,
        tempered=False,
        smooth=False,
        separable=mining != "all",
    )


def _matryoshka(name=None, **kwargs):
    return losses.Matryoshka(losses.InfoNCE(**kwargs), (3, 2), (3.0, 1.0), name=name)


# One case for each loss.
LOSSES = {
    "InfoNCE": _case(losses.InfoNCE, reference.info_nce),
    "NTXent": _case(losses.NTXent, reference.nt_xent),
    "SupCon": _case(
        lambda symmetric=True, **kwargs: losses.SupCon(**kwargs),
        reference.sup_con,
        directed=False,
        monotone=False,
    ),
    "SigmoidContrastive": _case(losses.SigmoidContrastive, reference.sigmoid),
    "DecoupledContrastive": _case(losses.DecoupledContrastive, _decoupled_of_all_views),
    "GammaContrastive": _case(losses.GammaContrastive, reference.decoupled, reference.jackknifed),
    "MultiSimilarity": _case(
        lambda temperature=None, **kwargs: losses.MultiSimilarity(beta=10.0, **kwargs),
        functools.partial(reference.multi_similarity, beta=10.0),
        tempered=False,
    ),
    "Circle": _case(
        lambda temperature=None, **kwargs: losses.Circle(gamma=10.0, **kwargs),
        functools.partial(reference.circle, gamma=10.0),
        tempered=False,
        weighted=True,
    ),
    "Triplet": _triplet(0.7, "all"),
    "Matryoshka": _case(
        _matryoshka,
        functools.partial(reference.matryoshka, loss=reference.info_nce, weights={3: 3, 2: 1}),
        stored=False,
    ),
}
# One case for each option that changes the value or the gradient.
VARIANTS = {
    "InfoNCE, jackknife": _case(
        functools.partial(losses.InfoNCE, bias_correction="jackknife"),
        reference.info_nce,
        _jackknifed_infonce,
    ),
    "NTXent, jackknife": _case(
        functools.partial(losses.NTXent, bias_correction="jackknife"),
        reference.nt_xent,
        functools.partial(_jackknifed_infonce, all_views=True),
    ),
    "DecoupledContrastive, across": _case(
        functools.partial(losses.DecoupledContrastive, **_across), reference.decoupled
    ),
    "DecoupledContrastive, weighted": _case(
        functools.partial(losses.DecoupledContrastive, weight_sigma=0.5),
        functools.partial(_decoupled_of_all_views, sigma=0.5),
        monotone=False,
    ),
    "DecoupledContrastive, jackknife": _case(
        functools.partial(losses.DecoupledContrastive, bias_correction="jackknife", **_across),
        reference.decoupled,
        reference.jackknifed,
    ),
    "GammaContrastive, positive included": _case(
        functools.partial(losses.GammaContrastive, include_positive=True),
        reference.info_nce,
        _jackknifed_infonce,
    ),
    "GammaContrastive, all views": _case(
        functools.partial(losses.GammaContrastive, all_views=True),
        _decoupled_of_all_views,
        functools.partial(reference.jackknifed, all_views=True),
    ),
}
EVERY = LOSSES | VARIANTS
# Other choices of triplets, whose ties are decided exactly. Unit tests cover the rest.
MINED = {
    "Triplet, semi-hard": _triplet(1.0, "semi_hard"),
    "Triplet, hard": _triplet(1.0, "hard"),
}
STORED = [name for name, case in EVERY.items() if case.stored]
# Losses that always need state. They have tests of their own.
REMEMBERING = {"GlobalContrastive": losses.GlobalContrastive}
# Losses that compare rows with class vectors. They have tests of their own.
PROXIES = {
    "ArcFace": losses.ArcFace,
    "CosFace": losses.CosFace,
    "NormalizedSoftmax": losses.NormalizedSoftmax,
}
# Losses without negatives, with the reference of one value per row. `test_no_negatives` tests them.
WITHOUT_NEGATIVES = {
    "BarlowTwins": (losses.BarlowTwins, batch_statistics.barlow_twins),
    "VICReg": (losses.VICReg, batch_statistics.vicreg),
    "NegativeCosine": (losses.NegativeCosine, batch_statistics.negative_cosine),
}
