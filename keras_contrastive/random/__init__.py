"""Random numbers that are the same on every backend and after a resume."""

from keras_contrastive.random.draws import as_seed as as_seed
from keras_contrastive.random.draws import gamma as gamma
from keras_contrastive.random.draws import hash_embeddings as hash_embeddings
from keras_contrastive.random.draws import hash_keys as hash_keys
from keras_contrastive.random.draws import uniform as uniform
