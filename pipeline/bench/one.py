"""One model under one protocol, in a process of its own, so that its time and memory are its own.

python -m pipeline.bench.one PROTOCOL MODEL PARAMS SEED OUTPUT
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
from pipeline.bench.protocols import PROTOCOLS
from pipeline.bench.world import World
from trainer.retrieval import ask
from trainer.retrieval.registry import MODELS

RESAMPLES = 1000


def main(protocol: str, model: str, params: dict[str, Any], seed: int) -> dict[str, Any]:
    """Choose by eval, fit on train and eval, ask what test asks, and measure."""
    world = World(PROTOCOLS[protocol], seed)
    entry = MODELS[model]
    settings, fit = MODELS.check(model, params), entry.load()
    transform = not MODELS.events_alone(model, params)
    early_data = world.data(1, world.queries(1), transform)
    before = _peak()
    began = time.monotonic()
    chosen = fit(settings, early_data, seed).settings
    final = fit(chosen, world.data(2, None, transform), seed)
    fitted = time.monotonic() - began
    asked = world.queries(2)
    longest = max(metrics.parse(metric)[1] for metric in world.protocol.metrics)
    k = longest if world.protocol.negatives is None else len(world.ids)
    rows = ask.retrieve(final.signatures()["retrieve"], asked, world.features.user, len(world.ids), k).rows
    if world.protocol.negatives is None:
        values = per_query(rows, asked.relevant_offsets, asked.relevant_items, len(world.ids), world.protocol.metrics)
    else:
        values = among_negatives(rows, asked, world.ids, world.protocol.negatives, seed, world.protocol.metrics)
    found = intervals.of_means(np.stack(list(values.values()), axis=1), RESAMPLES, seed)
    return {
        "model": model,
        "params": params,
        "seed": seed,
        "metrics": {
            metric: {"mean": float(found.mean[i]), "low": float(found.low[i]), "high": float(found.high[i])}
            for i, metric in enumerate(values)
        },
        "queries": len(asked),
        "fit_seconds": round(fitted, 1),
        "peak_mb": round(_peak()),
        "fit_mb": round(_peak() - before),
    }


def per_query(
    rows: np.ndarray, offsets: np.ndarray, items: np.ndarray, n_items: int, wanted: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """[Q] of each metric."""
    hits = metrics.hits(rows, offsets, items, n_items)
    parsed = {metric: metrics.parse(metric) for metric in wanted}
    return {metric: metrics.RELEVANCE[name](hits, np.diff(offsets), k) for metric, (name, k) in parsed.items()}


def among_negatives(
    rows: np.ndarray, asked: Queries, ids: pa.Array, negatives: int, seed: int, wanted: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """[Q] of each metric, of the one right item of each query among items that its user never met.

    Args:
      rows: [Q, N] all that may be returned, best first.
      asked: the queries, with one right item each.
      ids: [N] the catalogue's ids.
      negatives: how many are drawn.
      seed: of the draws.
      wanted: the metrics.
    """
    offsets = asked.seen.offsets.to_numpy().astype(np.int64)
    seen = pc.index_in(asked.seen.flatten(), value_set=ids).to_numpy()
    right = asked.relevant_items.astype(np.int64)
    known, start = np.insert(seen, offsets[1:], right), np.arange(len(offsets))
    drawn = sampled.draw_negatives(offsets + start, known, len(ids), negatives, seed)
    parsed = {metric: metrics.parse(metric) for metric in wanted}
    longest = max(k for _, k in parsed.values())
    hits = sampled.hits_of_ranks(sampled.ranks_in_lists(rows, right, drawn, longest), longest)
    one = np.ones(len(hits), np.int64)
    return {metric: metrics.RELEVANCE[name](hits, one, k) for metric, (name, k) in parsed.items()}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    _protocol, _model, _params, _seed, _output = sys.argv[1:]
    write_json(Path(_output), main(_protocol, _model, json.loads(_params), int(_seed)))
