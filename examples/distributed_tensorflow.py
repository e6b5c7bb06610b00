"""Emoji towers on all devices that TensorFlow has: each takes a share of the rows, and compares it with all others.

Nothing but the strategy's scope tells this from training on one device: under a strategy the losses gather embeddings
and ids of all replicas, with gradients. Where there is no GPU, the processor poses as four devices.

    python examples/distributed_tensorflow.py

For several hosts, take `tf.distribute.MultiWorkerMirroredStrategy()` instead, and set `TF_CONFIG`.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train emoji towers on all devices of TensorFlow.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--devices", type=int, default=4, help="as how many devices a processor is to pose"
    )
    parser.add_argument("--batch-size", type=int, default=128, help="rows of the whole batch")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the training families")
    parser.add_argument("--seed", type=int, default=0, help="of weights, shuffling and the loss")
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None:
    os.environ["KERAS_BACKEND"] = "tensorflow"  # before Keras is imported

import emoji_retrieval  # noqa: E402
import tensorflow as tf  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def make_strategy():
    """All GPUs, or so many parts of the processor."""
    if tf.config.list_physical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    parts = [tf.config.LogicalDeviceConfiguration()] * arguments.devices
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    return tf.distribute.MirroredStrategy([f"CPU:{place}" for place in range(arguments.devices)])


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
