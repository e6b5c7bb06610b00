"""The random stream of PyTorch itself, which Keras draws unseeded dropout from there, and from nowhere else."""

import keras
import numpy as np


def save(store):
    """Write the state of the stream, on PyTorch."""
    if keras.backend.backend() == "torch":
        import torch

        store["torch_random"] = torch.get_rng_state().numpy()
        if torch.cuda.is_available():
            store["torch_cuda_random"] = torch.cuda.get_rng_state().numpy()


def load(stored):
    """Take up the stream where it was written, from a dict that may have it."""
    if keras.backend.backend() == "torch" and "torch_random" in stored:
        import torch

        torch.set_rng_state(torch.from_numpy(np.asarray(stored["torch_random"])))
        if torch.cuda.is_available() and "torch_cuda_random" in stored:
            torch.cuda.set_rng_state(torch.from_numpy(np.asarray(stored["torch_cuda_random"])))


def start(*numbers):
    """Start a stream that belongs to these numbers, on PyTorch."""
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
