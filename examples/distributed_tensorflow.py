"""Trains emoji towers on all TensorFlow devices. Every row is compared with the global batch.

The only difference from training on one device is the scope of the strategy. Under a strategy, the
losses gather the embeddings and ids of all replicas, with gradients. Without a GPU, the CPU is
split into four virtual devices.

    python examples/distributed_tensorflow.py

On several hosts, use `tf.distribute.MultiWorkerMirroredStrategy()` and set `TF_CONFIG`.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train emoji towers on all TensorFlow devices.",
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
    os.environ["KERAS_BACKEND"] = "tensorflow"  # before Keras is imported

import emoji_retrieval  # noqa: E402
import tensorflow as tf  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def make_strategy():
    """Returns a strategy for all GPUs, or for virtual CPU devices if there is none."""
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    parts = [tf.config.LogicalDeviceConfiguration()] * arguments.devices
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return tf.distribute.MirroredStrategy([f"CPU:{index}" for index in range(arguments.devices)])


def main():
    strategy = make_strategy()
    data = kc.datasets.load_emoji(size=32)
    training, held_out = data[data.split != "test"], data[(data.split == "test") & ~data.is_flag]
    replicas = strategy.num_replicas_in_sync
    print(f"{replicas} replicas, {arguments.batch_size // replicas} rows of each batch on each")
    with strategy.scope():
        model = emoji_retrieval.train(
            training,
            ["en"],
            "gamma",
            arguments.batch_size,
            arguments.epochs,
            arguments.seed,
            verbose=2,
        )
    vectors = emoji_retrieval.embed(model, held_out, "en")
    found = kc.evaluation.retrieval(vectors["twemoji"], vectors["text"], k=(10,))["recall_at_10"]
    print(f"drawing -> name, R@10 among {len(held_out)} emoji of unseen families: {found:.3f}")


if __name__ == "__main__":
    main()
