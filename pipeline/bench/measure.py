"""Measurement of one model under one protocol, in a separate process so that the peak memory is that of the model.

python -m pipeline.bench.measure PROTOCOL MODEL PARAMS SEED OUTPUT
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.recommender_evaluator import intervals
from core import metrics
from core.files import write_json
from core.metrics import sampled
from core.queries import Queries
from pipeline.bench.protocol_data import ProtocolData
from pipeline.bench.protocols import PROTOCOLS
from trainer.retrieval import inference
from trainer.retrieval.registry import MODELS

RESAMPLES = 1000


def main(protocol: str, model: str, params: dict[str, Any], seed: int) -> dict[str, Any]:
    """Choose the settings on eval, refit on train and eval, measure on test, and return the model's result."""
    data = ProtocolData(PROTOCOLS[protocol], seed)
    entry = MODELS[model]
    settings, fit = MODELS.check(model, params), entry.load()
    transform = not MODELS.events_alone(model, params)
    early_data = data.retrieval_data(1, data.queries(1), transform)
    before = _peak()
    began = time.monotonic()
    chosen = fit(settings, early_data, seed).settings
    final = fit(chosen, data.retrieval_data(2, None, transform), seed)
    seconds = time.monotonic() - began
    queries = data.queries(2)
    longest = max(metrics.parse(metric)[1] for metric in data.protocol.metrics)
    k = longest if data.protocol.negatives is None else len(data.ids)
    rows = inference.retrieve(final.signatures()["retrieve"], queries, data.features.user, len(data.ids), k).rows
    if data.protocol.negatives is None:
        values = per_query(rows, queries.relevant_offsets, queries.relevant_items, len(data.ids), data.protocol.metrics)
    else:
        values = among_negatives(rows, queries, data.ids, data.protocol.negatives, seed, data.protocol.metrics)
    estimates = intervals.of_means(np.stack(list(values.values()), axis=1), RESAMPLES, seed)
    return {
        "model": model,
        "params": params,
        "seed": seed,
        "metrics": {
            metric: {
                "mean": float(estimates.mean[i]),
                "low": float(estimates.low[i]),
                "high": float(estimates.high[i]),
            }
            for i, metric in enumerate(values)
        },
        "queries": len(queries),
        "fit_seconds": round(seconds, 1),
        "peak_mb": round(_peak()),
        "fit_mb": round(_peak() - before),
    }


def per_query(
    rows: np.ndarray, offsets: np.ndarray, items: np.ndarray, n_items: int, metric_names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return metric → its values [Q], one per query, for the lists `rows` from the full catalogue.

    Args:
      rows: [Q, K] the item rows of the lists, best first.
      offsets: [Q + 1] where the relevant items of each query begin in `items`.
      items: the item rows of the relevant items of all queries.
      n_items: the size of the catalogue.
      metric_names: the metrics, such as `ndcg@10`.
    """
    hits = metrics.hits(rows, offsets, items, n_items)
    parsed = {metric: metrics.parse(metric) for metric in metric_names}
    return {metric: metrics.RELEVANCE[name](hits, np.diff(offsets), k) for metric, (name, k) in parsed.items()}


def among_negatives(
    rows: np.ndarray, queries: Queries, ids: pa.Array, negatives: int, seed: int, metric_names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Return metric → its values [Q], one per query; each query's relevant item is ranked among sampled negatives.

    Args:
      rows: [Q, N] the item rows of all items that may be recommended, best first.
      queries: the queries, with one relevant item each.
      ids: [N] item ids of the catalogue.
      negatives: the number of negatives per query, sampled from items without events of the user.
      seed: the seed of the sampling.
      metric_names: the metrics, such as `ndcg@10`.
    """
    offsets = queries.seen.offsets.to_numpy().astype(np.int64)
    seen = pc.index_in(queries.seen.flatten(), value_set=ids).to_numpy()
    positives = queries.relevant_items.astype(np.int64)
    known, start = np.insert(seen, offsets[1:], positives), np.arange(len(offsets))
    drawn = sampled.draw_negatives(offsets + start, known, len(ids), negatives, seed)
    parsed = {metric: metrics.parse(metric) for metric in metric_names}
    longest = max(k for _, k in parsed.values())
    hits = sampled.hits_of_ranks(sampled.ranks_in_lists(rows, positives, drawn, longest), longest)
    n_relevant = np.ones(len(hits), np.int64)
    return {metric: metrics.RELEVANCE[name](hits, n_relevant, k) for metric, (name, k) in parsed.items()}


def _peak() -> float:
    """Return the peak memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    _protocol, _model, _params, _seed, _output = sys.argv[1:]
    write_json(Path(_output), main(_protocol, _model, json.loads(_params), int(_seed)))
