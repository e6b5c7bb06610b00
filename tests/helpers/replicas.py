"""Processes and scopes of several replicas on this machine, on each backend."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys

import keras


def replica_environments(count):
    """Returns the environment variables of each process, for a number of replicas."""
    environments = _ENVIRONMENTS[keras.backend.backend()](count)
    return [
        {**os.environ, "KERAS_BACKEND": keras.backend.backend(), **extra} for extra in environments
    ]


def join_replicas(count):
    """Makes this process a replica.

    Returns a function that opens the scope of a model, and whether this is the first process.
    """
    return _JOIN[keras.backend.backend()](count)


def num_replicas():
    """Returns the number of replicas that would train a model in this scope."""
    return _NUM_REPLICAS[keras.backend.backend()]()


def _num_replicas_jax():
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else distribution.device_mesh.devices.size


def _num_replicas_tensorflow():
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _num_replicas_torch():
    import torch

    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


_NUM_REPLICAS = {
    "jax": _num_replicas_jax,
    "tensorflow": _num_replicas_tensorflow,
    "torch": _num_replicas_torch,
}


def _torch_environments(count):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }
    return (
        [{**common, "RANK": str(rank)} for rank in range(count)]
        if count > 1
        else [{"OMP_NUM_THREADS": "1"}]
    )


def _jax_environments(count):
    flags = f"--xla_force_host_platform_device_count={count}"
    # A collective blocks a thread until the other devices reach it. Two devices that start with
    # different ones would block all of two threads, one for each core.
    return [{"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}", "PJRT_NPROC": "16"}]


def _join_jax(count):
    if count == 1:
        return contextlib.nullcontext, True
    # A scope, because `clear_session` removes a distribution that was set before.
    return lambda: keras.distribution.DataParallel(auto_shard_dataset=False).scope(), True


def _join_tensorflow(count):
    import tensorflow as tf

    if count == 1:
        return contextlib.nullcontext, True
    cpus = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], cpus)
    return tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(count)]).scope, True


def _join_torch(count):
    import torch

    if count > 1:
        torch.distributed.init_process_group("gloo")
    return contextlib.nullcontext, os.environ.get("RANK", "0") == "0"


_ENVIRONMENTS = {
    "jax": _jax_environments,
    "tensorflow": lambda count: [{}],
    "torch": _torch_environments,
}
_JOIN = {"jax": _join_jax, "tensorflow": _join_tensorflow, "torch": _join_torch}
# The last batch cannot be divided evenly among 2 and 4 replicas. Keras on JAX requires even parts.
UNEVEN_ROWS = {"jax": 40, "tensorflow": 42, "torch": 42}[keras.backend.backend()]
# The last batch of 16 rows has 2 rows, fewer than 4 replicas. On JAX it has 4.
FEW_LEFT = {"jax": 36, "tensorflow": 34, "torch": 34}[keras.backend.backend()]


def run_replicas(count, module, *arguments):
    """Runs a module of the tests on replicas and returns the output of the first process."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    root = pathlib.Path(__file__).parent.parent.parent
    processes = [
        subprocess.Popen(
            command, env=env, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for env in replica_environments(count)
    ]
    try:
        printed = [process.communicate(timeout=3600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.stdout.close()
    for process, text in zip(processes, printed, strict=True):
        if process.returncode:
            raise RuntimeError(f"A replica failed:\n{text[-3000:]}")
    return printed[0]
