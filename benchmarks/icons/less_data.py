"""Measures how much training data each loss needs, on icons of one concept by two sets.

Linear towers are trained at a batch size of 16 on a share of the training concepts. All runs see
equally many pairs: with an eighth of the concepts, each concept is seen eight times as often. Each
seed has its own share. The learning rate and the temperature are tuned for each loss and share, as
in `half_the_batch.py`, whose cells are those of all the data.

    KERAS_BACKEND=jax python benchmarks/icons/less_data.py
    python benchmarks/icons/less_data.py --pages     # from the files alone
"""

import functools

import arguments as shared
import data as icons
import half_the_batch
import less_data_page
import protocol
import runs

BATCH_SIZE = 16
PARTS = [16, 4, 8, 2]  # the shares are 1 / part


def cells(arguments):
    """Returns the functions that run the cells, by path."""
    load = functools.cache(lambda: icons.load(arguments.source, arguments.folder, arguments.out))

    def make_runs(loss, part):
        made = half_the_batch.LOSSES[loss](load().num_concepts, BATCH_SIZE)
        samples = arguments.samples or half_the_batch.SAMPLES["linear"]
        return runs.Runs(made, "linear", load(), BATCH_SIZE, samples, 1 / part)

    planned = {}
    for part in arguments.parts:
        for loss in arguments.losses:
            path = arguments.cells / "less_data" / f"{arguments.source}-{part}-{loss}.json"
            make = functools.partial(make_runs, loss, part)
            like = [path.with_name(f"{arguments.source}-{p}-{loss}.json") for p in PARTS]
            like.append(
                arguments.cells / "half_the_batch" / f"{arguments.source}-linear-16-{loss}.json"
            )
            planned[path] = functools.partial(
                protocol.run_cell, path, make, BATCH_SIZE, arguments.seeds, like
            )
    return planned


def parse_arguments():
    parser = shared.parser(__doc__.splitlines()[0])
    parser.add_argument("--source", choices=("iconify", "pypi"), default="iconify")
    parser.add_argument("--losses", nargs="+", default=list(half_the_batch.LOSSES))
    parser.add_argument("--parts", type=int, nargs="+", default=PARTS, help="shares are 1 / part")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.source, arguments.samples, arguments.seeds = "pypi", 4000, 2
        arguments.losses, arguments.parts = ["InfoNCE", "DecoupledContrastive"], [8]
        arguments.cells = arguments.out / "cells"
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.pages:
        less_data_page.write(arguments.cells)
    else:
        protocol.run_all(cells(arguments), arguments.minutes)


if __name__ == "__main__":
    main()
