"""Linear probe: softmax regression on features that do not change."""

import numpy as np

from keras_contrastive.evaluation._few_shot import few_shot
from keras_contrastive.evaluation._inputs import accuracies, columns_of, labeled, ranks_of, same_dim
from keras_contrastive.evaluation._probe import ProbeEvaluation
from keras_contrastive.evaluation._softmax_regression import softmax_regression


def linear_probe(
    features, labels, new_features, new_labels, C=1.0, k=(1,), shots=None, draws=10, seed=0
):  # noqa: N803
    """Classify new rows by softmax regression on labeled ones.

    The minimum of `|W|^2 / 2 + C * (sum of cross-entropies)`, with an intercept that is not penalized, found to
    convergence by L-BFGS in float64: scikit-learn's `LogisticRegression(C=C)`. The features are taken as they are;
    how strongly `C` shrinks depends on their scale, so choose it on a validation set, or standardise them.

    Args:
        features: Float array `(rows, dim)`, whose labels are known.
        labels: Int array `(rows,)`, of at least two classes.
        new_features: Float array `(new_rows, dim)`.
        new_labels: Int array `(new_rows,)`. A class that `labels` lacks cannot be found, and counts as wrong.
        C: Positive float, the inverse strength of the regularisation, as in scikit-learn.
        k: The ranks at which accuracy is reported.
        shots: `None` for all rows, or an int or several: so many labeled rows of each class, drawn at random.
        draws: How often they are drawn.
        seed: Of the draws.

    Returns:
        A dict of floats: `top_{k}_accuracy`, `mean_class_accuracy` and `cross_entropy`, the mean over the new rows in
        nats (infinite if one is of a class that `labels` lacks). With `shots`, `{shots}_shot_...`, the means over the
        draws, and `{shots}_shot_..._error`, their standard errors.

    Raises:
        ValueError: Shapes or labels that do not belong together, arguments out of range, more shots than a class has
            rows.

    Reference:
        - [Radford et al., 2021](https://arxiv.org/abs/2103.00020), Sec. 3.2 and appendix A.3.

    Example:

    >>> features, labels = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1])
    >>> linear_probe(features, labels, features, labels, C=10.0)["top_1_accuracy"]
    1.0
    """
    features, labels = labeled(features, labels, "features")
    new_features, new_labels = labeled(new_features, new_labels, "new_features")
    same_dim(features, new_features, ("features", "new_features"))

    def evaluate(rows):
        known = slice(None) if rows is None else rows
        predict = softmax_regression(features[known], labels[known], C)
        log_probabilities, columns = predict(new_features), columns_of(new_labels, predict.classes)
        own = np.where(columns < 0, -np.inf, log_probabilities[np.arange(len(columns)), columns])
        results = accuracies(ranks_of(log_probabilities, columns), new_labels, k)
        return results | {"cross_entropy": float(-own.mean())}

    return evaluate(None) if shots is None else few_shot(evaluate, labels, shots, draws, seed)


class LinearProbe(ProbeEvaluation):
    """Classifies held-out rows by softmax regression on features at the end of each epoch.

    Its numbers join the epoch's `logs`: `val_linear_top_1_accuracy`, ... See `linear_probe`.

    Args:
        x: What the tower takes, as arrays, with known labels.
        labels: Int array `(rows,)`.
        new_x: The same, to be classified.
        new_labels: Int array `(new_rows,)`.
        modality: The name of the tower; `None` for a trainer with one encoder.
        projected: Whether the features are those after the projector. By default the encoder's own.
        batch_size: Batch size of the embedding.
        every: Evaluate at the end of each `every`-th epoch, and of no other.
        prefix: Start of the names.
        embed: `None`, or a function of the model and `x` that returns features, for models that are no
            `ContrastiveTrainer`.
        **kwargs: Of `linear_probe`: `C`, `k`, `shots`, `draws`, `seed`.

    Raises:
        ValueError, TypeError: Arguments out of range, a model without such a tower.

    Example:

    >>> encoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    >>> model = keras_contrastive.ContrastiveTrainer(encoder, augmenters=keras.layers.GaussianNoise(0.1))
    >>> model.compile("sgd", keras_contrastive.losses.NTXent())
    >>> x, labels = np.eye(2, dtype="float32"), np.array([0, 1])
    >>> history = model.fit(x, callbacks=[LinearProbe(x, labels, x, labels, C=10.0)], verbose=0).history
    >>> [name for name in history if "linear" in name]
    ['val_linear_top_1_accuracy', 'val_linear_mean_class_accuracy', 'val_linear_cross_entropy']
    """

    name = "linear"

    def probe(self, *data):
        return linear_probe(*data, **self.settings)
