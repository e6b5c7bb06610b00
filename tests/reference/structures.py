"""The regularizers of Jiang et al. (CVPR 2023), one sample at a time, in float64.

Labels (P2-x) number the paper's displayed equations; where a printed one is a misprint, the mended form is here.
All rows are normalized; `views` are dicts as the layers see them: modalities, and "<modality>_augmented".
"""

import math

import numpy as np

# Three pairs of dimension 4: images, texts, both augmented, and independent features of both.
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


def brownian_bridge(own, other, augmented, t, weigh=lambda t: 1.0):
    """(P2-13); `t` is the share of the modality that is augmented, one for all pairs or one each."""
    own, other, augmented = map(units, (own, other, augmented))
    total = 0.0
    for j, share in enumerate(np.broadcast_to(t, len(own))):
        mean = share * own[j] + (1 - share) * other[j]
        mean = mean / np.linalg.norm(mean)
        total += weigh(share) * float(np.sum((augmented[j] - mean) ** 2))
    return total / len(own)


def cross_modal(a, b):
    """First term of (P2-15)."""
    a, b = units(a), units(b)
    pairs = np.ndindex(len(a), len(a))
    return sum(float(a[j] @ b[k] - a[k] @ b[j]) ** 2 for j, k in pairs) / len(a)


def in_modal(a, b):
    """Second term of (P2-15), and each of the first two of (P2-16)."""
    a, b = units(a), units(b)
    pairs = np.ndindex(len(a), len(a))
    return sum(float(a[j] @ a[k] - b[j] @ b[k]) ** 2 for j, k in pairs) / len(a)


def paired(a, b, augmented_a, augmented_b):
    """Last term of (P2-16)."""
    a, b, augmented_a, augmented_b = map(units, (a, b, augmented_a, augmented_b))
    return sum(
        float(a[j] @ b[j] - augmented_a[j] @ augmented_b[j]) ** 2 for j in range(len(a))
    ) / len(a)


def orthogonality(embeddings, independent):
    """One modality of (P2-6)."""
    z, zi = units(embeddings), units(independent)
    return sum(float(z[j] @ zi[j]) ** 2 for j in range(len(z))) / len(z)


def in_modal_contrast(anchors, candidates, temperature):
    """(P2-5'), and (P2-8) with augmented candidates."""
    a, b = units(anchors), units(candidates)
    total = 0.0
    for j in range(len(a)):
        logits = [float(a[j] @ b[k]) / temperature for k in range(len(b))]
        largest = max(logits)
        total += largest + math.log(sum(math.exp(x - largest) for x in logits)) - logits[j]
    return total / len(a)


def gaussian_sum(rows, t, distinct=False):
    """Sum over pairs of rows of exp(-t |x - y|^2), and the number of pairs."""
    rows = units(rows)
    pairs = [
        (j, k) for j in range(len(rows)) for k in range(len(rows)) if not (distinct and j == k)
    ]
    return sum(math.exp(-t * float(np.sum((rows[j] - rows[k]) ** 2))) for j, k in pairs), len(pairs)


def uniformity(independent, t=2.0, form="joint"):
    """(P2-9) over the rows of several modalities."""
    if form == "joint":
        return math.log(sum(gaussian_sum(rows, t)[0] for rows in independent) / len(independent[0]))
    if form == "separate":
        return sum(math.log(gaussian_sum(rows, t)[0] / len(rows)) for rows in independent)
    sums = [gaussian_sum(rows, t, distinct=True) for rows in independent]
    return sum(math.log(total / count) for total, count in sums)
