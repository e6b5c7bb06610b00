"""The parts of `on_gpu.py`. Each runs in a process of its own and reports rows."""
