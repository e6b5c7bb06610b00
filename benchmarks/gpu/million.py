"""One step of InfoNCE with 1,048,576 pairs of 512 numbers. No larger warm-up than 1 / 64 of it."""

import measure
import peers

from gpu import device
from gpu.loss_speed import DIM, MODE, share_of_peak
from gpu.peak import measure_peak
from keras_contrastive.config import set_tile_shape

BATCH = 2**20


def run(part):
    batch, dim = (1024, 64) if part.quick else (BATCH, DIM)
    if part.quick:
        set_tile_shape((128, 128))
    peak = measure_peak(part, ["TF32"])
    ours = peers.candidates(["InfoNCE"], False, dim)[0]
    with part.row(loss="InfoNCE", who="ours", numbers="float32, TF32", batch=batch) as found:
        small = device.random_views(batch // 64, dim)
        measure.seconds(measure.value_and_gradient(ours.make(batch // 64), MODE), small)
        views = device.random_views(batch, dim)
        step = measure.value_and_gradient(ours.make(batch), MODE)
        if measure.BACKEND == "jax":
            step = step.lower(*views).compile()
            found["MiB"] = step.memory_analysis().temp_size_in_bytes / 2**20
        (value, _), seconds, most = device.measured(step, views)
        if most is not None:
            found["MiB"] = (most - 2 * batch * dim * 4) / 2**20
        found["value"], found["ms"] = float(value), seconds * 1e3
        if peak:
            found["of TF32 peak"] = share_of_peak("InfoNCE", batch, dim, seconds, peak)
