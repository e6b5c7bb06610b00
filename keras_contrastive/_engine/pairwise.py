"""Statistics of all pairs of rows, without a matrix of all pairs."""

from keras import ops

from keras_contrastive._engine.logit_sums import logit_sums
from keras_contrastive._engine.logit_terms import LogSumExp
from keras_contrastive._engine.pair_masks import PairMasks
from keras_contrastive._typing import Tensor


def log_gaussian_potential(
    units: Tensor, t: float, ids: Tensor | None = None, present: Tensor | None = None
) -> Tensor:
    """Computes the log of the sum over all rows v of exp(-t |u - v|²), for each row u.

    Args:
        units: Float `(batch, dim)`, rows of unit length, or zero.
        t: Positive float.
        ids: `None` to count all pairs, a row with itself included. Integer ids `(batch,)` leave out
            pairs with equal ids.
        present: `None`, or bool `(batch,)`. Rows that are False count for no row.

    Returns:
        `(batch,)`. It is very low, but finite, for a row without pairs.

    Example:

    >>> units = keras.ops.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> [round(float(x), 4) for x in log_gaussian_potential(units, t=0.5)]  # log(1 + exp(-2))
    [0.1269, 0.1269]
    """
    masks = PairMasks(ids=None if ids is None else (ids, ids), present=(present, present))
    # |u - v|² = |u|² + |v|² - 2 <u, v>, since a row of zeros is not of unit length. The product of
    # (u, 1) and (v, (1 - |v|²) / 2) contains the length of v, which differs between the columns.
    squares = ops.sum(ops.square(units), axis=1, keepdims=True)
    anchors = ops.concatenate([units, ops.ones_like(squares)], axis=1)
    candidates = ops.concatenate([units, (1 - squares) / 2], axis=1)
    log_sums = logit_sums(LogSumExp, anchors, candidates, 2.0 * t, masks)[0]
    return log_sums - t * (1 + squares[:, 0])


def squared_differences(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    r"""Computes by how much the similarities of two sets of rows differ, within and across the
    sets.

    With A and B the `(batch, dim)` matrices of the rows, D = A - B and S = A + B,

        A A' - B B' = (D S' + S D') / 2    and    A B' - B A' = (S D' - D S') / 2,

    the symmetric and the skew part of K = D S'. As |K|² = tr(S D' D S') = <D'D, S'S> and
    <K, K'> = tr(D S' D S') = <D'S, (D'S)'>, the two sums of squares over all pairs of rows are

        |A A' - B B'|² = (<D'D, S'S> + <D'S, (D'S)'>) / 2,
        |A B' - B A'|² = (<D'D, S'S> - <D'S, (D'S)'>) / 2.

    They need three `(dim, dim)` products and no matrix of similarities. A batch of at most `dim`
    rows computes K instead, which is smaller. The difference D is computed first, so the sums keep
    their digits as A and B approach each other. If B is a rotation of A, the `(dim, dim)` form has
    an error of about 1e-7 |D|² |S|², and K a much smaller one.

    Args:
        a: Float `(batch, dim)`.
        b: Float `(batch, dim)`.

    Returns:
        `(within, across)`, two scalars: the sum over j and k of (<a_j, a_k> - <b_j, b_k>)², and
        that of (<a_j, b_k> - <a_k, b_j>)².

    Example:

    >>> a, b = keras.ops.array([[1.0, 0.0], [0.0, 1.0]]), keras.ops.ones((2, 2))
    >>> within, across = squared_differences(a, b)
    >>> float(within), float(across)  # [[1, 0], [0, 1]] against [[2, 2], [2, 2]]; across all are 1
    (10.0, 0.0)
    """
    difference, total = a - b, a + b
    batch, dim = a.shape
    if isinstance(batch, int) and batch <= dim:
        k = ops.matmul(difference, ops.transpose(total))
        within = ops.sum(ops.square(k + ops.transpose(k))) / 4
        return within, ops.sum(ops.square(k - ops.transpose(k))) / 4
    transposed = ops.transpose(difference)
    squares = ops.sum(ops.matmul(transposed, difference) * ops.matmul(ops.transpose(total), total))
    mixed = ops.matmul(transposed, total)
    products = ops.sum(mixed * ops.transpose(mixed))
    return ops.maximum(squares + products, 0.0) / 2, ops.maximum(squares - products, 0.0) / 2
