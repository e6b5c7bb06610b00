"""Zero-shot classification: the class with the nearest prompt embedding."""

import math
from collections.abc import Callable, Iterable, Sequence

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import normalize
from keras_contrastive._typing import Array, ArrayLike, Structure
from keras_contrastive.evaluation._callbacks import CorpusEvaluation
from keras_contrastive.evaluation._data_sets import checked_labels, labeled_embeddings
from keras_contrastive.evaluation._inputs import (
    accuracies,
    accuracy_names,
    all_finite,
    check_same_dim,
    checked_integers,
    checked_ranks,
    embedding_rows,
    first_rows,
    float_array,
    rows_of,
)
from keras_contrastive.evaluation._places import first_places
from keras_contrastive.evaluation._relevance import EqualIds


def zero_shot(
    embeddings: ArrayLike, labels: ArrayLike, classes: ArrayLike, k: Iterable[int] = (1, 5)
) -> dict[str, float]:
    """Classifies embeddings by the nearest class embedding, by cosine.

    Ties count as errors: if all embeddings are equal, the accuracy is zero. If an embedding is NaN
    or infinite, all measures are NaN. Similarities are computed in tiles; see
    `keras_contrastive.config.set_tile_shape`.

    Args:
        embeddings: Float array `(rows, dim)`, for example of images.
        labels: Int array `(rows,)`, the true rows of `classes`.
        classes: Float array `(num_classes, dim)`, the embeddings of one prompt for each class, or
            `(num_classes, templates, dim)` for several prompts. The unit vectors of the prompts of
            a class are averaged (CLIP's prompt ensemble).
        k: Positive integers, the ranks at which the accuracy is reported.

    Returns:
        A dict of floats in [0, 1]: `top_{k}_accuracy`, and `mean_class_accuracy`, the mean of the
        top-1 accuracies of the classes that occur. Random embeddings have a top-k accuracy of about
        `k / num_classes`.

    Raises:
        TypeError: If labels are not integers, or `k` has the wrong type.
        ValueError: If shapes do not match, or labels are out of range.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 3.1.

    Example:

    >>> classes = np.eye(3)
    >>> zero_shot(classes[[0, 1, 1, 2]], np.array([0, 1, 2, 2]), classes, k=(1,))
    {'top_1_accuracy': 0.75, 'mean_class_accuracy': 0.8333333333333334}
    """
    embeddings = embedding_rows(embeddings, "embeddings")
    labels = checked_integers(labels, len(embeddings), ("embeddings", "labels"))
    classes = class_embeddings(classes)
    check_same_dim(embeddings, classes, ("embeddings", "classes"))
    k = checked_ranks(k)
    _check_labels(labels, len(classes), "classes")
    if not all_finite(embeddings, classes):
        return dict.fromkeys(accuracy_names(k), math.nan)
    ranks = first_places(embeddings, classes, EqualIds(labels, np.arange(len(classes)), False))
    return accuracies(ranks, labels, k)


def _check_labels(labels: Array, num_classes: int, classes: str) -> None:
    largest = int(labels.max())
    if largest >= num_classes:
        raise ValueError(
            f"`labels` must be in [0, {num_classes}), the rows of `{classes}`. "
            f"Received: labels up to {largest}."
        )


def _strings(name: str, values: Sequence[str]) -> list[str]:
    """Returns strings as a list. Raises a `TypeError` for anything else, such as one string."""
    several = isinstance(values, Iterable) and not isinstance(values, (str, bytes))
    strings = list(values) if several else []
    if not strings or not all(isinstance(value, str) for value in strings):
        raise TypeError(f"`{name}` must be strings, at least one. Received: {name}={values!r}.")
    return strings


def class_embeddings(prompts: ArrayLike) -> Array:
    """Returns vectors `(num_classes, dim)` of one or several prompts for each class."""
    prompts = float_array(prompts, "classes")
    if prompts.ndim not in (2, 3) or not prompts.size:
        raise ValueError(
            "`classes` must have the shape (num_classes, dim) or (num_classes, templates, dim). "
            f"Received: classes.shape={prompts.shape}."
        )
    if prompts.ndim == 2:
        return prompts
    with np.errstate(over="ignore"):
        prompts = prompts.astype("float32")
    finite = np.isfinite(prompts).all(axis=(1, 2))[:, None]
    means = ops.convert_to_numpy(ops.mean(normalize(ops.convert_to_tensor(prompts)), axis=1))
    return np.where(finite, means, np.nan)


class ZeroShotEvaluation(CorpusEvaluation):
    """Classifies held-out images by text prompts in epochs.

    It adds `val_zero_shot_top_1_accuracy`, ... to `logs`. See `zero_shot`.

    Args:
        x: Inputs of the image tower: arrays, or a data set with batches `(x, labels)` as for `fit`.
        labels: Int array `(rows,)`, the true indices into `class_names`. `None` for a data set.
        class_names: Strings, the names of the classes.
        tokenize: Function from a list of strings to inputs of the text tower, such as a tokenizer
            or a preprocessor.
        templates: String or strings with `{}` for the name of a class, such as
            `PROMPTS["photos"]`. With several, the unit vectors of a class are averaged.
        image: Modality of `x`. It can be any modality but `text`.
        text: Modality of the prompts.
        k: Positive integers, the ranks at which the accuracy is reported.
        batch_size: See `CorpusEvaluation`.
        freq: See `CorpusEvaluation`.
        prefix: See `CorpusEvaluation`.
        embed: See `CorpusEvaluation`. It gets a dict with the inputs of one modality, or of one
            batch of it, and returns a dict with their embeddings.

    Raises:
        TypeError, ValueError: If an argument is invalid. If the model has no such towers, raises
            when `fit` starts.

    Example:

    >>> towers = {
    ...     name: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    ...     for name in ("image", "text")
    ... }
    >>> model = keras_contrastive.ContrastiveTrainer(towers)
    >>> model.compile("sgd", keras_contrastive.losses.InfoNCE())
    >>> vectors = {"a photo of a cat": [1.0, 0.0], "a photo of a dog": [0.0, 1.0]}
    >>> x = np.eye(2, dtype="float32")
    >>> evaluation = ZeroShotEvaluation(
    ...     x,
    ...     labels=[0, 1],
    ...     class_names=["cat", "dog"],
    ...     tokenize=lambda prompts: np.array([vectors[prompt] for prompt in prompts]),
    ...     templates="a photo of a {}",
    ...     k=(1, 2),
    ... )
    >>> history = model.fit({"image": x, "text": x}, callbacks=[evaluation], verbose=0).history
    >>> for name in history:
    ...     if "zero_shot" in name:
    ...         print(name)
    val_zero_shot_top_1_accuracy
    val_zero_shot_top_2_accuracy
    val_zero_shot_mean_class_accuracy
    """

    higher_is_better = ("accuracy",)

    def __init__(
        self,
        x: Structure,
        labels: ArrayLike | None,
        class_names: Sequence[str],
        tokenize: Callable[[list[str]], Structure],
        templates: str | Sequence[str] = ("{}",),
        image: str = "image",
        text: str = "text",
        k: Iterable[int] = (1, 5),
        batch_size: int = 256,
        freq: int = 1,
        prefix: str = "val_",
        embed: Callable[[keras.Model, Structure], Structure] | None = None,
    ) -> None:
        super().__init__(freq=freq, prefix=prefix, batch_size=batch_size, embed=embed)
        templates = _strings("templates", [templates] if isinstance(templates, str) else templates)
        if any("{}" not in template for template in templates):
            raise ValueError(
                "`templates` must be strings with `{}` for the name of a class. "
                f"Received: templates={templates}."
            )
        if not callable(tokenize):
            raise TypeError(
                "`tokenize` must be a function from strings to inputs of the text tower. "
                f"Received: tokenize={tokenize!r}."
            )
        class_names = _strings("class_names", class_names)
        self.x = x
        self.labels = checked_labels(x, labels, ("x", "labels"), takes_arrays=embed is None)
        self.num_classes = len(class_names)
        self.k = checked_ranks(k)
        if self.labels is not None:
            _check_labels(self.labels, self.num_classes, "class_names")
        prompts = [template.format(name) for name in class_names for template in templates]
        self.prompts = keras.tree.map_structure(ops.convert_to_numpy, tokenize(prompts))
        if rows_of(self.prompts, "tokenize(prompts)") != len(prompts):
            raise ValueError(
                "`tokenize` must return one row for each string. "
                f"Received: {rows_of(self.prompts, 'tokenize(prompts)')} rows for {len(prompts)}."
            )
        self.image = image
        self.text = text

    def measures(self) -> dict[str, float]:
        prompts = np.asarray(self._embeddings_of(self.text, self.prompts))
        classes = prompts.reshape(self.num_classes, -1, prompts.shape[-1])
        images, labels = labeled_embeddings(
            lambda x: self._embeddings_of(self.image, x), self.x, self.labels, "x"
        )
        _check_labels(labels, self.num_classes, "class_names")
        results = zero_shot(images, labels, classes, self.k)
        return {f"zero_shot_{name}": value for name, value in results.items()}

    def dry_run(self) -> list[str]:
        if self.embed is not None or self.labels is None:
            return super().dry_run()
        images, prompts = (
            self.embeddings(first_rows(x, self.batch_size), modality)
            for modality, x in ((self.image, self.x), (self.text, self.prompts))
        )
        check_same_dim(images, prompts, (self.image, self.text))
        return [f"zero_shot_{name}" for name in accuracy_names(self.k)]

    def is_main(self, name: str) -> bool:
        return name == f"zero_shot_{accuracy_names(self.k)[0]}"

    def _embeddings_of(self, modality: str, x: Structure) -> ArrayLike:
        if self.embed is None:
            return self.embeddings(x, modality)
        by_modality = self.embeddings({modality: x})
        if not isinstance(by_modality, dict) or modality not in by_modality:
            received = (
                f"the modalities {', '.join(map(repr, by_modality))}"
                if isinstance(by_modality, dict)
                else type(by_modality).__name__
            )
            raise TypeError(
                f"`embed` must return a dict with the embeddings of {modality!r}. "
                f"Received: {received}."
            )
        return by_modality[modality]
