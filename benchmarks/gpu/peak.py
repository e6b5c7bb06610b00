"""The rate of a large square product, which the rates of the losses are compared with."""

import keras
import measure
import numpy as np

from gpu import device


def measure_peak(part, precisions=(*device.PRECISIONS, "bfloat16")):
    """Reports the rate for each precision. Returns that of TF32, in operations per second."""
    side, rates = 512 if part.quick else 8192, {}
    for name in precisions:
        with part.row(product=f"{side} x {side}", numbers=name) as found:
            device.set_precision("float32" if name == "float32" else "TF32")
            dtype = "bfloat16" if name == "bfloat16" else "float32"
            x = keras.random.normal((side, side), dtype=dtype, seed=0)
            multiply = measure.square_product()
            seconds = [measure.seconds(multiply, [x]) for _ in range(13)][3:]
            rates[name] = 2 * side**3 / float(np.median(seconds))
            found["TFLOP/s"] = rates[name] / 1e12
    device.set_precision("TF32")
    return rates.get("TF32")
