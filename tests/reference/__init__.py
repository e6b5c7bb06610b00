"""Float64 NumPy transcriptions of the formulas, in loops: slow, plain, and written before the code."""
