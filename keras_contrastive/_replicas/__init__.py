"""Gathering rows across the replicas of TensorFlow, JAX and PyTorch."""

from keras_contrastive._replicas import torch_processes
from keras_contrastive._replicas.replicas import (
    Replicas,
    across_processes,
    current_replicas,
    num_processes,
    process_index,
    warn_if_local,
)
from keras_contrastive._replicas.shards import num_data_shards, replicate, shard_rows

__all__ = [
    "Replicas",
    "across_processes",
    "current_replicas",
    "num_data_shards",
    "num_processes",
    "process_index",
    "replicate",
    "shard_rows",
    "torch_processes",
    "warn_if_local",
]


def __dir__() -> list[str]:
    return __all__
