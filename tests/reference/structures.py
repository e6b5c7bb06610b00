"""The regularizers of Jiang et al. (2023), one sample at a time, in float64.

https://arxiv.org/abs/2303.05952. Where a printed equation is a misprint, this is the corrected one.
All rows are scaled to unit length.
"""

import math

import numpy as np

# Three pairs of dimension 4: images, texts, their augmented views, and their independent features.
PAPER = {
    "image": [[1, 2, 0, -1], [0, 1, 1, 2], [2, -1, 1, 0]],
    "text": [[1, 1, 0, -1], [1, 1, 2, 2], [2, -2, 1, 1]],
    "image_augmented": [[1, 2, 1, -1], [0, 2, 1, 2], [2, -1, 0, 0]],
    "text_augmented": [[1, 1, 1, -1], [1, 0, 2, 2], [2, -2, 2, 1]],
}
PAPER_INDEPENDENT = {
    "image": [[0, 1, 2, 1], [2, 0, -1, 1], [1, 1, -1, 3]],
    "text": [[1, 0, 3, 1], [2, 1, -1, 0], [0, 1, 1, -2]],
}


def units(rows):
    rows = np.asarray(rows, "float64")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def brownian_bridge(start, end, augmented, t, weight=lambda t: 1.0):
    """Sec. 4.2, first line of the bridge loss.

    `t` is the share of the augmented modality `start`: a number, or one number for each pair.
    """
    start, end, augmented = map(units, (start, end, augmented))
    total = 0.0
    for j, share in enumerate(np.broadcast_to(t, len(start))):
        mean = share * start[j] + (1 - share) * end[j]
        mean = mean / max(np.linalg.norm(mean), 1e-3)  # two rows of zeros have no direction
        total += weight(share) * float(np.sum((augmented[j] - mean) ** 2))
    return total / len(start)


def cross_modal(a, b):
    """Sec. 4.3, first term of L_GC."""
    a, b = units(a), units(b)
    pairs = np.ndindex(len(a), len(a))
    return sum(float(a[j] @ b[k] - a[k] @ b[j]) ** 2 for j, k in pairs) / len(a)


def in_modal(a, b):
    """Sec. 4.3, second term of L_GC, and the first two terms of L_GC of augmented views."""
    a, b = units(a), units(b)
    pairs = np.ndindex(len(a), len(a))
    return sum(float(a[j] @ a[k] - b[j] @ b[k]) ** 2 for j, k in pairs) / len(a)


def paired(a, b, augmented_a, augmented_b):
    """Sec. 4.3, last term of L_GC of augmented views."""
    a, b, augmented_a, augmented_b = map(units, (a, b, augmented_a, augmented_b))
    changes = [float(a[j] @ b[j] - augmented_a[j] @ augmented_b[j]) for j in range(len(a))]
    return sum(change**2 for change in changes) / len(a)


def orthogonality(embeddings, independent):
    """Sec. 4.1, L_Ortho of one modality."""
    z, zi = units(embeddings), units(independent)
    return sum(float(z[j] @ zi[j]) ** 2 for j in range(len(z))) / len(z)


def in_modal_contrast(anchors, candidates, temperature):
    """Sec. 4.1, L_Con of independent features, with the augmented views as candidates."""
    a, b = units(anchors), units(candidates)
    total = 0.0
    for j in range(len(a)):
        logits = [float(a[j] @ b[k]) / temperature for k in range(len(b))]
        largest = max(logits)
        total += largest + math.log(sum(math.exp(x - largest) for x in logits)) - logits[j]
    return total / len(a)


def gaussian_sum(rows, t, distinct=False):
    """Sum over pairs of rows of exp(-t |x - y|²), and the number of pairs."""
    rows = units(rows)
    pairs = [
        (j, k) for j in range(len(rows)) for k in range(len(rows)) if not (distinct and j == k)
    ]
    return sum(math.exp(-t * float(np.sum((rows[j] - rows[k]) ** 2))) for j, k in pairs), len(pairs)


def uniformity(independent, t=2.0, form="joint"):
    """Sec. 4.1, L_Uni over the rows of several modalities."""
    if form == "joint":
        return math.log(sum(gaussian_sum(rows, t)[0] for rows in independent) / len(independent[0]))
    if form == "separate":
        return sum(math.log(gaussian_sum(rows, t)[0] / len(rows)) for rows in independent)
    sums = [gaussian_sum(rows, t, distinct=True) for rows in independent]
    return sum(math.log(total / count) for total, count in sums)
