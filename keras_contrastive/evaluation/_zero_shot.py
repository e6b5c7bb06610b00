"""Zero-shot classification: the class whose words are nearest."""

import keras
import numpy as np
from keras import ops

from keras_contrastive._engine import normalize
from keras_contrastive.evaluation._callback import CorpusEvaluation
from keras_contrastive.evaluation._inputs import accuracies, corpus, same_dim
from keras_contrastive.evaluation._retrieval import ranks_of_positives


def zero_shot(embeddings, labels, classes, k=(1, 5), tile=1024):
    """Classify embeddings by the nearest class embedding, by cosine.

    Ties are lost: where all embeddings coincide, accuracy is zero. No `(rows, classes)` matrix is formed
    beyond a block of `(tile, tile)`.

    Args:
        embeddings: Float array `(rows, dim)`, of images for instance.
        labels: Int array `(rows,)`, which row of `classes` is right.
        classes: Float array `(num_classes, dim)`, the embeddings of one prompt for each class, or
            `(num_classes, templates, dim)`: those of several, whose unit vectors are averaged (CLIP's prompt ensemble).
        k: The ranks at which accuracy is reported.
        tile: Rows of a block.

    Returns:
        A dict of floats in [0, 1]: `top_{k}_accuracy` (about `k / num_classes` for embeddings that know nothing), and
        `mean_class_accuracy`, the mean over the classes that occur of their top-1 accuracy.

    Raises:
        ValueError: Shapes that do not belong together, or labels out of range.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 3.1.

    Example:

    >>> classes = np.eye(3)
    >>> zero_shot(classes[[0, 1, 1, 2]], np.array([0, 1, 2, 2]), classes, k=(1,))
    {'top_1_accuracy': 0.75, 'mean_class_accuracy': 0.8333333333333334}
    """
    embeddings, labels = corpus(embeddings, labels, "embeddings")
    classes = class_embeddings(classes)
    same_dim(embeddings, classes, ("embeddings", "classes"))
    num_classes, highest = classes.shape[0], int(ops.convert_to_numpy(labels).max())
    if highest >= num_classes:
        raise ValueError(
            f"`labels` must be in [0, {num_classes}), the rows of `classes`. Received: labels up to {highest}."
        )
    ids = ops.arange(num_classes, dtype="int32")
    ranks = ranks_of_positives(embeddings, classes, labels, ids, tile)
    return accuracies(ranks, ops.convert_to_numpy(labels), k)


def class_embeddings(prompts):
    """Unit vectors `(num_classes, dim)` from embeddings of one prompt, or of several, for each class."""
    prompts = ops.convert_to_tensor(prompts, dtype="float32")
    if len(prompts.shape) not in (2, 3) or 0 in prompts.shape:
        raise ValueError(
            "`classes` must have the shape `(num_classes, dim)` or `(num_classes, templates, dim)`. "
            f"Received: classes.shape={tuple(prompts.shape)}."
        )
    if len(prompts.shape) == 3:
        prompts = ops.mean(normalize(prompts), axis=1)
    return normalize(prompts)


class ZeroShotEvaluation(CorpusEvaluation):
    """Classifies held-out images by prompts in words at the end of each epoch.

    Its numbers join the epoch's `logs`: `val_zero_shot_top_1_accuracy`, ... See `zero_shot`.

    Args:
        x: What the image tower takes, as arrays.
        labels: Int array `(rows,)`, which of `class_names` is right.
        class_names: The names of the classes, as strings.
        tokenize: A function from a list of strings to what the text tower takes, such as a tokenizer or a preprocessor.
        templates: Strings in which `{}` stands for the name. With several, the unit vectors of a class are averaged.
        image: The name of the tower of `x`; any modality that is not `text` will do.
        text: The name of the text tower.
        k: The ranks at which accuracy is reported.
        batch_size: Batch size of the embedding.
        every: Evaluate at the end of each `every`-th epoch, and of no other.
        prefix: Start of the names.
        embed: `None`, or a function of the model, the name of a modality and its inputs that returns embeddings, for
            models that are no `ContrastiveTrainer`.

    Raises:
        ValueError, TypeError: Arguments out of range, a template without `{}`, a model without such towers.

    Example:

    >>> towers = {name: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]) for name in ("image", "text")}
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
    >>> [name for name in history if "zero_shot" in name]
    ['val_zero_shot_top_1_accuracy', 'val_zero_shot_top_2_accuracy', 'val_zero_shot_mean_class_accuracy']
    """

    def __init__(
        self,
        x,
        labels,
        class_names,
        tokenize,
        templates=("{}",),
        image="image",
        text="text",
        k=(1, 5),
        batch_size=256,
        every=1,
        prefix="val_",
        embed=None,
    ):
        super().__init__(every, prefix, batch_size)
        templates = [templates] if isinstance(templates, str) else list(templates)
        wrong = [template for template in templates if "{}" not in template]
        if wrong or not templates:
            raise ValueError(
                f"`templates` must be strings with `{{}}` for the name of a class. Received: {templates}."
            )
        if not callable(tokenize):
            raise TypeError(
                f"`tokenize` must be a function from strings to tokens. Received: tokenize={tokenize!r}."
            )
        self.x = x
        self.labels = labels
        self.num_classes = len(class_names)
        self.prompts = keras.tree.map_structure(
            ops.convert_to_numpy,
            tokenize([t.format(name) for name in class_names for t in templates]),
        )
        self.image = image
        self.text = text
        self.k = tuple(k)
        self.embed = embed

    def numbers(self):
        prompts = np.asarray(self._embed(self.text, self.prompts))
        classes = prompts.reshape(self.num_classes, -1, prompts.shape[-1])
        results = zero_shot(self._embed(self.image, self.x), self.labels, classes, self.k)
        return {f"zero_shot_{name}": value for name, value in results.items()}

    def _embed(self, modality, x):
        if self.embed is not None:
            return ops.convert_to_numpy(self.embed(self.model, modality, x))
        return self.tower_output(x, modality)
