"""Reference losses with class vectors, as loops in float64."""

import math

import numpy as np

from tests.reference.losses import normalized


def class_loss(embeddings, labels, vectors, temperature, kind="softmax", margin=0.0):
    """Crossentropy of the cosines with class vectors, `(batch,)`.

    `kind` is "softmax" (Zhai and Wu, 2019, Eq. 2), "cosine" (Wang et al., 2018, Eq. 4) or "angle"
    (Deng et al., 2019, Eq. 3, with the continuation of the published code).
    """
    losses = []
    for row, label in zip(normalized(embeddings), labels, strict=True):
        logits = []
        for number, vector in enumerate(normalized(vectors)):
            cosine = float(np.clip(row @ vector, -1, 1))
            if number == label and kind == "cosine":
                cosine -= margin
            if number == label and kind == "angle":
                angle = math.acos(cosine)
                inside = angle <= math.pi - margin
                cosine = math.cos(angle + margin) if inside else cosine - margin * math.sin(margin)
            logits.append(cosine / temperature)
        losses.append(np.logaddexp.reduce(logits) - logits[label])
    return np.array(losses)


def proxy_nca(embeddings, labels, vectors, softmax_scale):
    """ProxyNCA++ (2020), Eq. 6: a softmax of negative squared distances of unit vectors."""
    squares = ((normalized(embeddings)[:, None] - normalized(vectors)) ** 2).sum(axis=2)
    logits = -softmax_scale * squares
    return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
