"""Few-shot evaluation: a few labeled rows of each class, drawn several times."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array


@dataclasses.dataclass(frozen=True)
class FewShot:
    """Draws of a few labeled rows of each class.

    Args:
        labels: Int array `(rows,)`.
        shots: `None` for all rows at once, or a positive integer or several. How many rows of each
            class are drawn.
        draws: Positive integer, the number of draws. Draw `i` is the same for equal labels and
            seed.
        seed: Non-negative integer, the seed of the draws.
    """

    labels: Array
    shots: int | Sequence[int] | None
    draws: int
    seed: int

    def __post_init__(self) -> None:
        _checks.positive_int("draws", self.draws)
        _checks.non_negative_int("seed", self.seed)
        sizes = [len(rows) for rows in self._by_class()]
        if self.shots is not None and not self.counts:
            raise ValueError(
                "`shots` must be `None`, a positive integer or several. "
                f"Received: shots={self.shots!r}."
            )
        for count in self.counts:
            if not _checks.is_integer(count):
                raise TypeError(
                    "`shots` must be `None`, a positive integer or several. "
                    f"Received: shots={self.shots!r}."
                )
            if not 1 <= count <= min(sizes):
                label = np.unique(self.labels)[np.argmin(sizes)]
                raise ValueError(
                    f"`shots` must be in [1, {min(sizes)}]. Received: shots={count}. "
                    f"Class {label} has only {min(sizes)} rows."
                )

    def measures(
        self, names: Iterable[str], evaluate: Callable[[Array | None], dict[str, float]] | None
    ) -> dict[str, float]:
        """Computes measures of all rows, or means and standard errors over the draws.

        Args:
            names: Names of the measures.
            evaluate: Function from row numbers (`None` for all rows) to measures by name. `None`
                if the measures cannot be computed: all results are NaN.

        Returns:
            A dict with the names. With `shots`, they start with `{shots}_shot_`, and for several
            draws, there is a `{shots}_shot_{name}_error`, the standard error.
        """
        if self.shots is None:
            return dict.fromkeys(names, math.nan) if evaluate is None else evaluate(None)
        results = {}
        for count in [int(count) for count in self.counts]:
            runs = []
            if evaluate is not None:
                runs = [evaluate(self._rows(count, draw)) for draw in range(self.draws)]
            for name in names:
                values = np.array([run[name] for run in runs] or [math.nan] * self.draws)
                results[f"{count}_shot_{name}"] = float(values.mean())
                if self.draws > 1:
                    error = float(values.std(ddof=1) / math.sqrt(self.draws))
                    results[f"{count}_shot_{name}_error"] = error
        return results

    @property
    def counts(self) -> list[Any]:
        """The numbers of rows of each class, for each of which rows are drawn."""
        if isinstance(self.shots, np.ndarray):
            return list(self.shots.reshape(-1))
        if isinstance(self.shots, Iterable) and not isinstance(self.shots, str):
            return list(self.shots)
        return [] if self.shots is None else [self.shots]

    def _by_class(self) -> list[Array]:
        return [np.flatnonzero(self.labels == label) for label in np.unique(self.labels)]

    def _rows(self, count: int, draw: int) -> Array:
        rng = np.random.default_rng([self.seed, count, draw])
        return np.concatenate([rng.choice(rows, count, replace=False) for rows in self._by_class()])
