"""Gathering rows across the replicas of TensorFlow, JAX and PyTorch."""

from keras_contrastive._replicas import torch_processes
from keras_contrastive._replicas.replicas import (
    SharedBatch,
    across_processes,
    num_processes,
    process_index,
    shared_batch,
    warn_if_local,
)
from keras_contrastive._replicas.shards import num_data_shards, replicate, shard_rows

__all__ = [
    "across_processes",
    "num_data_shards",
    "num_processes",
    "process_index",
    "replicate",
    "shard_rows",
    "shared_batch",
    "SharedBatch",
    "torch_processes",
    "warn_if_local",
]


def __dir__() -> list[str]:
    return __all__
