"""Weights of the directions that a trainer compares."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_contrastive._typing import Directions


def modal_directions(
    loss: Any,
    modalities: Sequence[str],
    second_views: Mapping[str, str],
    in_modal_weight: float | Mapping[str, float],
    teacher: bool,
) -> Directions:
    """Returns the weights of the directions that a trainer compares.

    Args:
        loss: A `ContrastiveLoss`. It decides whether directions are symmetric.
        modalities: Names of the modalities.
        second_views: Names of second views by modality.
        in_modal_weight: Weight of the contrast between modalities and their second views.
        teacher: Whether the second views are the candidates of all directions.

    Returns:
        Weights by (view of the anchors, view of the candidates).
    """
    if len(modalities) == 1 and second_views:
        first, second = next(iter(second_views.items()))
        return {(first, second): 1.0} if teacher else loss.directions((first, second))
    weights = _in_modal_weights(second_views, in_modal_weight)
    rest = 1 - sum(weights.values())
    directions = {pair: rest * weight for pair, weight in loss.directions(modalities).items()}
    # Jiang et al. (2023), Eq. 5: anchors are plain views, candidates are augmented views.
    directions |= {(name, second_views[name]): weight for name, weight in weights.items()}
    return {
        (anchor, second_views.get(candidate, candidate) if teacher else candidate): weight
        for (anchor, candidate), weight in directions.items()
        if weight
    }


def _in_modal_weights(
    second_views: Mapping[str, str], weight: float | Mapping[str, float]
) -> dict[str, float]:
    if isinstance(weight, Mapping):
        return {name: weight.get(name, 0.0) for name in second_views}
    return {name: weight / len(second_views) for name in second_views}
