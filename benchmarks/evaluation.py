"""Time and memory of an evaluation: every list metric at three k, four models, intervals, differences and slices.

    python benchmarks/evaluation.py

The lists are random: power-law popularity, 100 items per list, 1 to 39 relevant items per query. Each size runs in its
own process, so that its peak memory can be measured. The exit code is 1 if a size takes more time or memory than its
target.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa

from components.recommender_evaluator import evaluation
from core import metrics
from serving.item_vectors import item_vectors
from transform.features import Features

KS, LENGTH, RESAMPLES, SEED = (10, 20, 100), 100, 1000, 0
MODELS = ("two_step", "popularity", "item_knn", "in_force")
# The numbers of queries and items → the targets: the maximum seconds and GB.
TARGETS = {(6_000, 4_000): (5.0, 2.0), (30_000, 41_000): (90.0, 2.0)}
FEATURES = Features.model_validate({"item": {"brand": "categorical", "genres": "multi_valued", "price": "numeric"}})


def lists(draw: np.random.Generator, n_queries: int, n_items: int, popularity: np.ndarray) -> np.ndarray:
    """Return [n_queries, LENGTH] item rows, distinct within a list and drawn by popularity [n_items]."""
    ranked = np.empty((n_queries, LENGTH), dtype=np.int32)
    for start in range(0, n_queries, 500):
        keys = np.log(popularity) + draw.gumbel(size=(min(500, n_queries - start), n_items))
        ranked[start : start + 500] = np.argpartition(-keys, LENGTH, axis=1)[:, :LENGTH]
    return ranked


def sets(draw: np.random.Generator, n_queries: int, n_items: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random sets of items per query as CSR offsets and items; a set has at least 1 and fewer than `most`."""
    sizes = draw.integers(1, most, n_queries)
    return metrics.unique_pairs(np.r_[0, np.cumsum(sizes)], draw.integers(0, n_items, sizes.sum()), n_items)


def catalogue(draw: np.random.Generator, n_items: int) -> pa.Table:
    """Return items with random features."""
    genres = pa.ListArray.from_arrays(
        pa.array(np.arange(n_items + 1, dtype=np.int32) * 2), pa.array(draw.integers(0, 20, 2 * n_items).astype(str))
    )
    brand = pa.array(draw.integers(0, 500, n_items).astype(str))
    return pa.table({"brand": brand, "genres": genres, "price": pa.array(draw.lognormal(size=n_items), pa.float32())})


def measure(n_queries: int, n_items: int) -> dict:
    """Return the seconds of all metrics of one model and of a whole evaluation, and the peak memory in GB."""
    draw = np.random.default_rng(SEED)
    popularity = 1 / np.arange(1, n_items + 1)
    ranked = {model: lists(draw, n_queries, n_items, popularity) for model in MODELS}
    relevant, counts = sets(draw, n_queries, n_items, 40), np.floor(popularity * 10_000).astype(np.int64)
    seen = sets(draw, n_queries, n_items, 100)
    items = catalogue(draw, n_items)
    features = pa.table(
        {"gender": draw.choice(["F", "M"], n_queries), "age": draw.integers(0, 7, n_queries).astype(str)}
    )
    before = _peak()
    began = time.perf_counter()
    vectors = item_vectors(items, FEATURES.item)
    one = next(iter(evaluation.lists_of({"two_step": ranked["two_step"]}, relevant, counts, seen, vectors).values()))
    for k in KS:
        for metric in metrics.BY_QUERY.values():
            metric(one, k)
        for metric in metrics.AGGREGATE.values():
            metric(one.ranked, n_items, k)
    metrics_seconds = time.perf_counter() - began
    began, busy = time.perf_counter(), time.process_time()
    evaluated = evaluation.evaluate(
        ranked,
        MODELS[0],
        relevant=relevant,
        train_counts=counts,
        ks=KS,
        features=features,
        has_history=draw.random(n_queries) < 0.9,
        resamples=RESAMPLES,
        seed=SEED,
        seen=seen,
        item_vectors=vectors,
        compared_slices=("user:cold",),
    )
    return {
        "slices": len(evaluated["slices"]),
        "metrics_s": metrics_seconds,
        "evaluate_s": time.perf_counter() - began,
        "evaluate_cpu_s": time.process_time() - busy,
        "data_gb": before,
        "peak_gb": _peak(),
    }


def _peak() -> float:
    """Return the peak memory of this process in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
    """Measure each size (queries, items) in a process of its own, or only the one of `--size` in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("QUERIES", "ITEMS"), help="measure one size, and print it as JSON"
    )
    given = parser.parse_args()
    if given.size:
        print(json.dumps(measure(*given.size)))
        return 0
    print(f"{len(metrics.METRICS)} metrics at k = {KS}, {len(MODELS)} models, {RESAMPLES:,} resamples, seed {SEED}")
    heads = {
        "queries": 8,
        "items": 7,
        "one model, s": 13,
        "evaluate, s": 12,
        "its CPU, s": 11,
        "target, s": 10,
        "peak, GB": 9,
    }
    print(*(f"{head:>{width}}" for head, width in heads.items()))
    missed = False
    for (n_queries, n_items), (seconds, gigabytes) in TARGETS.items():
        command = [sys.executable, __file__, "--size", str(n_queries), str(n_items)]
        measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{n_queries:>8,} {n_items:>7,} {measured['metrics_s']:>13.2f} {measured['evaluate_s']:>12.2f} "
            f"{measured['evaluate_cpu_s']:>11.2f} {seconds:>10.0f} "
            f"{measured['peak_gb']:>9.2f}"
        )
        missed |= measured["evaluate_s"] > seconds or measured["peak_gb"] > gigabytes
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
