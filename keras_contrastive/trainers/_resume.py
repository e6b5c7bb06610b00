"""Resume: an interrupted and continued training equals an uninterrupted one."""

import contextlib
import random
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_contrastive._replicas import num_processes, process_index, torch_processes
from keras_contrastive.trainers._data_sets import OrderedDataset
from keras_contrastive.trainers._epoch_data import ArrayBatches


class TrainingProgress:
    """Epoch, batch and seed of a training. The model saves it with its weights.

    Args:
        model: The model. Its random layers are saved too.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self.seed: int | None = None
        self.epoch = 0
        self.batch = 0
        self.loaded = False
        self._torch_random: dict[str, Any] = {}

    def save(self, store: Any) -> None:
        """Writes the progress, and the seeds of random layers, which Keras does not save."""
        seed = -1 if self.seed is None else self.seed
        store["progress"] = np.array([seed, self.epoch, self.batch], dtype="int64")
        for index, variable in enumerate(self._seeds()):
            store[f"seed_{index}"] = ops.convert_to_numpy(variable)
        _save_torch_random(store)

    def load(self, store: Any) -> dict[str, Any]:
        """Reads the progress if the store has it. Returns the other entries of the store."""
        stored = {name: store[name] for name in list(store.keys())}
        progress = stored.pop("progress", None)
        torch_names = [name for name in stored if name.startswith("torch_")]
        self._torch_random = {name: stored.pop(name) for name in torch_names}
        seed_names = sorted((name for name in stored if name.startswith("seed_")), key=_index)
        seeds = [stored.pop(name) for name in seed_names]
        if progress is not None:
            seed, self.epoch, self.batch = (int(x) for x in np.asarray(progress))
            self.seed = None if seed < 0 else seed
            self.loaded = True
        variables = self._seeds()
        if len(seeds) == len(variables):  # otherwise the file has other random layers
            for variable, seed in zip(variables, seeds, strict=True):
                variable.assign(np.asarray(seed))
        return stored

    def restore_torch_random(self) -> None:
        """Restores the random state of PyTorch from the loaded file."""
        _load_torch_random(self._torch_random)

    def offset_seeds(self, offset: int) -> None:
        """Adds an offset to all seeds, so that random layers differ between processes."""
        for variable in self._seeds():
            state = ops.convert_to_numpy(variable).copy()
            state[0] = (int(state[0]) + offset) % 2**31
            variable.assign(state)

    def _seeds(self) -> list[Any]:
        """Returns the states of seed generators, which are variables but not weights."""
        weights = {id(weight) for weight in self._model.weights}
        return [variable for variable in self._model.variables if id(variable) not in weights]


class ResumeCallback(keras.callbacks.Callback):
    """Tracks the progress of a `fit` and continues a loaded one.

    It runs before all other callbacks. Its `resume` callback runs last in `on_train_begin`, after
    checkpoints are restored.

    Args:
        progress: The `TrainingProgress` of the model.
        batches: The training data, with `start_epoch`, or `None` for a data set with its own order.
        initial_epoch: The epoch that the user passed to `fit`.
        samplers: Samplers of PyTorch whose `set_epoch` is called in each epoch.
    """

    def __init__(
        self,
        progress: TrainingProgress,
        batches: ArrayBatches | OrderedDataset | None,
        initial_epoch: int = 0,
        samplers: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self.samplers = samplers
        self.progress = progress
        self.batches = batches
        self.initial_epoch = initial_epoch
        self.resume = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: self._resume())
        self._is_first_epoch = True
        self._skipped = 0
        self._offset = 0
        self._ignored_warnings = contextlib.ExitStack()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        # Only a checkpoint that the next callbacks load is resumed, not that of a failed `fit`.
        self.progress.loaded = False
        self.model._initial_epoch = None

    def _resume(self) -> None:
        model, progress = self.model, self.progress
        resumed = progress.loaded and model._initial_epoch is not None
        if progress.seed is None or not (resumed or self.initial_epoch > 0):
            progress.seed = random.randrange(2**31)
        if num_processes() > 1:
            resumed = self._synchronize(resumed)
        if not resumed:
            return
        # Keras writes its own epoch after the weights, so it can belong to an older backup.
        model._initial_epoch = progress.epoch
        if self.batches is None:
            return
        if progress.batch >= self.batches.num_batches:  # this epoch is complete
            model._initial_epoch = progress.epoch + 1
        else:
            self._skipped = progress.batch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._is_first_epoch:
            self._skipped = 0
        self._is_first_epoch = False
        self.progress.epoch, self.progress.batch = epoch, self._skipped
        _seed_torch(self.progress.seed, epoch, process_index())
        for sampler in self.samplers:
            sampler.set_epoch(epoch)
        if self.batches is not None:
            self.batches.start_epoch(epoch, self._skipped, self.progress.seed or 0)
        if self._skipped:
            # Keras warns about missing data if an epoch is shorter than the others.
            self._ignored_warnings.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message="Your input ran out of data")

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._skipped or self.batches is None:
            return
        if batch == 0:  # not earlier: the data loader draws once when an epoch begins
            self.progress.restore_torch_random()
        if batch >= self.batches.num_batches:
            # TensorFlow begins a step before it finds that there are no more rows.
            raise StopIteration

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.progress.batch = self._skipped + batch + 1

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._ignored_warnings.close()
        self.progress.epoch, self.progress.batch = epoch + 1, 0

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self.model._initial_epoch = None  # Keras would use it in the next `fit`
        if self._offset:
            self.progress.offset_seeds(-self._offset)

    def _synchronize(self, resumed: bool) -> bool:
        """Copies the state of the first process to all others. Only random layers differ."""
        model, progress = self.model, self.progress
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        torch_processes.broadcast([v.value for v in (*model.variables, *model.optimizer.variables)])
        progress.seed = torch_processes.first_of(progress.seed or 0)
        progress.epoch = torch_processes.first_of(progress.epoch)
        progress.batch = torch_processes.first_of(progress.batch)
        resumed = bool(torch_processes.first_of(resumed))
        self._offset = process_index() * 1_000_003
        progress.offset_seeds(self._offset)
        return resumed


def disable_backup_of_later_processes(callbacks: Sequence[Any]) -> None:
    """Lets only the first process write the files of `BackupAndRestore`."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore) and process_index():
            callback.save_freq, callback.delete_checkpoint = sys.maxsize, False


def _index(name: str) -> int:
    return int(name.rpartition("_")[2])


# The global random state of PyTorch, which Keras uses for unseeded dropout on PyTorch.


def _save_torch_random(store: Any) -> None:
    if keras.backend.backend() == "torch":
        import torch

        store["torch_random"] = torch.get_rng_state().numpy()
        if torch.cuda.is_available():
            store["torch_cuda_random"] = torch.cuda.get_rng_state().numpy()


def _load_torch_random(stored: dict[str, Any]) -> None:
    if keras.backend.backend() == "torch" and "torch_random" in stored:
        import torch

        torch.set_rng_state(torch.from_numpy(np.asarray(stored["torch_random"])))
        if torch.cuda.is_available() and "torch_cuda_random" in stored:
            torch.cuda.set_rng_state(torch.from_numpy(np.asarray(stored["torch_cuda_random"])))


def _seed_torch(*numbers: Any) -> None:
    """Seeds the random state from several numbers."""
    if keras.backend.backend() == "torch":
        import torch

        torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
