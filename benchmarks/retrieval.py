"""The time and the recall of retrieval from tables over a made catalogue, on one core.

    python benchmarks/retrieval.py [--items N] [--dim D] [--depth K] [--queries Q] [--shares S …]

The model is a fusion of embeddings, item-kNN and popularity. Embeddings are those of clusters of items of different
sizes, and a query is near an item of its history. Recall is that of the first 100 items of the fused list, with the
index `ivf` against exact search. With `--shares` a query may return that share of the items, drawn at random.
"""

import argparse
import time

import numpy as np

from components.candidate_index import index
from serving.retrieval.retrieval import Prepared, Retrieval
from serving.retrieval.scored import Selection
from trainer.retrieval import plan

NEIGHBOURS, HISTORY, K, SEED = 100, 20, 100, 42


def made(n_items: int, dim: int, depth: int) -> tuple[plan.RetrievalPlan, dict[str, np.ndarray]]:
    """Return the plan and the tables of a fusion."""
    random = np.random.default_rng(SEED)
    spectrum = (1 / np.sqrt(1 + np.arange(dim))).astype(np.float32)
    centres = random.normal(size=(2000, dim)).astype(np.float32) * spectrum
    cluster = np.minimum(random.exponential(400, n_items).astype(int), 1999)
    embeddings = centres[cluster] + 0.5 * random.normal(size=(n_items, dim)).astype(np.float32) * spectrum
    popularity = random.pareto(1, n_items).astype(np.float32)
    popularity /= popularity.max()
    labels = ("towers", "item_knn", "popularity")
    described = plan.RetrievalPlan(
        parts={
            "towers": plan.Embedding(),
            "item_knn": plan.Neighbours(half_life=None, distinct=False),
            "popularity": plan.Lists(),
        },
        history_length=HISTORY,
        fusion=plan.Fusion(
            weights=dict.fromkeys(labels, 1.0), by_features=(), cold_share=0.0, rank_constant=60.0, depth=depth
        ),
    )
    tables = {
        "embeddings_of_towers": embeddings.astype(np.float32),
        "neighbours_of_item_knn": random.integers(0, n_items, (n_items, NEIGHBOURS), np.int32),
        "weights_of_item_knn": random.random((n_items, NEIGHBOURS), np.float32),
        "popularity_of_item_knn": 1e-6 * popularity,
        "scores_of_popularity": popularity[np.newaxis],
        "received": np.zeros(n_items, np.float32),
        "share": np.ones(n_items, np.float32),
        "ties": 1e-6 * popularity,
    }
    return described, tables


def measured(retrieval: Retrieval, queries: list[Prepared]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the lists [Q, K], and the time of each query in milliseconds."""
    rows, times = [], []
    for query in queries:
        began = time.perf_counter()
        rows.append(retrieval.retrieve(query, K).rows[0])
        times.append(1000 * (time.perf_counter() - began))
    return np.stack(rows), np.array(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--depth", type=int, default=300)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--shares", type=float, nargs="*", default=[1.0])
    arguments = parser.parse_args()
    described, tables = made(arguments.items, arguments.dim, arguments.depth)
    embeddings = tables["embeddings_of_towers"]
    began = time.perf_counter()
    clusters = index.clusters(embeddings)
    print(f"index of {arguments.items:,} items in {time.perf_counter() - began:.0f} s, {clusters.nlist:,} clusters")
    indexed, exact = Retrieval(described, tables, {"towers": clusters}), Retrieval(described, tables)
    random = np.random.default_rng(SEED + 1)
    print("\n| share | recall@100 | p50, ms | p99, ms | exact p50, ms | exact p99, ms |\n|---|---|---|---|---|---|")
    for share in arguments.shares:
        queries = []
        for _ in range(arguments.queries):
            history = random.integers(0, arguments.items, HISTORY).astype(np.int32)
            vector = embeddings[history[-1]] + 0.3 * random.normal(size=arguments.dim).astype(np.float32)
            allowed = random.random(arguments.items) < share
            allowed[history] = False
            queries.append(Prepared([history], {"towers": vector[np.newaxis].astype(np.float32)}, [Selection(allowed)]))
        measured(indexed, queries[:20])
        found, times = measured(indexed, queries)
        expected, exact_times = measured(exact, queries)
        recall = np.mean([np.isin(one, other).mean() for one, other in zip(expected, found, strict=True)])
        (p50, p99), (e50, e99) = np.percentile(times, [50, 99]), np.percentile(exact_times, [50, 99])
        print(f"| {share:.1%} | {recall:.4f} | {p50:.1f} | {p99:.1f} | {e50:.1f} | {e99:.1f} |")


if __name__ == "__main__":
    main()
