"""Row sums over logits. Only this subpackage holds logits."""

from keras_contrastive._engine.candidate_sampling import expected_candidates, largest_negatives
from keras_contrastive._engine.contrast import EMPTY, NOBODY, UNKNOWN, Candidates, Contrast
from keras_contrastive._engine.grams import squared_differences
from keras_contrastive._engine.groups import groups_by_id, sum_over_group
from keras_contrastive._engine.normalize import normalize
from keras_contrastive._engine.potentials import log_gaussian_potential
from keras_contrastive._engine.ranks import (
    has_positive,
    nearest_candidates,
    nearest_positive,
    positive_ranks,
)
from keras_contrastive._engine.views import as_views, check_ids

__all__ = [
    "as_views",
    "Candidates",
    "check_ids",
    "Contrast",
    "EMPTY",
    "expected_candidates",
    "groups_by_id",
    "has_positive",
    "largest_negatives",
    "log_gaussian_potential",
    "nearest_candidates",
    "nearest_positive",
    "NOBODY",
    "normalize",
    "positive_ranks",
    "squared_differences",
    "sum_over_group",
    "UNKNOWN",
]


def __dir__() -> list[str]:
    return __all__
