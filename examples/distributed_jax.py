"""Trains emoji towers on all JAX devices. Every row is compared with all rows of the global batch.

The only difference from training on one device is the call of `keras.distribution`. Without an
accelerator, the CPU is split into four virtual devices. With GPUs or TPUs, the script uses those.

    python examples/distributed_jax.py

On several hosts, start the script on each of them. Call `keras.distribution.initialize(...)` before
you set the distribution.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train emoji towers on all JAX devices.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--devices", type=int, default=4, help="number of virtual CPU devices")
    parser.add_argument("--batch-size", type=int, default=128, help="rows in the global batch")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the training families")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights, shuffling and the loss"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None:
    os.environ["KERAS_BACKEND"] = "jax"  # before Keras is imported
    flag = f"--xla_force_host_platform_device_count={arguments.devices}"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()
    # Virtual devices wait for each other in threads. With one for each core, they can block.
    os.environ.setdefault("PJRT_NPROC", "16")

import emoji_retrieval  # noqa: E402
import keras  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def main():
    devices = keras.distribution.list_devices()
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
    )
    data = kc.datasets.load_emoji(size=32)
    training, held_out = data[data.split != "test"], data[(data.split == "test") & ~data.is_flag]
    print(
        f"{len(devices)} devices, {arguments.batch_size // len(devices)} rows of each batch on each"
    )
    model = emoji_retrieval.train(
        training, ["en"], "gamma", arguments.batch_size, arguments.epochs, arguments.seed, verbose=2
    )
    # Keras on JAX only splits batches into equal parts.
    held_out = held_out[: len(held_out) // len(devices) * len(devices)]
    vectors = emoji_retrieval.embed(model, held_out, "en")
    found = kc.evaluation.retrieval(vectors["twemoji"], vectors["text"], k=(10,))["recall_at_10"]
    print(f"drawing -> name, R@10 among {len(held_out)} emoji of unseen families: {found:.3f}")


if __name__ == "__main__":
    main()
