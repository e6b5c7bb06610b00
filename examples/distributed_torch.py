"""Trains emoji towers in several PyTorch processes. Every row is compared with the global batch.

`fit` detects the process group. The trainer gives each process its part of every batch, gathers the
embeddings with gradients, and averages the gradients of the towers. Only the first process prints
and saves.

    torchrun --nproc-per-node=4 examples/distributed_torch.py
    python examples/distributed_torch.py     # starts torchrun

With GPUs, start one process for each GPU. On several hosts, pass `--nnodes` and a rendezvous to
`torchrun`.

Drawings: Twemoji (CC BY 4.0) and OpenMoji (CC BY-SA 4.0).
"""

import argparse
import os
import sys


def parse_arguments():
    parser = argparse.ArgumentParser(
        description="Train emoji towers in several PyTorch processes.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--processes", type=int, default=4, help="number of processes, unless started by torchrun"
    )
    parser.add_argument("--batch-size", type=int, default=128, help="rows in the global batch")
    parser.add_argument("--epochs", type=int, default=4, help="passes over the training families")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of weights, shuffling and the loss"
    )
    return parser.parse_args()


arguments = parse_arguments() if __name__ == "__main__" else None
if arguments is not None and "RANK" not in os.environ:
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        f"--nproc-per-node={arguments.processes}",
    ]
    os.execv(sys.executable, [*launcher, *sys.argv])
if arguments is not None:
    os.environ["KERAS_BACKEND"] = "torch"  # before Keras is imported

import emoji_retrieval  # noqa: E402
import torch  # noqa: E402

import keras_contrastive as kc  # noqa: E402


def main():
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    is_first, processes = torch.distributed.get_rank() == 0, torch.distributed.get_world_size()
    data = kc.datasets.load_emoji(size=32)
    training, held_out = data[data.split != "test"], data[(data.split == "test") & ~data.is_flag]
    if is_first:
        print(
            f"{processes} processes, {arguments.batch_size // processes} rows of each batch in each"
        )
    model = emoji_retrieval.train(
        training, ["en"], "gamma", arguments.batch_size, arguments.epochs, arguments.seed, verbose=2
    )
    if is_first:
        vectors = emoji_retrieval.embed(model, held_out, "en")
        found = kc.evaluation.retrieval(vectors["twemoji"], vectors["text"], k=(10,))[
            "recall_at_10"
        ]
        print(f"drawing -> name, R@10 among {len(held_out)} emoji of unseen families: {found:.3f}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
