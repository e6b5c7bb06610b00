"""Numerical constants of the engine."""

# Stands for the log of zero in sums of exponentials. A quarter of the float32 range: twice its
# negative is finite, so differences of two such values do not overflow.
LOWEST = -3e38 / 4

# Rounding may separate equal cosines by this much if they are computed in another order.
TIE = 1e-6
