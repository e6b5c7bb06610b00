"""Float64 NumPy loops, transcribed from the formulas of the papers before the code was written."""
