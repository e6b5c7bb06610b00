"""Icons: drawings of one thing by several artists."""

import dataclasses

import numpy as np

from keras_contrastive import _checks
from keras_contrastive._typing import Array
from keras_contrastive.datasets._rows import Rows


@dataclasses.dataclass(frozen=True)
class Icons(Rows):
    """Arrays with one entry for each drawing. `load_icons` returns it.

    A concept is a name, such as "arrow left". Several sets draw it, each in its own way.
    `len(icons)` is the number of drawings, and `icons[rows]` selects rows by a slice, a boolean
    mask or indices.

    Attributes:
        images: `(items, size, size)` uint8. Ink is 255.
        name: `(items,)`, the thing that is drawn, without words for the style.
        concept: `(items,)` integers, equal for equal names. They can serve as ids.
        set: `(items,)`, the set of icons, such as `"tabler"`.
        filled: `(items,)`, True for filled drawings, False for outlined ones.
        category: `(items,)`, the category in the set, such as `"Buildings"`, or `""`.
        family: `(items,)`, the first word of the name in the singular, such as `"arrow"`.
        split: `(items,)`, `"train"`, `"validation"` or `"test"`. A family is in one split.
        licenses: SPDX license of each set, such as `{"tabler": "MIT"}`.

    Example:

    >>> import numpy as np
    >>> name, sets = np.array(["bell", "bell", "cup"]), np.array(["tabler", "lucide", "lucide"])
    >>> icons = Icons(np.zeros((3, 8, 8), "uint8"), name, np.array([0, 0, 1]), sets,
    ...               np.zeros(3, bool), sets, name, np.array(["train"] * 3), {"lucide": "ISC"})
    >>> sorted(icons.pairs(seed=0)[0].tolist())
    [0, 1]
    """

    images: Array
    name: Array
    concept: Array
    set: Array
    filled: Array
    category: Array
    family: Array
    split: Array
    licenses: dict[str, str]

    def pairs(self, seed: int) -> Array:
        """Draws two drawings of each concept at random, by different sets.

        Concepts of a single set are left out. Select a split first: `icons[rows].pairs(seed)`.

        Args:
            seed: Non-negative int. Another seed draws other sets.

        Returns:
            Rows of the two drawings, `(concepts, 2)`, in the order of `concept`.
        """
        _checks.non_negative_int("seed", seed)
        rng = np.random.default_rng(seed)
        # One drawing of each concept and set, drawn at random.
        order = rng.permutation(len(self))
        _, sets = np.unique(self.set, return_inverse=True)
        both = self.concept.astype("int64") * (1 + sets.max(initial=0)) + sets
        _, first = np.unique(both[order], return_index=True)
        # Two sets of each concept, drawn at random.
        rows = rng.permutation(order[first])
        rows = rows[np.argsort(self.concept[rows], kind="stable")]
        _, start, count = np.unique(self.concept[rows], return_index=True, return_counts=True)
        start = start[count > 1]
        return np.stack([rows[start], rows[start + 1]], axis=1)
