"""Compares the options of `GammaContrastive` and `GlobalContrastive` on held-out emoji.

The results justify the defaults. The settings are those of `half_the_batch.py` at a fixed
temperature. All losses start from the same weights and see the same batches. The learning rate is
tuned for each loss. The search uses the validation families, never the test families.

    KERAS_BACKEND=jax python benchmarks/gamma_defaults.py

It needs the packages of `half_the_batch.py`.
"""

import argparse
import pathlib

from trainee import ITEMS, SETTINGS, compare

import keras_contrastive as kc


def estimators(batch_size):
    """Returns the losses by name: functions of the temperature."""
    further = {"draws=1": {"draws": 1}, "draws=8": {"draws": 8}, "prior 19": {"prior": 19.0}}
    further["positive included"] = {"include_positive": True}
    gamma = {str(momentum): {"momentum": momentum} for momentum in ("visits", 0.5, 0.7, 0.9)}
    gamma |= {
        f"visits, {name}": {"momentum": "visits", **kwargs} for name, kwargs in further.items()
    }
    lines = {
        "InfoNCE": kc.losses.InfoNCE,
        "decoupled": lambda t: kc.losses.DecoupledContrastive(t, all_views=False),
        "jackknife": lambda t: kc.losses.DecoupledContrastive(
            t, bias_correction="jackknife", all_views=False
        ),
    }
    for name, kwargs in gamma.items():
        lines[f"gamma, {name}"] = lambda t, kwargs=kwargs: kc.losses.GammaContrastive(
            t, ITEMS, seed=0, **kwargs
        )
    for momentum in ("visits", 0.1, 0.7):
        lines[f"global, {momentum}"] = lambda t, momentum=momentum: kc.losses.GlobalContrastive(
            ITEMS, t, momentum
        )
    return lines


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--settings", nargs="+", choices=("frozen", "scratch"), default=["frozen", "scratch"]
    )
    parser.add_argument("--epochs", type=int, nargs="+", default=[5, 30])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[16, 128, 1024])
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.05])
    parser.add_argument(
        "--features",
        type=pathlib.Path,
        default=pathlib.Path("out/features.npz"),
        help="cache of the features",
    )
    parser.add_argument(
        "--quick", action="store_true", help="the first losses of one cell, from scratch"
    )
    arguments = parser.parse_args()
    make_lines = estimators
    if arguments.quick:
        arguments.settings, arguments.batch_size, arguments.epochs, arguments.seeds = (
            ["scratch"],
            [256],
            [2],
            2,
        )

        def make_lines(batch_size):
            return dict(list(estimators(batch_size).items())[:4])

    conditions = [
        (t, b, e)
        for t in arguments.temperature
        for b in arguments.batch_size
        for e in arguments.epochs
    ]
    for setting in arguments.settings:
        data = SETTINGS[setting](arguments.features)
        compare(make_lines, setting, data, conditions, arguments.seeds, "validation")


if __name__ == "__main__":
    main()
