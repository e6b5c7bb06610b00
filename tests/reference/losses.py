"""Reference losses, written from the papers as loops over anchors and candidates in float64."""

import itertools
import math

import numpy as np


def info_nce(views, ids, temperature, symmetric=True, **candidates):
    """Oord et al., 2018, Eq. 4, for every pair of views: (batch,) values."""
    return _mean_over_directions(views, ids, temperature, symmetric, _info_nce, **candidates)


def nt_xent(views, ids, temperature, symmetric=True, **candidates):
    """Chen et al., 2020, Eq. 1: the candidates are the rows of all views."""
    return info_nce(views, ids, temperature, symmetric, all_views=True, **candidates)


def decoupled(views, ids, temperature, symmetric=True, sigma=None, **candidates):
    """InfoNCE without the positive in the partition (Yeh et al., 2022, Eq. 6 and Sec. 3.2)."""
    weights = np.ones((len(ids), 2 * len(views) ** 2))
    if sigma is not None:
        pulls = []
        for logits, is_positive, _ in directions(views, ids, temperature, symmetric):
            similarity = (logits * is_positive).sum(axis=1) / np.maximum(is_positive.sum(axis=1), 1)
            shares = np.exp(similarity * temperature / sigma)
            pulls.append(2 - len(ids) * shares / shares.sum())
        weights = np.array(pulls).T
    return _mean_over_directions(
        views, ids, temperature, symmetric, _decoupled, weights, **candidates
    )


def sup_con(views, ids, temperature, symmetric=True, extra=None, log_weights=None):
    """Khosla et al., 2020, Eq. 2, on the rows of all views."""
    everything = np.concatenate([normalized(view) for view in views])
    labels = np.concatenate([ids] * len(views))
    more = [candidates for of_view in (extra or {}).values() for candidates in of_view]
    candidates = np.concatenate([everything, *(normalized(rows) for rows, *_ in more)])
    candidate_labels = [*labels, *(label for _, own, *_ in more for label in own)]
    added = [_log_weights_of_rows(log_weights, view, len(ids)) for view in range(len(views))]
    added = np.concatenate([*added, *(_log_weights_of_extra(*part) for part in more)])
    values = []
    for i in range(len(everything)):
        others = [k for k in range(len(candidates)) if k != i]
        positives = [k for k in others if candidate_labels[k] == labels[i]]
        logits = {k: float(everything[i] @ candidates[k]) / temperature + added[k] for k in others}
        log_sum = math.log(sum(math.exp(logits[k]) for k in others)) if others else 0.0
        proper = positives and len(positives) < len(others)
        values.append(
            sum(log_sum - logits[k] for k in positives) / len(positives) if proper else 0.0
        )
    return np.reshape(values, (len(views), len(ids))).mean(axis=0)


def sigmoid(views, ids, temperature, symmetric=True, bias=-10.0, **candidates):
    """Zhai et al., 2023, Sec. 3.2; all candidates with the anchor's id are positives."""

    def answers(positives, negatives):
        return sum(math.log1p(math.exp(-(p + bias))) for p in positives) + sum(
            math.log1p(math.exp(n + bias)) for n in negatives
        )

    return _mean_over_directions(
        views, ids, temperature, symmetric, answers, all_positives=True, **candidates
    )


def multi_similarity(
    views, ids, temperature, symmetric=True, alpha=2.0, beta=50.0, base=0.5, **candidates
):
    """Wang et al., 2019, Eq. 15."""

    def value(positives, negatives):
        pull = sum(math.exp(-alpha * (p - base)) for p in positives)
        push = sum(math.exp(beta * (n - base)) for n in negatives)
        return math.log1p(pull) / alpha + math.log1p(push) / beta

    return _mean_over_directions(views, ids, 1.0, symmetric, value, **candidates)


def circle(
    views, ids, temperature, symmetric=True, gamma=80.0, margin=0.4, weights_of=None, **candidates
):
    """Sun et al., 2020, Eq. 6. The weights are those of the views `weights_of`, without a slope."""
    constant = directions(weights_of or views, ids, 1.0, symmetric, **candidates)
    columns = []
    for (products, is_positive, is_negative), (fixed, *_) in zip(
        directions(views, ids, 1.0, symmetric, **candidates), constant, strict=True
    ):
        pulls = -gamma * np.maximum(1 + margin - fixed, 0) * (products - (1 - margin))
        pushes = gamma * np.maximum(fixed + margin, 0) * (products - margin)
        column = []
        for pull, push, p, n in zip(pulls, pushes, is_positive, is_negative, strict=True):
            total = np.exp(pull[p]).sum() * np.exp(push[n]).sum()
            column.append(math.log1p(total))  # 0 without positives or without negatives
        columns.append(column)
    return np.mean(columns, axis=0)


def triplet(
    views, ids, temperature, symmetric=True, margin=1.0, mining="semi_hard", squared=False, **extra
):
    """Schroff et al., 2015, and Hermans et al., 2017, with the fallback of TensorFlow Addons.

    The published formula of `tfa.losses.TripletSemiHardLoss` is the mean over positive pairs.
    """

    def distance(a, b):
        length = np.linalg.norm(a - b)
        return length**2 if squared else length

    columns = []
    for distances, is_positive, is_negative in directions(
        views, ids, 1.0, symmetric, product=distance, **extra
    ):
        costs = []  # the costs of the triplets of each anchor
        num_pairs = 0
        for row, positive, negative in zip(distances, is_positive, is_negative, strict=True):
            near, far = row[positive], row[negative]
            if not len(near) or not len(far):
                pairs = []
            elif mining == "hard":
                pairs = [(near.max(), far.min())]
            elif mining == "all":
                pairs = list(itertools.product(near, far))
            else:
                # Rounding separates equal rows by less than 1e-6.
                farther = [far[far > p + 1e-6] for p in near]
                pairs = [
                    (p, outside.min() if len(outside) else far.max())
                    for p, outside in zip(near, farther, strict=True)
                ]
            costs.append([max(p - n + margin, 0.0) for p, n in pairs])
            num_pairs += len(pairs)
        totals = np.array([sum(of_anchor) for of_anchor in costs])
        if mining == "all":
            num_pairs = sum(cost > 0 for of_anchor in costs for cost in of_anchor)
        columns.append(totals if mining == "hard" else totals * len(ids) / max(num_pairs, 1))
    return np.mean(columns, axis=0)


def jackknifed(views, ids, temperature, symmetric=True, include_positive=False, **candidates):
    """The jackknife: m f(S) - (m - 1) / m * sum of f(S without negative k) - positive logit."""

    def estimate(positives, negatives):
        m = len(negatives)
        # -inf excludes the positive. Included, it counts as one of as many candidates as negatives.
        parts = np.array(positives) - (math.log(m) if include_positive else np.inf)
        log_mean = np.logaddexp.reduce(negatives) - math.log(m)
        left_out = np.where(np.eye(m, dtype=bool), -np.inf, negatives)
        log_means = np.logaddexp.reduce(left_out, axis=1) - math.log(max(m - 1, 1))
        values = []
        for positive, part in zip(positives, parts, strict=True):
            corrected = np.logaddexp(log_mean, part)
            if m > 1:
                others = np.logaddexp(log_means, part).sum()
                corrected = m * corrected - (m - 1) / m * others
            values.append(corrected - positive)
        return np.mean(values)

    return _mean_over_directions(views, ids, temperature, symmetric, estimate, **candidates)


def exponential(views, ids, temperature, weights, symmetric=True):
    """The augmented loss -s + u * mean of exp(s_k), for given u `(batch, directions)`."""
    return _mean_over_directions(
        views,
        ids,
        temperature,
        symmetric,
        lambda positives, negatives, u: -np.mean(positives) + u * np.mean(np.exp(negatives)),
        weights,
    )


def gamma_marginal(views, ids, temperature, log_rates, prior, symmetric=True):
    """The loss with u ~ Gamma(prior, prior * rate) integrated out, without constants."""

    def loss(positives, negatives, log_rate):
        total = np.logaddexp(
            math.log(prior) + log_rate, np.logaddexp.reduce(negatives) - math.log(len(negatives))
        )
        return (prior + 1) * total - prior * log_rate - np.mean(positives)

    rates = np.tile(log_rates, (len(ids), 1))
    return _mean_over_directions(views, ids, temperature, symmetric, loss, rates)


def matryoshka(views, ids, temperature, symmetric=True, *, loss, weights, extra=None):
    """Kusupati et al., 2022, Eq. 1, with weights by dimension that are divided by their sum."""
    total = 0.0
    for dim, weight in weights.items():
        shorter = [np.asarray(view)[:, :dim] for view in views]
        others = {
            view: [(np.asarray(rows).reshape(-1, len(views[0][0]))[:, :dim], own)]
            for view, parts in (extra or {}).items()
            for rows, own in parts
        }
        arguments = {"extra": others} if extra else {}
        total = total + weight * loss(shorter, ids, temperature, symmetric, **arguments)
    return total / sum(weights.values())


def log_mean_partitions(views, ids, temperature, symmetric=True):
    """Log of the mean of exp(logit) over the negatives, `(batch, directions)`."""
    columns = []
    for logits, _, is_negative in directions(views, ids, temperature, symmetric):
        rows = zip(logits, is_negative, strict=True)
        columns.append(
            [
                math.log(np.mean(np.exp(row[mask]))) if mask.any() else -math.inf
                for row, mask in rows
            ]
        )
    return np.array(columns).T


def directions(
    views,
    ids,
    temperature,
    symmetric=True,
    all_views=False,
    extra=None,
    all_positives=False,
    product=np.dot,
    log_weights=None,
    ignore_above=None,
    guides=None,
):
    """Yields logits, positives and negatives of each direction, `(batch, candidates)` each.

    `extra` maps a view's index to a list of `(embeddings, ids)`, or of `(embeddings, ids,
    log-weights)`, that join its candidates. `log_weights` maps it to those of its rows.
    `ignore_above` is a kind of margin and its size. `guides` has the guides of the views, and by
    view's index a list of those of the extra candidates.
    """
    views, ids = [normalized(view) for view in views], list(ids)
    ordered = [
        (a, b)
        for pair in itertools.combinations(range(len(views)), 2)
        for a, b in (pair, pair[::-1])
    ]
    if not symmetric:
        ordered = ordered[::2]
    for a, b in ordered or [(0, 0)]:
        seen = range(len(views)) if all_views else [b]
        blocks = [(v, row, view_id, views[v][row]) for v in seen for row, view_id in enumerate(ids)]
        added = [_log_weights_of_rows(log_weights, v, len(ids)) for v in seen]
        for v in seen:
            for embeddings, own_ids, *rest in (extra or {}).get(v, []):
                rows = normalized(embeddings)
                blocks += [(None, None, own_id, rows[row]) for row, own_id in enumerate(own_ids)]
                added.append(_log_weights_of_extra(rows, own_ids, *rest))
        logits = np.array(
            [
                [float(product(anchor, block[3])) / temperature for block in blocks]
                for anchor in views[a]
            ]
        ) + np.concatenate(added)
        same = np.array([[block[2] == own for block in blocks] for own in ids])
        is_self = np.array(
            [[block[0] == a and block[1] == row for block in blocks] for row in range(len(ids))]
        )
        is_pair = np.array(
            [[block[0] == b and block[1] == row for block in blocks] for row in range(len(ids))]
        )
        is_positive = same & ~is_self if len(views) == 1 or all_positives else is_pair
        ignored = np.zeros_like(same)
        if ignore_above is not None:
            anchors, others = (
                normalized(np.concatenate(rows)) for rows in _guides(views, a, seen, extra, guides)
            )
            similarity = anchors @ others.T
            ignored = similarity > _threshold(*ignore_above, similarity[is_pair])[:, None]
        yield logits, is_positive, ~same & ~ignored


def gist(rows, guides, temperature, kind, margin, contrast_anchors):
    """`GISTEmbedLoss.forward` of sentence-transformers 6.2, without `contrast_positives`.

    `rows` and `guides` have anchors, positives, and perhaps negatives.
    """
    anchor, positive, *negatives = map(normalized, rows)
    guide, *others = map(normalized, guides)
    threshold = _threshold(kind, margin, np.diag(guide @ others[0].T))[:, None]
    eye = np.eye(len(anchor), dtype=bool)
    scores = [np.where((guide @ others[0].T > threshold) & ~eye, -np.inf, anchor @ positive.T)]
    if contrast_anchors:
        # The similarity of an anchor with itself is 1, above any threshold that is not.
        scores.append(np.where((guide @ guide.T > threshold) | eye, -np.inf, anchor @ anchor.T))
    for candidates, of_guide in zip(negatives, others[1:], strict=True):
        scores.append(np.where(guide @ of_guide.T > threshold, -np.inf, anchor @ candidates.T))
    scores = np.concatenate(scores, axis=1) / temperature
    return np.log(np.exp(scores).sum(axis=1)) - np.diag(scores[:, : len(anchor)])


def _threshold(kind, margin, positive):
    return positive - margin * {"absolute": 1.0, "relative": np.abs(positive)}[kind]


def _guides(views, a, seen, extra, guides):
    """The guides of the anchors and of the candidates, or their embeddings."""
    of_views, of_extra = (views, {}) if guides is None else guides
    if guides is None:
        of_extra = {v: [part[0] for part in parts] for v, parts in (extra or {}).items()}
    candidates = [of_views[v] for v in seen]
    return [of_views[a]], [*candidates, *(x for v in seen for x in of_extra.get(v, []))]


def _log_weights_of_rows(log_weights, view, rows):
    return np.asarray((log_weights or {}).get(view, np.zeros(rows)), "float64")


def _log_weights_of_extra(embeddings, ids, log_weights=None):
    return np.zeros(len(ids)) if log_weights is None else np.asarray(log_weights, "float64")


def normalized(view):
    view = np.asarray(view, "float64")
    lengths = np.linalg.norm(view, axis=1, keepdims=True)
    return view / np.where(lengths > 0, lengths, 1)


def _info_nce(positives, negatives):
    return np.mean(
        [math.log(math.exp(p) + sum(math.exp(n) for n in negatives)) - p for p in positives]
    )


def _decoupled(positives, negatives, weight=1.0):
    return math.log(sum(math.exp(n) for n in negatives)) - weight * np.mean(positives)


def _mean_over_directions(views, ids, temperature, symmetric, loss, *per_direction, **candidates):
    columns = []
    for d, (logits, is_positive, is_negative) in enumerate(
        directions(views, ids, temperature, symmetric, **candidates)
    ):
        column = []
        for i in range(len(ids)):
            positives, negatives = logits[i][is_positive[i]], logits[i][is_negative[i]]
            extra = [values[i, d] for values in per_direction]
            proper = len(positives) and len(negatives)
            column.append(loss(list(positives), list(negatives), *extra) if proper else 0.0)
        columns.append(column)
    return np.mean(columns, axis=0)
