"""What the regularizers of multi-modal spaces share."""

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from keras_contrastive._engine import normalize

AUGMENTED, INDEPENDENT = "_augmented", "_independent"


@dataclasses.dataclass(frozen=True)
class Modality:
    """What a regularizer sees of a modality.

    Args:
        name: Its name.
        plain: `(batch, dim)`, normalized.
        augmented: The same of the augmented view, or `None`.
        independent: The independent features of the plain view, or `None`.
        independent_augmented: Those of the augmented view, or `None`.
        present: Float `(batch,)`, 0 where an item lacks the modality, or `None` if none does.
    """

    name: str
    plain: Any
    augmented: Any = None
    independent: Any = None
    independent_augmented: Any = None
    present: Any = None


class ViewRegularizer(keras.layers.Layer):
    """Base class of penalties on the views of a batch.

    A subclass has `terms`, the parts of the penalty by name, each of which has a weight and is reported.

    * In `ContrastiveTrainer(regularizers=[...])` the penalty joins the loss. The logs have it under the layer's name
      and, if it has several terms, each of them, before its weight, under `"<layer>_<term>"`.
    * In a Functional model the layer is called with a dict of views and returns them; `add_loss` adds the penalty.

    Views are a dict of `(batch, dim)`: the modalities by name and, where there is one, the augmented view of a modality
    under `"<modality>_augmented"`. Self-supervision has the modalities `"view_1"` and `"view_2"`. Everything is
    computed in float32 or wider, whatever the policy.

    Args:
        term_weights: Dict of non-negative weights by term. A term of weight 0 is neither computed nor reported.
        weight: Non-negative float, multiplies the whole penalty.
        normalize: Whether the views are projected onto the unit sphere first.
        **kwargs: See `keras.layers.Layer`.

    Call arguments:
        views: A dict of float tensors, see above.
        features: `None`, or a dict with the names of the views and what their encoders gave before the projectors, for
            layers that look at it.
        ids: `None`, or integer ids `(batch,)`: rows with the same id are the same item.
        present: `None`, or a dict from modalities to bool `(batch,)`, False where an item lacks that modality. What its
            row then holds is of no consequence, as long as it is finite.
        training: Whether this is a training step.

    Raises:
        TypeError: Views that are not a dict of float tensors.
        ValueError: Views whose shapes differ, or that the penalty needs and does not find; negative weights.
    """

    def __init__(self, term_weights, weight=1.0, normalize=True, **kwargs):
        super().__init__(autocast=False, **kwargs)  # a view in float32 is not to become a float16
        for name, value in {"weight": weight, **term_weights}.items():
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value < math.inf
            ):
                raise ValueError(
                    f"`{name}` must be a non-negative, finite number. Received: {name}={value!r}."
                )
        self.weight = weight
        self.normalize = normalize
        self.term_weights = {name: value for name, value in term_weights.items() if value}

    def build(self, views_shape, features_shape=None, ids_shape=None, present_shape=None):
        """Create the weights, if there are any, from dicts of shapes with the names of the views."""
        self.built = True

    def terms(self, modalities, ids=None, training=None):
        """The parts of the penalty, before their weights.

        Args:
            modalities: List of `Modality`.
            ids: int32 `(batch,)`, or `None`.
            training: Whether this is a training step, which may draw anew.

        Returns:
            A dict with a scalar for each name in `term_weights`; 0 for what these views do not have.
        """
        raise NotImplementedError

    def extended(self, views, features=None):
        """The views, and what this layer adds to them."""
        return views

    def penalty_and_terms(self, views, features=None, ids=None, present=None, training=None):
        """The weighted penalty, a scalar, and its terms before their weights, a dict of scalars."""
        check_views(views)
        if not self.built:
            shapes = [
                {name: tuple(x.shape) for name, x in part.items()}
                for part in (views, features)
                if part
            ]
            self.build(*shapes)
        terms = self.terms(self.modalities(self.extended(views, features), present), ids, training)
        total = sum(weight * terms[name] for name, weight in self.term_weights.items())
        return ops.convert_to_tensor(self.weight * total, dtype="float32"), terms

    def penalty(self, views, features=None, ids=None, present=None, training=None):
        """The weighted penalty, a scalar. See the call arguments."""
        return self.penalty_and_terms(views, features, ids, present, training)[0]

    def call(self, views, features=None, ids=None, present=None, training=None):
        views = self.extended(views, features)
        self.add_loss(self.penalty(views, features, ids, present, training))
        return views

    def compute_output_spec(self, views, features=None, ids=None, present=None, training=None):
        check_views(views)  # a penalty has no need to be traced for shapes that are known
        return {name: keras.KerasTensor(view.shape, view.dtype) for name, view in views.items()}

    def modalities(self, views, present=None):
        """The views as a list of `Modality`, normalized, at least in float32."""
        names = [name for name in views if not name.endswith((AUGMENTED, INDEPENDENT))]
        check_present(present, names)
        present = present or {}
        return [
            Modality(
                name,
                self._comparable(views[name]),
                self._comparable(views.get(name + AUGMENTED)),
                self._comparable(views.get(name + INDEPENDENT)),
                self._comparable(views.get(name + AUGMENTED + INDEPENDENT)),
                ops.cast(present[name], "float32") if name in present else None,
            )
            for name in names
        ]

    def _comparable(self, view):
        if view is None:
            return None
        view = ops.convert_to_tensor(view)
        view = ops.cast(view, keras.backend.result_type(view.dtype, "float32"))
        return normalize(view) if self.normalize else view

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "normalize": self.normalize}


def check_views(views):
    """Refuse what is no dict of embeddings, all of one shape."""
    if not isinstance(views, dict) or not views:
        raise TypeError(
            "`views` must be a dict of embeddings `(batch, dim)` by modality, augmented ones under "
            f'"<modality>{AUGMENTED}". Received: {type(views).__name__}.'
        )
    for name, view in views.items():
        dtype = keras.backend.standardize_dtype(getattr(view, "dtype", type(view).__name__))
        if not dtype.startswith(("float", "bfloat")):
            raise TypeError(
                f"`views` must hold embeddings, in floating point. Received: views[{name!r}].dtype={dtype}."
            )
        if name.endswith(AUGMENTED) and name.removesuffix(AUGMENTED) not in views:
            raise ValueError(
                f"`views` has {name!r}, an augmented view, without {name.removesuffix(AUGMENTED)!r}. "
                f"Received: {', '.join(views)}."
            )
    shapes = {name: tuple(view.shape) for name, view in views.items()}
    first = next(iter(shapes.values()))
    if any(len(shape) != 2 or not _agree(shape, first) for shape in shapes.values()):
        listing = ", ".join(f"views[{name!r}].shape={shape}" for name, shape in shapes.items())
        raise ValueError(
            f"All views must have the same shape `(batch, dim)`. Received: {listing}. Did one view skip the projector?"
        )


def check_present(present, names):
    """Refuse what is no dict of booleans by modality."""
    unknown = [name for name in present or () if name not in names]
    if unknown:
        raise ValueError(
            f"`present` must be a dict with some of the modalities {', '.join(names)}. "
            f"Received also: {', '.join(map(str, unknown))}."
        )


def masked_mean(values, *masks):
    """Mean over the rows that all masks (or `None`) let through; 0 if there are none."""
    mask = joint(*masks)
    if mask is None:
        return ops.mean(values)
    return ops.sum(ops.where(mask > 0, values, ops.zeros_like(values))) / ops.maximum(
        ops.sum(mask), 1
    )


def joint(*masks):
    """The rows that all masks (or `None`) let through, or `None` if that is all."""
    found = None
    for mask in masks:
        if mask is not None:
            found = mask if found is None else found * mask
    return found


def _agree(shape, other):
    return len(shape) == len(other) and all(
        a is None or b is None or a == b for a, b in zip(shape, other, strict=True)
    )
