"""Differences between matrices of similarities."""

from keras import ops


def squared_differences(a, b):
    r"""Sums of squares by which the similarities of two sets of rows differ, within and across the sets.

    With A and B the `(batch, dim)` matrices of the rows, D = A - B and S = A + B,

        A A' - B B' = (D S' + S D') / 2    and    A B' - B A' = (S D' - D S') / 2,

    the symmetric and the skew part of K = D S'. As |K|² = tr(S D' D S') = <D'D, S'S> and
    <K, K'> = tr(D S' D S') = <D'S, (D'S)'>, the two sums of squares over all pairs of rows are

        |A A' - B B'|² = (<D'D, S'S> + <D'S, (D'S)'>) / 2,
        |A B' - B A'|² = (<D'D, S'S> - <D'S, (D'S)'>) / 2:

    three products `(dim, dim)`, and no matrix of similarities. (A batch known to be smaller than `dim` makes
    K itself instead, which is smaller yet.) The difference of the rows enters as itself, so that the sums keep their
    digits as A and B approach each other. Where a sum is small although D is not (as where B is a rotation of A), the
    `dim` by `dim` form errs by about 1e-7 of |D|² |S|², and K by far less.

    Args:
        a: Float tensor `(batch, dim)`.
        b: Float tensor `(batch, dim)`.

    Returns:
        `(within, across)`, two scalars: the sum over j and k of (<a_j, a_k> - <b_j, b_k>)², and that of
        (<a_j, b_k> - <a_k, b_j>)².

    Example:

    >>> within, across = squared_differences(keras.ops.array([[1.0, 0.0], [0.0, 1.0]]), keras.ops.ones((2, 2)))
    >>> float(within), float(across)  # [[1, 0], [0, 1]] against [[2, 2], [2, 2]]; all products across are 1
    (10.0, 0.0)
    """
    difference, total = a - b, a + b
    batch, dim = a.shape
    if isinstance(batch, int) and batch <= dim:
        k = ops.matmul(difference, ops.transpose(total))
        return ops.sum(ops.square(k + ops.transpose(k))) / 4, ops.sum(
            ops.square(k - ops.transpose(k))
        ) / 4
    transposed = ops.transpose(difference)
    own = ops.sum(ops.matmul(transposed, difference) * ops.matmul(ops.transpose(total), total))
    mixed = ops.matmul(transposed, total)
    other = ops.sum(mixed * ops.transpose(mixed))
    return ops.maximum(own + other, 0.0) / 2, ops.maximum(own - other, 0.0) / 2
