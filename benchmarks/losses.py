"""Measures time and memory of every loss, next to plain formulas and losses of other libraries.

    KERAS_BACKEND=torch python benchmarks/losses.py
    KERAS_BACKEND=jax python benchmarks/losses.py --batches 8192 65536 --losses InfoNCE --no-peers
    KERAS_BACKEND=tensorflow python benchmarks/losses.py --compile jit --memory-only
    python benchmarks/losses.py --figure out/losses_*.json

Time: medians of interleaved calls of one value with its gradient, after one warm-up call each. The
*floor* is measured in the same way. It is one compiled loop over tiles with the four products of
(batch, batch, dim) that a loss without stored logits needs: logits, logits again, two gradients. It
is scaled for losses that need more products (`PRODUCTS` in `peers.py`). If all logits fit in one
tile, our losses store them and can be faster than the floor. The *plain* formula stores the logits.
*Of product* is the share of the rate of a large square matrix product.

Memory: measured above the inputs and their gradients, each in a fresh process. *Resident* is the
peak of the resident set on a CPU, sampled every 5 ms, and the peak of the device on an accelerator.
A warm-up call with 64 rows and the compilation come first. Below about 50 MiB, the resident set is
mostly noise. *Live* is the peak of the PyTorch allocator, or the temporary buffers of XLA on JAX.
*Kept* is the memory that PyTorch holds between forward and backward. TensorFlow reports neither.

Before the timing, every candidate is compared with our loss in value and gradient, at 128 pairs in
tiles of (64, 32).

If other programs are running, set `OMP_NUM_THREADS=1`. Otherwise, the threads of PyTorch wait for
one another after each product.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys

import keras
import measure
import numpy as np
import peers
from keras import ops

from keras_contrastive.config import set_tile_shape

COLUMNS = ["loss", "who, mode", "batch", "ms", "/ floor", "/ plain", "GFLOP/s", "of product"]
COLUMNS += ["MiB resident", "MiB live", "MiB kept", "note"]
VERSIONS = [
    "numpy",
    "torch",
    "jax",
    "tensorflow",
    "pytorch-metric-learning",
    "open_clip_torch",
    "lightly",
]
VERSIONS += ["sentence-transformers", "optax"]


@dataclasses.dataclass
class Run:
    """A candidate in one mode at one batch size, with its measurements."""

    candidate: peers.Candidate
    mode: str
    batch: int
    seconds: list = dataclasses.field(default_factory=list)
    memory: dict = dataclasses.field(default_factory=dict)
    # Relative differences from our loss: value and gradient.
    difference: list = dataclasses.field(default_factory=list)
    failure: str = ""

    @property
    def names(self):
        return {
            "loss": self.candidate.loss,
            "who": self.candidate.who,
            "mode": self.mode,
            "batch": self.batch,
        }

    def record(self):
        found = {"seconds": self.seconds, **self.memory, "difference": self.difference}
        return {**self.names, **found, "note": self.failure or self.candidate.note}

    def report(self, found):
        print(*self.names.values(), found, self.failure, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--losses", nargs="+", choices=peers.OURS, default=list(peers.PLAIN))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument(
        "--compile", nargs="+", choices=measure.MODES, default=measure.DEFAULT_MODES
    )
    parser.add_argument(
        "--plain-limit", type=float, default=6, help="GiB; skips candidates with a larger estimate"
    )
    parser.add_argument("--time-only", action="store_true")
    parser.add_argument("--memory-only", action="store_true")
    parser.add_argument(
        "--compile-only",
        action="store_true",
        help="with --memory-only on JAX: read the memory from the compiled programs",
    )
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
    parser.add_argument(
        "--figure",
        type=pathlib.Path,
        nargs="+",
        metavar="JSON",
        help="only draw the figure of these results",
    )
    parser.add_argument("--measure-one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_one:
        return print(json.dumps(measure_one(**options.measure_one)))
    options.out.mkdir(parents=True, exist_ok=True)
    if options.figure:
        return draw(
            [json.loads(path.read_text()) for path in options.figure], options.out / "losses.png"
        )
    runs = plan_runs(options)
    # Memory comes first, before this process occupies the memory of an accelerator.
    if not options.time_only:
        for run in runs:
            measure_memory(run, options)
    references = {} if options.memory_only else measure_time(runs, options)
    setting = {
        "machine": machine(),
        "backend": measure.BACKEND,
        "dim": options.dim,
        "dtype": options.dtype,
    }
    result = {**setting, "references": references, "runs": [run.record() for run in runs]}
    (options.out / f"losses_{measure.BACKEND}.json").write_text(json.dumps(result, indent=1))
    draw([result], options.out / f"losses_{measure.BACKEND}.png")
    print(table(result))


def plan_runs(options):
    """Returns a run for each candidate, mode and batch size. Peers run in the first mode only."""
    runs = []
    for candidate in peers.candidates(options.losses, options.peers, options.dim):
        for mode in options.compile if candidate.who in ("ours", "plain") else options.compile[:1]:
            for batch in sorted(options.batches):
                gigabytes = candidate.stores(batch, options.dim) * 4 / 2**30
                failure = (
                    f"would need about {gigabytes:.0f} GiB"
                    if gigabytes > options.plain_limit
                    else ""
                )
                runs.append(Run(candidate, mode, batch, failure=failure))
    return runs


def measure_memory(run, options):
    if run.failure:
        return
    what = {**run.names, "dim": options.dim, "dtype": options.dtype}
    what = json.dumps({**what, "compile_only": options.compile_only})
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, __file__, "--measure-one", what]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode == 0:
        run.memory = json.loads(done.stdout.splitlines()[-1])
    else:
        run.failure = measure.failure_message(
            "out of memory" if done.returncode < 0 else done.stderr.strip().splitlines()[-1]
        )
    run.report(run.memory)


def measure_one(loss, who, mode, batch, dim, dtype, compile_only):
    every = peers.candidates([loss], who not in ("ours", "plain"), dim)
    candidate = next(candidate for candidate in every if candidate.who == who)
    arguments = mode, batch, dim, dtype, candidate.single, compile_only
    return measure.memory(candidate.make, *arguments)


def measure_time(runs, options):
    """Measures the runs. Returns the times of the floor and of a square product by batch size."""
    compare(runs, options)
    references = {}
    tile, side = ((4096, 4096), 8192) if measure.accelerator() else ((1024, 512), 2048)
    square = ops.convert_to_tensor(np.ones((side, side)), dtype=options.dtype)
    for batch in sorted(options.batches):
        rows, columns = (min(size, batch) for size in tile)
        if batch % rows or batch % columns:
            sys.exit(
                "The batch size must be a multiple of both sides of the tile of the floor. "
                f"Received: batch={batch}, tile={rows, columns}."
            )
        inputs = {
            single: measure.embeddings(batch, options.dim, options.dtype, single)
            for single in (False, True)
        }
        references[batch] = {"floor": [], "product": [], "side": side}
        turns = [(references[batch]["floor"], measure.tile_products(rows, columns), inputs[False])]
        turns += [(references[batch]["product"], measure.square_product(), [square])]
        for _, step, given in turns:
            measure.seconds(step, given)
        batch_runs = [run for run in runs if run.batch == batch]
        for run in batch_runs:
            if not run.failure:
                step, given = run.candidate.make(batch), inputs[run.candidate.single]
                step = measure.value_and_gradient(step, run.mode)
                try:
                    measure.seconds(step, given)
                    turns.append((run.seconds, step, given))
                except Exception as error:  # the other candidates continue
                    run.failure = measure.failure_message(error)
        for _ in range(options.repeats):
            for seconds, step, given in turns:
                seconds.append(measure.seconds(step, given))
        for run in batch_runs:
            run.report(f"{np.median(run.seconds) * 1e3:.1f} ms" if run.seconds else "")
    return references


def compare(runs, options, batch=128):
    """Compares each candidate with our loss in value and gradient. Disables those that differ."""
    set_tile_shape((64, 32))
    tolerance = 1e-4 if options.dtype == "float32" else 3e-2
    ours, found = {}, {}
    for run in runs:
        who = run.candidate.loss, run.candidate.who, run.mode
        if who not in found:
            step = measure.value_and_gradient(run.candidate.make(batch), run.mode)
            try:
                value, gradients = step(
                    *measure.embeddings(batch, options.dim, options.dtype, run.candidate.single)
                )
            except Exception as error:
                found[who] = [], measure.failure_message(error)
                continue
            parts = flatten([value]), flatten(gradients)
            if run.candidate.who == "ours":
                ours.setdefault(run.candidate.loss, parts)
            reference = ours.get(run.candidate.loss, parts)  # itself if our loss failed
            difference = [
                float(np.linalg.norm(x - y) / np.linalg.norm(y))
                for x, y in zip(parts, reference, strict=True)
            ]
            failure = (
                "" if max(difference) < tolerance else f"differs from ours by {max(difference):.1e}"
            )
            found[who] = difference, failure
            print(
                *who,
                f"{batch} pairs: differs by {difference[0]:.0e} (value), "
                f"{difference[1]:.0e} (gradient)",
                flush=True,
            )
        run.difference, failure = found[who]
        run.failure = run.failure or failure
    set_tile_shape(None)


def flatten(tensors):
    return np.concatenate([np.ravel(ops.convert_to_numpy(ops.cast(x, "float32"))) for x in tensors])


def machine():
    """Returns a description of the hardware and the package versions."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.split(":")[1].strip() for line in lines if line.startswith("model name")), model
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"keras {keras.__version__}"]
    for name in VERSIONS:
        if any(importlib.metadata.distributions(name=name)):
            versions.append(f"{name} {importlib.metadata.version(name)}")
    device = measure.accelerator() or "no accelerator"
    cores = f"{os.cpu_count()} cores (OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')})"
    return f"{model}, {cores}, {memory:.0f} GiB; {device}; {', '.join(versions)}"


def table(result):
    """Returns a Markdown table of the results."""
    medians = {run_key(run): np.median(run["seconds"]) for run in result["runs"] if run["seconds"]}
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    for run in result["runs"]:
        cells = [""] * 5
        if run_key(run) in medians:
            time, references = medians[run_key(run)], result["references"][run["batch"]]
            plain, products = (
                medians.get(run_key({**run, "who": "plain"})),
                peers.PRODUCTS.get(run["loss"], 4),
            )
            rate = products * 2 * run["batch"] ** 2 * result["dim"] / time
            full_rate = 2 * references["side"] ** 3 / np.median(references["product"])
            cells = [
                f"{time * 1e3:.1f}",
                f"{time / np.median(references['floor']) * 4 / products:.2f}",
            ]
            cells += [
                f"{time / plain:.2f}" if plain else "",
                f"{rate / 1e9:.0f}",
                f"{rate / full_rate:.2f}",
            ]
        memory = [run.get(name) for name in ("resident", "live", "kept")]
        cells += ["" if count is None else f"{count / 2**20:.1f}" for count in memory]
        lines.append(
            [run["loss"], f"{run['who']}, {run['mode']}", str(run["batch"]), *cells, run["note"]]
        )
    title = (
        f"{result['machine']}. Backend {result['backend']}, dim {result['dim']}, {result['dtype']}."
    )
    return "\n".join([title, "", *("| " + " | ".join(line) + " |" for line in lines)])


def run_key(run):
    return run["loss"], run["who"], run["mode"], run["batch"]


def draw(results, path):
    """Draws memory and time over the batch size for InfoNCE, its plain formula and every peer."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(16, 5.5), layout="constrained")
    for axis in axes:
        axis.set_prop_cycle(color=plt.get_cmap("tab20").colors)
    lines = {}
    for result in results:
        for run in result["runs"]:
            if run["loss"] == "InfoNCE" or run["who"] not in ("ours", "plain"):
                name = f"{result['backend']} {run['mode']}: {run['loss']}, {run['who']}"
                lines.setdefault((name, run["who"]), []).append(run)
    for (name, who), runs in lines.items():
        style = {"ours": "o-", "plain": "s--"}.get(who, "^:")
        memory = [
            (run["batch"], run["resident"] / 2**20)
            for run in runs
            if (run.get("resident") or 0) > 0
        ]
        time = [(run["batch"], np.median(run["seconds"]) * 1e3) for run in runs if run["seconds"]]
        for axis, points in zip(axes, (memory, time), strict=True):
            # Empty lines are drawn as well, so that both panels use the same colors.
            axis.plot(*(zip(*points, strict=True) if points else ([], [])), style, label=name)
    batches = sorted({run["batch"] for runs in lines.values() for run in runs})
    for axis, label in zip(
        axes, ("MiB above inputs and gradients", "ms, value and gradient"), strict=True
    ):
        scale = "log" if any(len(line.get_xdata()) for line in axis.lines) else "linear"
        axis.set(xscale=scale, yscale=scale, xlabel="batch", ylabel=label)
        axis.set_xticks(batches, [str(batch) for batch in batches])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
