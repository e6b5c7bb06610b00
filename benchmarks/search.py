"""Measures the time of the first retrieval, and the memory of a search of a million rows.

    KERAS_BACKEND=jax python benchmarks/search.py

It prints a line of the table in `docs/benchmarks.md`. Embeddings are random, and rows of the corpus
are made when they are searched. The memory is the peak of the resident set of the whole process,
imports included.
"""

import argparse
import resource
import sys
import time

import keras
import numpy as np

import keras_contrastive as kc


def embeddings(rows, dim, seed):
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype("float32")


def chunks(rows, dim, size):
    for number, start in enumerate(range(0, rows, size)):
        yield embeddings(min(size, rows - start), dim, number)


def seconds(function, *arguments, **kwargs):
    start = time.perf_counter()
    function(*arguments, **kwargs)
    return time.perf_counter() - start


def retrieve(rows, dim):
    x = embeddings(rows, dim, 0)
    return seconds(kc.evaluation.retrieval, x, x + embeddings(rows, dim, 1))


def peak_mebibytes():
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (2**20 if sys.platform == "darwin" else 2**10)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="a thousand queries, 20,000 rows")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.queries, arguments.rows, arguments.chunk = 1000, 20_000, 5000
    dim = arguments.dim
    times = [retrieve(2000, dim), retrieve(1500, dim), retrieve(2000, dim)]
    corpus = chunks(arguments.rows, dim, arguments.chunk)
    queries = embeddings(arguments.queries, dim, 10**6)
    times.append(seconds(kc.evaluation.search, queries, corpus))
    columns = [keras.backend.backend(), *(f"{time:.2f} s" for time in times)]
    print(f"| {' | '.join(columns)} | {peak_mebibytes():.0f} MiB |")


if __name__ == "__main__":
    main()
