"""One batch on several replicas: which rows the others hold, and how they are brought together."""

from keras_contrastive.distribution import torch_processes as torch_processes
from keras_contrastive.distribution.shards import num_data_shards as num_data_shards
from keras_contrastive.distribution.shards import replicate as replicate
from keras_contrastive.distribution.shards import shard_rows as shard_rows
from keras_contrastive.distribution.shared_batch import SharedBatch as SharedBatch
from keras_contrastive.distribution.shared_batch import across_processes as across_processes
from keras_contrastive.distribution.shared_batch import num_processes as num_processes
from keras_contrastive.distribution.shared_batch import process_index as process_index
from keras_contrastive.distribution.shared_batch import shared_batch as shared_batch
from keras_contrastive.distribution.shared_batch import warn_if_local as warn_if_local
