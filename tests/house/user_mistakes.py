"""Mistakes that `mypy` finds in a user's code. A mistake that it misses is an unused `ignore`.

The settings of `mypy` report each unused `ignore` as an error.
"""

import keras_contrastive as kc

kc.GammaContrastive(momentum="visit")  # type: ignore[arg-type]
kc.losses.InfoNCE(reduction="total")  # type: ignore[arg-type]
kc.losses.GlobalContrastive(8, momentum="visit")  # type: ignore[arg-type]
kc.config.set_tile_shape(512)  # type: ignore[arg-type]
kc.losses.SupCom  # type: ignore[attr-defined]  # noqa: B018
