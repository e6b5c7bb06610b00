"""What happens around the steps of one `fit`: the order of the rows, what a resumed run has done, other processes."""

import contextlib
import random
import sys
import warnings

import keras
import numpy as np
from keras import ops

from keras_contrastive._replicas import num_processes, process_index, torch_processes
from keras_contrastive.trainers import _torch_random as torch_random


class Progress:
    """How far training has come, and the seed of the order of its rows; saved with the model.

    Args:
        model: The model whose random layers belong to it.
    """

    def __init__(self, model):
        self._model = model
        self.seed = None
        self.epoch = 0
        self.batch = 0
        self.loaded = False
        self._torch_random: dict = {}

    def save(self, store):
        """Write it, and the seeds of the random layers, which Keras does not save."""
        seed = -1 if self.seed is None else self.seed
        store["progress"] = np.array([seed, self.epoch, self.batch], dtype="int64")
        for place, variable in enumerate(self._seeds()):
            store[f"seed_{place}"] = ops.convert_to_numpy(variable)
        torch_random.save(store)

    def load(self, store):
        """Read it, where there is one; returns what else there is in the store."""
        stored = {name: store[name] for name in store.keys()}  # noqa: SIM118 - no dict
        progress = stored.pop("progress", None)
        self._torch_random = {
            name: stored.pop(name) for name in list(stored) if name.startswith("torch_")
        }
        seeds = [
            stored.pop(name) for name in sorted(stored, key=_number) if name.startswith("seed_")
        ]
        if progress is not None:
            seed, self.epoch, self.batch = (int(x) for x in np.asarray(progress))
            self.seed = None if seed < 0 else seed
            self.loaded = True
        variables = self._seeds()
        if len(seeds) == len(variables):  # else other random layers than those of the file
            for variable, seed in zip(variables, seeds, strict=True):
                variable.assign(np.asarray(seed))
        return stored

    def _seeds(self):
        """The states of the seed generators of all random layers, which are variables but no weights."""
        weights = {id(weight) for weight in self._model.weights}
        return [variable for variable in self._model.variables if id(variable) not in weights]

    def resume_torch_random(self):
        """Go on with the stream of a loaded file."""
        torch_random.load(self._torch_random)

    def offset_seeds(self, offset):
        """Shift the seeds, so that the random layers of several processes do not draw alike."""
        for variable in self._seeds():
            state = ops.convert_to_numpy(variable).copy()
            state[0] = (int(state[0]) + offset) % 2**31
            variable.assign(state)


class Session(keras.callbacks.Callback):
    """Goes first among the callbacks of a `fit`, and has the last word, `resume`, when they begin.

    Args:
        progress: The `Progress` of the model.
        rows: The `Rows` that are learned from, or `None` for a data set with an order of its own.
        initial_epoch: The epoch at which `fit` was asked to begin.
    """

    def __init__(self, progress, rows, initial_epoch=0):
        super().__init__()
        self.progress = progress
        self.rows = rows
        self.initial_epoch = initial_epoch
        self.resume = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: self._resume())
        self._first_epoch = True
        self._skipped = 0
        self._offset = 0
        self._quiet = contextlib.ExitStack()

    def on_train_begin(self, logs=None):
        self.progress.loaded = (
            False  # what the callbacks to come load is taken up where it was left
        )

    def _resume(self):
        model, progress = self.model, self.progress
        resumed = progress.loaded and model._initial_epoch is not None
        if progress.seed is None or not (resumed or self.initial_epoch > 0):
            progress.seed = random.randrange(2**31)
        if num_processes() > 1:
            resumed = self._agree(resumed)
        if not resumed:
            return
        # What Keras wrote beside the weights, it wrote a moment later: it may be about the backup before.
        model._initial_epoch = progress.epoch
        if self.rows is not None and progress.batch >= self.rows.num_batches:  # this epoch is done
            model._initial_epoch = progress.epoch + 1
        elif self.rows is not None:
            self._skipped = progress.batch

    def on_epoch_begin(self, epoch, logs=None):
        if not self._first_epoch:
            self._skipped = 0
        self._first_epoch = False
        self.progress.epoch, self.progress.batch = epoch, self._skipped
        torch_random.start(self.progress.seed, epoch, process_index())
        if self.rows is not None:
            self.rows.begin(self.progress.seed, epoch, self._skipped)
        if self._skipped:  # Keras takes an epoch that is shorter than the others for a lack of data
            self._quiet.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message="Your input ran out of data")

    def on_train_batch_begin(self, batch, logs=None):
        if not self._skipped:
            return
        if batch == 0:  # not before: the data loader of an epoch draws once when it begins
            self.progress.resume_torch_random()
        if (
            batch >= self.rows.num_batches
        ):  # TensorFlow would begin a step to find that there are no rows
            raise StopIteration

    def on_train_batch_end(self, batch, logs=None):
        self.progress.batch = self._skipped + batch + 1

    def on_epoch_end(self, epoch, logs=None):
        self._quiet.close()
        self.progress.epoch, self.progress.batch = epoch + 1, 0

    def on_train_end(self, logs=None):
        self.model._initial_epoch = None  # which Keras leaves for the next `fit`
        if self._offset:
            self.progress.offset_seeds(-self._offset)

    def _agree(self, resumed):
        """Give all processes the state of the first one; only random layers differ."""
        model, progress = self.model, self.progress
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        torch_processes.broadcast([v.value for v in (*model.variables, *model.optimizer.variables)])
        numbers = progress.seed, progress.epoch, progress.batch, resumed
        progress.seed, progress.epoch, progress.batch, resumed = map(
            torch_processes.first_of, numbers
        )
        self._offset = process_index() * 1_000_003
        progress.offset_seeds(self._offset)
        return resumed


def only_first_writes(callbacks):
    """Let only the first process keep the backup that `BackupAndRestore` makes."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore) and process_index():
            callback.save_freq, callback.delete_checkpoint = sys.maxsize, False


def _number(name):
    return int(name.rpartition("_")[2]) if name.startswith("seed_") else -1
