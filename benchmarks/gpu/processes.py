"""Processes of parts: each reports rows, and is stopped after a number of seconds."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

from gpu.table import ROW, Printer


class Process:
    """Runs one part on one backend and collects its rows.

    Args:
        program: Path of the program. It gets the arguments of the part as JSON after `--child`.
        backend: Name of the Keras backend.
        child: Dict of the arguments, with the name of the part. `on_cpu` hides the GPU.
        log: Path of a file that gets everything else that the process prints.
    """

    def __init__(self, program, backend, child, log):
        self.part, self.backend, self.rows = child["part"], backend, []
        self.note = ""
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.92",
            "PYTHONUNBUFFERED": "1",
        }
        if child.get("on_cpu"):
            environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
        self.start = time.monotonic()
        self._log = log.open("a")
        self._process = subprocess.Popen(
            [sys.executable, program, "--child", json.dumps(child)],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        printer = Printer()
        for line in self._process.stdout:
            if line.startswith(ROW):
                self.rows.append(json.loads(line.removeprefix(ROW)))
                printer.print(self.rows[-1])
            else:
                self._log.write(line)

    def wait(self, seconds):
        """Waits until the process ends, and stops it after a number of seconds."""
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self.note = "stopped: no time left"
        # Its own processes, such as compilers, would keep the output open.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._reader.join()
        self._process.stdout.close()
        self._log.close()
        if self._process.wait() and not self.note:
            self.note = f"failed with exit code {self._process.returncode}, see the log"

    def state(self):
        """Returns the name, the seconds and the note of the part."""
        seconds = time.monotonic() - self.start
        return {"part": self.part, "backend": self.backend, "s": seconds, "note": self.note}
