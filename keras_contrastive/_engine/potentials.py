"""How crowded the unit sphere is around each row."""

from keras_contrastive._engine.logit_sums import Relation, logit_sums
from keras_contrastive._engine.logit_terms import LogSumExp


def log_gaussian_potential(units, t, ids=None, present=None):
    """Log of the sum over the rows of exp(-t |u - v|²), for each row, without a `(batch, batch)` matrix.

    Args:
        units: Float tensor `(batch, dim)` of rows of length 1.
        t: Positive float.
        ids: `None` if each row counts for each, itself included; or int `(batch,)`, where rows with the same id do not
            count for each other.
        present: `None`, or bool `(batch,)`: rows that count for nobody.

    Returns:
        `(batch,)`; very low, but finite, for rows for which nobody counts.

    Example:

    >>> units = keras.ops.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> [round(float(x), 4) for x in log_gaussian_potential(units, t=0.5)]  # log(1 + exp(-2))
    [0.1269, 0.1269]
    """
    relation = Relation(ids=None if ids is None else (ids, ids), present=(present, present))
    # |u - v|² = 2 - 2 <u, v>
    return logit_sums(LogSumExp, units, None, 2.0 * t, relation)[0] - 2.0 * t
