"""Reports of a part: rows as JSON lines on the standard output, within a number of seconds."""

import contextlib
import json
import time

import measure

from gpu import device
from gpu.table import ROW


class Part:
    """Reports rows of one part, and counts the seconds that are left.

    Args:
        name: Name of the part.
        quick: Whether sizes are those of a test on a CPU.
        seconds: Seconds that the part has.
    """

    def __init__(self, name, quick, seconds):
        self.name = name
        self.quick = quick
        self.end = time.monotonic() + seconds

    def seconds_left(self):
        return self.end - time.monotonic()

    def report(self, **row):
        print(ROW + json.dumps({"part": self.name, "backend": measure.BACKEND, **row}), flush=True)

    def has_time(self, seconds=0, **names):
        """Returns whether more than some seconds are left. Otherwise, reports a skipped row."""
        if self.seconds_left() > seconds:
            return True
        self.report(**names, note="skipped: no time left")
        return False

    @contextlib.contextmanager
    def row(self, **names):
        """Reports one row with the values of the dict that it yields.

        An error in the block becomes the note of the row, and the part goes on.
        """
        found = {}
        try:
            yield found
        except Exception as error:
            found["note"] = measure.failure_message(error)
        if "note" in found:
            device.release_memory()
        self.report(**names, **found)
