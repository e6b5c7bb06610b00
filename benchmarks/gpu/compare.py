"""Compares the arrays of `correctness.py` with those of its process on a CPU."""

import numpy as np

# Largest errors of the value and the gradients, relative to their lengths. The gradient of a
# bfloat16 embedding is itself rounded to 8 bits.
TOLERANCES = {"float32": (1e-5, 1e-4), "TF32": (1e-3, 1e-2), "bfloat16": (1e-3, 1e-2)}
TRAINING = {
    "draws": 0,
    "augmented images": 0.05,  # of 255
    "losses of fit": 1e-3,
    "change by saving and loading": 1e-6,
}
# Rounding decides which triplets these losses take, so the gradient may jump.
DISCONTINUOUS = "Triplet"


def compare(path, exact_path):
    """Returns rows: the worst errors of each precision and tile shape, and each failure.

    Args:
        path: File with the arrays of a backend on this device.
        exact_path: File with the arrays of the process on a CPU.
    """
    try:
        found, exact = (dict(np.load(x)) for x in (path, exact_path))
    except OSError as error:  # one of the processes has failed
        return [{"what": "all", "good": False, "note": str(error)}]
    return [*_training(found, exact), *_losses(found, exact)]


def _training(found, exact):
    for name, limit in TRAINING.items():
        error = float(np.abs(found[name] - exact[name]).max())
        yield {"what": name, "error": error, "limit": limit, "good": error <= limit}


def _losses(found, exact):
    worst = {}
    for key in found:
        if "|" not in key:
            continue
        loss, dtype, precision, tiles = key.split("|")
        row = {"what": loss, "numbers": precision, "tiles": tiles}
        if found[key].dtype.kind == "U":
            yield {**row, "good": False, "note": str(found[key])}
            continue
        reference = exact[f"{loss}|{dtype}"]
        errors = [_error(found[key][part], reference[part]) for part in (slice(1), slice(1, None))]
        limits = TOLERANCES[precision]
        if loss.startswith(DISCONTINUOUS):
            limits = limits[0], np.inf
        if not all(error <= limit for error, limit in zip(errors, limits, strict=True)):
            yield {**row, "value": errors[0], "gradient": errors[1], "good": False}
        worst.setdefault((precision, tiles), []).append((loss, *errors))
    for (precision, tiles), errors in worst.items():
        counted = [x for x in errors if not x[0].startswith(DISCONTINUOUS)]
        yield {
            "what": f"worst of {len(errors)} losses",
            "numbers": precision,
            "tiles": tiles,
            "value": max(value for _, value, _ in errors),
            "gradient": max(gradient for *_, gradient in counted),
            "good": True,
        }


def _error(x, y):
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))
