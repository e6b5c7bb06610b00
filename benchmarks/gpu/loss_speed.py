"""Speed and memory of the losses, beside plain formulas, rivals, and the peak of a large product.

A row is one value with its gradient for both views, called as `fit` calls it: eagerly on PyTorch,
compiled on JAX. Milliseconds are the median of interleaved calls after a warm-up. Memory counts
above the inputs and gradients: the peak of the allocator on PyTorch, and the temporary buffers of
XLA on JAX. The share of the peak is that of a large product in TF32, in the same process. It counts
the products that a loss without stored logits needs.
"""

import concurrent.futures

import measure
import numpy as np
import peers

from gpu import device
from gpu.peak import measure_peak
from gpu.rivals import RIVALS
from keras_contrastive.config import set_tile_shape

DIM = 512
BATCHES = (1024, 16_384, 65_536, 131_072)
OTHER_BATCHES = (16_384, 1024, 131_072)  # of the other losses, the most telling one first
SECONDS_PER_RUN = 0.4
MODE = measure.DEFAULT_MODES[0]


class Run:
    """One loss of one library at one batch size.

    Args:
        candidate: A `peers.Candidate`.
        batch: Number of pairs.
        dim: Size of the embeddings.
        dtype: Dtype of the embeddings.
        precision: Precision of the products of float32 numbers.
    """

    def __init__(self, candidate, batch, dim, dtype="float32", precision="TF32"):
        self.candidate = candidate
        self.batch = batch
        self.dim = dim
        self.dtype = dtype
        self.precision = precision
        self.step = None
        self.seconds = []
        self.found = {}

    def attempt(self, action):
        """Calls a method of this run. An error becomes its note, and later calls do nothing."""
        if "note" not in self.found:
            try:
                device.set_precision(self.precision)
                action(self)
            except Exception as error:
                self.found["note"] = measure.failure_message(error)
        if "note" in self.found and self.step is not None:
            self.step = None
            device.release_memory()

    def prepare(self):
        # XLA takes long to compile a program that does not fit. Of the estimate for autodiff of
        # every operation, it needs a third at least.
        available, least = device.memory(), self.candidate.stores(self.batch, self.dim) * 4 / 3
        if measure.BACKEND == "jax" and available and least > available:
            raise MemoryError("out of memory, by an estimate")
        self.step = measure.value_and_gradient(self.candidate.make(self.batch), MODE)
        if measure.BACKEND == "jax":
            import jax

            rows, count = (2 * self.batch, 1) if self.candidate.single else (self.batch, 2)
            view = jax.ShapeDtypeStruct((rows, self.dim), self.dtype)
            self.step = self.step.lower(*[view] * count)

    def compile(self):
        if measure.BACKEND == "jax":
            self.step = self.step.compile()
            self.found["MiB"] = self.step.memory_analysis().temp_size_in_bytes / 2**20

    def warm_up(self, views):
        (value, _), _, peak = device.measured(self.step, views)
        if peak is not None:
            gradients = 2 * self.batch * self.dim * (2 if self.dtype == "bfloat16" else 4)
            self.found["MiB"] = (peak - gradients) / 2**20
        self.found["value"] = float(value)
        self.slow = measure.seconds(self.step, views)

    def time(self, views):
        self.seconds.append(measure.seconds(self.step, views))

    def report(self, part, ours, peak):
        """Reports this run, the difference of its value from ours, and its share of the peak."""
        candidate, found = self.candidate, self.found
        if self.seconds:
            seconds = float(np.median(self.seconds))
            found["ms"] = seconds * 1e3
            if candidate.who == "ours" and self.batch > 4096 and peak:
                share = share_of_peak(candidate.loss, self.batch, self.dim, seconds, peak)
                found["of TF32 peak"] = share
        if ours and "value" in found:
            found["value / ours - 1"] = found["value"] / ours - 1
        numbers = candidate.note or f"{self.dtype}, {self.precision}"
        names = {"loss": candidate.loss, "who": candidate.who, "numbers": numbers}
        part.report(**names, batch=self.batch, **found)


def run(part):
    dim, batches, others = DIM, BATCHES, OTHER_BATCHES
    names = [name for name in peers.PLAIN if name != "InfoNCE"]
    if part.quick:
        dim, batches, others, names = 64, (64, 256), (256,), ["SupCon"]
        set_tile_shape((128, 128))
    peak = measure_peak(part)
    for batch in batches:
        measure_groups(part, [info_nce_runs(batch, dim)], peak)
    for batch in others:
        found = {name: peers.candidates([name], False, dim) for name in names}
        groups = [[Run(x, batch, dim) for x in candidates] for candidates in found.values()]
        measure_groups(part, groups, peak)


def info_nce_runs(batch, dim):
    """Returns our loss in each precision, the plain formula, and the rivals."""
    ours, plain = peers.candidates(["InfoNCE"], False, dim)
    rivals = [
        peers.Candidate(
            "InfoNCE", who, lambda batch, make=make: make(), plain.stores, note="bfloat16 products"
        )
        for who, make in RIVALS.items()
    ]
    runs = [Run(x, batch, dim) for x in (ours, plain, *rivals)]
    lower = Run(ours, batch, dim, dtype="bfloat16")
    return [*runs, lower, Run(ours, batch, dim, precision="float32")]


def measure_groups(part, groups, peak):
    """Measures groups of runs at one batch size. The runs of a group are interleaved."""
    first = groups[0][0]
    if not part.has_time(5, loss=first.candidate.loss, batch=first.batch):
        return
    runs = [run for group in groups for run in group]
    for run in runs:
        run.attempt(Run.prepare)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:  # XLA compiles outside of Python
        list(pool.map(lambda run: run.attempt(Run.compile), runs))
    for group in groups:
        first = group[0]
        if part.has_time(2, loss=first.candidate.loss, batch=first.batch):
            measure_runs(part, group)
            for run in group:
                run.report(part, first.found.get("value"), peak)


def measure_runs(part, runs):
    """Measures compiled runs of one loss at one batch size, interleaved."""
    views = {}
    for run in runs:
        key = run.dtype, run.candidate.single
        if key not in views:
            views[key] = device.random_views(run.batch, run.dim, *key)
        run.attempt(lambda run, key=key: run.warm_up(views[key]))
    good = [run for run in runs if "note" not in run.found]
    repeats = SECONDS_PER_RUN / max((run.slow for run in good), default=1)
    for _ in range(min(30, max(1, int(repeats)))):
        for run in good:
            if part.seconds_left() > 0:
                run.attempt(lambda run: run.time(views[run.dtype, run.candidate.single]))


def share_of_peak(loss, batch, dim, seconds, peak):
    return peers.PRODUCTS.get(loss, 4) * 2 * batch**2 * dim / seconds / peak
