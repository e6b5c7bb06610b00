"""Arguments that the programs on icons share."""

import argparse
import pathlib

import data as icons
import protocol


def parser(description):
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    found.add_argument("--folder", default=icons.FOLDER, help="folder of the npm package")
    found.add_argument("--samples", type=int, help="pairs that each run sees; default: the plan")
    found.add_argument("--seeds", type=int, default=5, help="runs on the test concepts")
    found.add_argument("--minutes", type=float, default=60, help="no cell starts after this time")
    found.add_argument("--cells", type=pathlib.Path, default=protocol.CELLS)
    found.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out"))
    found.add_argument("--pages", action="store_true", help="only write the page and the figure")
    found.add_argument("--quick", action="store_true", help="a few small cells, in `--out`")
    return found
