"""Compares recipes for a batch size of 16 on five folds of the icons.

The test splits of the five folds have no family in common and hold all concepts together. So the
error over families is half of that of a single fold. There are two settings: two drawings of a
concept, and a drawing and its name. Linear towers see 120,000 pairs. Each recipe is tuned on the
validation split of each fold, as in `half_the_batch.py`.

`DecoupledContrastive` at a batch size of 256 stands for micro-batches of 16 rows
(`ContrastiveTrainer(micro_batch_size=16)`), which compute the same gradient.

    KERAS_BACKEND=jax python benchmarks/icons/small_batch.py --views drawings
    KERAS_BACKEND=jax python benchmarks/icons/small_batch.py --views names
    python benchmarks/icons/small_batch.py --pages     # from the files alone
"""

import functools

import arguments as shared
import data as icons
import half_the_batch
import protocol
import runs
import small_batch_page

import keras_contrastive as kc

QUEUE = 1024


def with_queue(batch_share):
    def make(num_items, batch_size):
        queue = kc.layers.EmbeddingQueue(QUEUE, runs.OUTPUTS, batch_share=batch_share)
        return kc.losses.DecoupledContrastive(all_views=False, memory=queue, **half_the_batch.FIXED)

    return make


# The loss and the batch size of each recipe. The control is the first one.
RECIPES = {
    "DecoupledContrastive at 16": (half_the_batch.LOSSES["DecoupledContrastive"], 16),
    "with a queue at half of the weight": (with_queue(0.5), 16),
    "GammaContrastive, shared at 16": (half_the_batch.LOSSES["GammaContrastive, shared"], 16),
    "DecoupledContrastive at 256": (half_the_batch.LOSSES["DecoupledContrastive"], 256),
    "InfoNCE at 16": (half_the_batch.LOSSES["InfoNCE"], 16),
    "InfoNCE at 256": (half_the_batch.LOSSES["InfoNCE"], 256),
}


def cells(arguments):
    """Returns the functions that run the cells, by path: all recipes of a fold, fold by fold."""

    @functools.lru_cache(maxsize=1)
    def load(fold):
        return icons.load(
            arguments.source, arguments.folder, arguments.out, fold, views=arguments.views
        )

    def make_runs(recipe, fold):
        make_loss, batch_size = RECIPES[recipe]
        samples = arguments.samples or half_the_batch.SAMPLES["linear"]
        loss = make_loss(load(fold).num_concepts, batch_size)
        return runs.Runs(loss, "linear", load(fold), batch_size, samples)

    planned = {}
    folder = arguments.cells / "small_batch"
    for fold in arguments.folds:
        for recipe in arguments.recipes:
            path = folder / f"{arguments.views}-{fold}-{recipe}.json"
            like = [folder / f"{arguments.views}-{other}-{recipe}.json" for other in range(5)]
            like.append(folder / f"{arguments.views}-{fold}-{next(iter(RECIPES))}.json")
            planned[path] = functools.partial(
                protocol.run_cell,
                path,
                functools.partial(make_runs, recipe, fold),
                RECIPES[recipe][1],
                arguments.seeds,
                like,
            )
    return planned


def parse_arguments():
    parser = shared.parser(__doc__.splitlines()[0])
    parser.add_argument("--source", choices=("iconify", "pypi"), default="iconify")
    parser.add_argument("--views", choices=("drawings", "names"), default="drawings")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(5)))
    parser.add_argument("--recipes", nargs="+", choices=tuple(RECIPES), default=list(RECIPES))
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.source, arguments.samples, arguments.seeds = "pypi", 3000, 2
        arguments.folds, arguments.recipes = [0, 1], list(RECIPES)[:3:2]
        arguments.cells = arguments.out / "cells"
    return arguments


def main():
    arguments = parse_arguments()
    if arguments.pages:
        small_batch_page.write(arguments.cells)
    else:
        protocol.run_all(cells(arguments), arguments.minutes)


if __name__ == "__main__":
    main()
