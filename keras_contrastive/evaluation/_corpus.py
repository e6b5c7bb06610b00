"""A corpus of several modalities: arrays, a data set, or a data set for each modality."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._corpus_rows import checked_ids, ids_by_modality, present_rows
from keras_contrastive.evaluation._data_sets import batches, is_data_set
from keras_contrastive.evaluation._distinct_rows import Digests, Side, joined
from keras_contrastive.evaluation._inputs import checked_integers

# Function of inputs, of one modality or (`None`) of all, that returns embeddings by modality.
Embed: TypeAlias = Callable[[Structure, str | None], Mapping[str, ArrayLike]]
_Ids: TypeAlias = Array | Mapping[str, Array] | None


class Corpus:
    """Inputs of several modalities and the ids of their rows.

    Args:
        x: A dict of arrays, a data set, a dict of data sets or, unless `takes_arrays`, any object.
        ids: Int array `(rows,)`, a dict of them by modality, or `None` for the row numbers or for a
            data set.
        takes_arrays: Whether `x` is arrays or data sets.
        names: The names of `x` and `ids`, for messages.
        fewest: The smallest number of modalities, 1 or 2.
    """

    def __init__(
        self,
        x: Structure,
        ids: Any,
        takes_arrays: bool,
        names: tuple[str, str] = ("x", "ids"),
        fewest: int = 2,
    ) -> None:
        self.x = x
        self.name = names[0]
        self.by_modality = isinstance(x, Mapping) and _holds_data_sets(x, self.name)
        self.is_data_set = self.by_modality or is_data_set(x, self.name)
        self.ids: _Ids = None
        self._digests: dict[str, Digests] = {}
        if self.is_data_set:
            if ids is not None:
                raise ValueError(
                    f"`{names[1]}` must be `None` if `{self.name}` is a data set, whose batches "
                    "`(x, ids)` contain them. Received: both."
                )
            return
        self.ids = checked_ids(x, ids, takes_arrays, names, fewest)
        if isinstance(x, Mapping):
            self._digests = {
                name: Digests(inputs, f"{self.name}[{name!r}]") for name, inputs in x.items()
            }

    def sides(self, embed: Embed, presence_inputs: Mapping[str, str]) -> dict[str, Side]:
        """Returns the rows of each modality.

        Args:
            embed: Function that embeds inputs.
            presence_inputs: Modalities by the names of presence inputs.
        """
        parts: dict[str, list[Side]] = {}
        for modality, x, ids in self._parts():
            embeddings = embed(x, modality)
            by_modality = ids_by_modality(ids, embeddings)
            for name, rows in embeddings.items():
                side = Side(
                    rows,
                    by_modality[name],
                    present_rows(x, name, presence_inputs),
                    self._digests_of(x, modality, name, len(rows)),
                )
                parts.setdefault(name, []).append(side)
        return {name: joined(sides) for name, sides in parts.items()}

    def _parts(self) -> Iterator[tuple[str | None, Structure, _Ids]]:
        """Yields the modality or `None` for all, inputs and ids of each batch."""
        if not self.is_data_set:
            yield None, self.x, self.ids
        elif self.by_modality:
            for modality, data in self.x.items():
                name = f"{self.name}[{modality!r}]"
                for x, ids in batches(data, name):
                    if ids is None:
                        raise ValueError(
                            f"`{name}` must be a data set with batches `(x, ids)`. "
                            "Received: no ids."
                        )
                    yield modality, x, checked_integers(ids, None, (name, f"ids of {name}"))
        else:
            count = 0
            for x, ids in batches(self.x, self.name):
                if ids is None:
                    size = _num_rows(x)
                    ids = np.arange(count, count + size)
                    count += size
                yield None, x, checked_integers(ids, None, (self.name, f"ids of {self.name}"))

    def _digests_of(
        self, x: Structure, modality: str | None, name: str, num_rows: int
    ) -> Callable[[], list[bytes] | None]:
        if not self.is_data_set:
            digests = self._digests.get(name)
            return lambda: None if digests is None else digests(num_rows)
        inputs = x if modality is not None else x.get(name) if isinstance(x, Mapping) else None
        if inputs is None:
            return lambda: None
        # Now, so that the inputs of a batch are not kept.
        found = Digests(inputs, self.name)(num_rows)
        return lambda: found


def _holds_data_sets(x: Mapping[str, Any], name: str) -> bool:
    kinds = {key: is_data_set(inputs, f"{name}[{key!r}]") for key, inputs in x.items()}
    if any(kinds.values()) and not all(kinds.values()):
        arrays = [key for key, is_data in kinds.items() if not is_data]
        raise TypeError(
            f"`{name}` must be arrays or data sets for all modalities. "
            f"Received: data sets, and arrays for {', '.join(map(repr, arrays))}."
        )
    return any(kinds.values())


def _num_rows(x: Structure) -> int:
    return len(keras.tree.flatten(x)[0])
