"""Measures the library on one NVIDIA GPU, on PyTorch and JAX, in one call of at most 8 minutes.

    python benchmarks/fetch_gpu_wheels.py     # before, on a machine with a network
    python3 -m pip install -q --no-index --no-deps --target /tmp/site .wheels/*.whl
    PYTHONPATH=/tmp/site:. python3 benchmarks/on_gpu.py
    python benchmarks/on_gpu.py --quick       # a minute, on a CPU
    python benchmarks/on_gpu.py --page out/on_gpu.json

The parts are correctness against float64 on a CPU, losses beside plain formulas and rivals, a
training step, one step with a million pairs, and augmentation. Each part runs in a process of its
own for each backend, with a time limit, so an error or a crash does not end the run. Rows are
printed as they come. The JSON file is written again after each part.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import subprocess
import tempfile
import time

from gpu.compare import compare
from gpu.page import PAGE, write_page
from gpu.processes import Process
from gpu.table import Printer

BACKENDS = ("torch", "jax")
# Seconds that a part may take on each backend (JAX compiles longer), and seconds that must be left
# to start it.
PARTS = {
    "correctness": ({"torch": 70, "jax": 70}, 20),
    "loss_speed": ({"torch": 65, "jax": 95}, 30),
    "training": ({"torch": 45, "jax": 75}, 30),
    "million": ({"torch": 90, "jax": 90}, 90),
    "augmenters": ({"torch": 40, "jax": 40}, 20),
}
START_AND_END = 8  # seconds of a process around its part


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, for a test on a CPU")
    parser.add_argument("--seconds", type=float, default=480, help="time limit of the whole run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--out", type=pathlib.Path, default=os.environ.get("OUT", "out"))
    parser.add_argument("--page", type=pathlib.Path, metavar="JSON", help="only write its results")
    parser.add_argument("--into", type=pathlib.Path, default=PAGE, help="page with the results")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_part(**options.child)
    if options.page:
        return write_page(json.loads(options.page.read_text()), options.into)
    pathlib.Path(options.out).mkdir(parents=True, exist_ok=True)
    Run(options).run_all()


class Run:
    """Runs the parts in the order of their importance, within the seconds of the options."""

    def __init__(self, options):
        self.options = options
        self.out = pathlib.Path(options.out)
        self.log = self.out / "on_gpu.log"
        self.log.write_text("")
        self.end = time.monotonic() + options.seconds
        self.result = {"machine": machine(), "quick": options.quick, "parts": [], "rows": []}

    def run_all(self):
        print(self.result["machine"], flush=True)
        for part in self.options.parts:
            if part == "correctness":
                self.check_correctness()
            else:
                for backend in self.options.backends:
                    if seconds := self.seconds_for(part, [backend]):
                        process = self.start(part, backend, seconds)
                        self.finish([process], seconds)
        print(f"{self.seconds_left():.0f} of {self.options.seconds:.0f} s are left", flush=True)

    def check_correctness(self):
        """Runs this part on all backends at once, since nothing is timed, and on a CPU."""
        backends = self.options.backends
        if not (seconds := self.seconds_for("correctness", backends)):
            return
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: f"{folder}/{name}.npz" for name in (*backends, "exact")}
            processes = [
                self.start("correctness", name, seconds, path=paths[name]) for name in backends
            ]
            processes.append(
                self.start("correctness", backends[0], seconds, path=paths["exact"], on_cpu=True)
            )
            self.finish(processes, seconds)
            printer = Printer()
            for backend in backends:
                for row in compare(paths[backend], paths["exact"]):
                    self.result["rows"].append({"part": "correctness", "backend": backend, **row})
                    printer.print(self.result["rows"][-1])
        self.write()

    def seconds_for(self, part, backends):
        """Returns the seconds that a part may take, or 0 if too few are left to start it."""
        limits, needed = PARTS[part]
        limit, left = max(limits[backend] for backend in backends), self.seconds_left()
        if left >= needed:
            return left if self.options.quick else min(limit, left)
        for backend in backends:
            note = f"skipped: {left:.0f} s are left, {needed} needed"
            print("", part, backend, note, sep=" | ", flush=True)
            self.result["parts"].append({"part": part, "backend": backend, "s": 0, "note": note})
        self.write()
        return 0

    def seconds_left(self):
        return self.end - time.monotonic()

    def start(self, part, backend, seconds, **arguments):
        quick = self.options.quick
        child = {"part": part, "quick": quick, "seconds": seconds - START_AND_END, **arguments}
        return Process(__file__, backend, child, self.log)

    def finish(self, processes, seconds):
        end = time.monotonic() + seconds
        for process in processes:
            process.wait(end - time.monotonic())
            self.result["parts"].append(process.state())
            self.result["rows"] += process.rows
            if process.note:
                print("", process.part, process.backend, process.note, sep=" | ", flush=True)
        self.write()

    def write(self):
        (self.out / "on_gpu.json").write_text(json.dumps(self.result, indent=1))


def run_part(part, quick, seconds, **arguments):
    """Runs one part in this process."""
    from gpu import device
    from gpu.part import Part

    this = Part(part, quick, seconds)
    this.report(versions=device.versions())
    importlib.import_module(f"gpu.{part}").run(this, **arguments)


def machine():
    """Returns the name of the GPU with its driver, and the processor."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        gpu = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        gpu = None
    return {"gpu": gpu, "processor": f"{os.cpu_count()} cores, {platform.machine()}"}


if __name__ == "__main__":
    main()
