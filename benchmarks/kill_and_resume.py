"""Kills training in the middle of an epoch, resumes it, and compares it with an undisturbed run.

Each time, a process trains two small towers and is killed (signal 9) at a random step. Another
process resumes from its `BackupAndRestore`. All weights, rates, the queue, the temperature, the
optimizer state and the seeds must equal those of the undisturbed run bit for bit.

    KERAS_BACKEND=torch python benchmarks/kill_and_resume.py --times 20
"""

import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

EPOCHS, ROWS, BATCH = 4, 52, 8  # seven steps an epoch, the last one of four rows
STEPS = EPOCHS * -(-ROWS // BATCH)


def train(folder, out, steps):
    """Trains with a backup every other step, and writes a dot to the file `steps` after each."""
    import keras
    import numpy as np
    from keras import layers

    import keras_contrastive as kc

    keras.utils.set_random_seed(7)
    rng = np.random.default_rng(0)
    cause = rng.normal(size=(ROWS, 3))
    x = {name: (cause @ rng.normal(size=(3, 6))).astype("float32") for name in ("image", "text")}

    def tower():
        return keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(16),
                layers.BatchNormalization(),
                layers.Dropout(0.3),
                layers.Dense(8),
            ]
        )

    model = kc.ContrastiveTrainer(
        {"image": tower(), "text": tower()},
        augmenters={"image": layers.GaussianNoise(0.1)},
        regularizers=[kc.layers.BrownianBridge(t=(0.2, 0.8), modalities="image", weight=0.1)],
    )
    memory = kc.layers.EmbeddingQueue(24, 8)
    loss = kc.losses.GammaContrastive(
        kc.layers.LearnableTemperature(0.5), num_items=ROWS, draws=2, memory=memory
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-2, STEPS)
    model.compile(keras.optimizers.Adam(rate), loss)
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=2, double_checkpoint=True)

    def note(batch, logs):
        with open(steps, "a") as file:
            file.write(".")
        # Without a pause, a step of these towers ends before the signal arrives.
        time.sleep(0.02)

    model.fit(
        x, batch_size=BATCH, epochs=EPOCHS, verbose=0,
        callbacks=[backup, keras.callbacks.LambdaCallback(on_train_batch_end=note)],
    )  # fmt: skip
    state = [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]
    np.savez(out, *state)


def start(folder, name):
    """Starts a process that trains."""
    return subprocess.Popen(
        [sys.executable, __file__, "--train", folder / "backup", folder / name, folder / "steps"]
    )


def killed_and_resumed(folder, step, delay):
    """Kills a run `delay` seconds after `step` steps and resumes it; returns the steps of both."""
    folder.mkdir()
    (folder / "steps").touch()
    process = start(folder, "killed.npz")
    while os.path.getsize(folder / "steps") < step:
        if process.poll() is not None:
            raise RuntimeError("Training ended before it was killed.")
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = os.path.getsize(folder / "steps")
    if start(folder, "resumed.npz").wait():
        raise RuntimeError("The second run failed.")
    return first, os.path.getsize(folder / "steps") - first


def main():
    parser = argparse.ArgumentParser(
        description="Kill and resume training, and compare it with an undisturbed run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--times", type=int, default=20, help="how often to kill")
    parser.add_argument("--seed", type=int, default=0, help="of the steps at which to kill")
    parser.add_argument(
        "--train", nargs=3, metavar=("BACKUP", "OUT", "STEPS"), help=argparse.SUPPRESS
    )
    arguments = parser.parse_args()
    if arguments.train:
        train(*arguments.train)
        return
    import numpy as np

    rng, same = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "undisturbed").mkdir()
        if start(folder / "undisturbed", "undisturbed.npz").wait():
            raise RuntimeError("The undisturbed run failed.")
        expected = np.load(folder / "undisturbed" / "undisturbed.npz")
        for number in range(arguments.times):
            attempt = folder / str(number)
            # The first backup exists after four steps. The signal may arrive during a later one.
            first, second = killed_and_resumed(
                attempt, rng.randrange(4, STEPS - 1), rng.uniform(0, 0.04)
            )
            resumed = np.load(attempt / "resumed.npz")
            equal = resumed.files == expected.files and all(
                np.array_equal(resumed[n], expected[n]) for n in resumed.files
            )
            same += equal
            verdict = "the same" if equal else "DIFFERENT"
            print(
                f"killed after step {first} of {STEPS}, {second} steps after that: {verdict}",
                flush=True,
            )
    backend = os.environ.get("KERAS_BACKEND", "default backend")
    print(f"{backend}: {same} of {arguments.times} runs ended with the same bits")
    sys.exit(same != arguments.times)


if __name__ == "__main__":
    main()
