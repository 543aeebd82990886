"""NDCG, training time, size and scoring time of every ranking model on candidate lists of MovieLens-100K.

    twostep data get movielens-100k
    python benchmarks/ranking.py                                every model with its default settings
    python benchmarks/ranking.py --models dcn trees --params '{"calibration": "platt"}'

The scoring time is that of one call of the signature `rank`, with the transform graph, for one query on one core: the
median of 200 calls.
"""

import core.tf  # Keras 2, before TensorFlow

import argparse
import functools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from components.candidate_generator import candidates
from core import metrics, names, progress
from core.queries import Queries
from pipeline.bench.protocol_data import ProtocolData
from pipeline.bench.protocols import PROTOCOLS
from serving.candidates import candidate_table
from serving.catalogue import Catalogue
from trainer.ranking.contract import PER_CANDIDATE, RankingData, list_ndcg, lists_of
from trainer.ranking.registry import MODELS
from trainer.ranking.run_fn import transformed_lists
from trainer.retrieval import inference
from trainer.retrieval.contract import RetrievalModel
from trainer.retrieval.registry import MODELS as RETRIEVERS

HELD_OUT = 0.15
SCORED = 500  # the number of candidates per timed call
CALLS = 200


def main() -> None:
    """Measure each model and print its line of the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--models", nargs="+", default=list(MODELS.entries), choices=MODELS.entries, metavar="MODEL")
    arguments.add_argument("--params", type=json.loads, default={}, help="settings of the models, as JSON")
    arguments.add_argument("--retriever", default="item_knn", help="the retrieval model of the candidates")
    arguments.add_argument("--candidates", type=int, default=200, help="the number of candidates per query")
    arguments.add_argument("--protocol", default="movielens-100k", choices=PROTOCOLS, help="the data and its split")
    arguments.add_argument("--seed", type=int, default=42, help="the seed of the models and of the held-out users")
    given = arguments.parse_args()
    lists = Lists(ProtocolData(PROTOCOLS[given.protocol], given.seed), given.retriever, given.candidates, given.seed)
    print(
        f"{given.retriever}'s order: NDCG@10 {lists.eval_ndcg():.4f} of the eval lists, {lists.test_ndcg():.4f} of test"
    )
    print(f"{'model':10}{'eval':>8}{'test':>8}{'epoch':>7}{'fit s':>8}{'MB':>7}{f'ms for {SCORED}':>12}")
    for name in given.models:
        print(row(lists, name, given.params, given.seed), flush=True)


class Lists:
    """Candidate lists as CandidateGenerator makes them, for the fit and selection of a ranker and for its evaluation.

    Args:
      protocol_data: the events.
      retriever: the name of the retrieval model.
      width: the number of candidates of a query.
      seed: the seed of the retrieval model and of the held-out users.
    """

    def __init__(self, protocol_data: ProtocolData, retriever: str, width: int, seed: int):
        self.protocol_data, self.width = protocol_data, width
        entry, with_transform = RETRIEVERS[retriever], not RETRIEVERS.events_alone(retriever, {})
        data = protocol_data.retrieval_data(1, protocol_data.queries(1), with_transform)
        early = entry.load()(RETRIEVERS.check(retriever, {}), data, seed)
        self.final = entry.load()(early.settings, protocol_data.retrieval_data(2, None, with_transform), seed)
        self.queries = protocol_data.queries(2)
        graph = protocol_data.retrieval_data(1, None, True)
        learn = protocol_data.queries(1)
        lists = self.of(learn, early, width)
        shared = {
            "features": protocol_data.features,
            "transform": graph.transform,
            "retrieval_signals": self.retrieval_signals,
        }
        transformed = functools.partial(transformed_lists, **shared)
        held_out = candidates.held_out(learn.users[names.USER_ID], HELD_OUT, seed)
        # Train lists need a relevant item. The held-out lists are not filtered, since they calibrate probabilities.
        useful = lists[names.LABEL].any(axis=1)
        train, validation = (
            transformed({name: values[chosen] for name, values in lists.items()})
            for chosen in (useful & ~held_out, held_out)
        )
        self.data = RankingData(
            protocol_data.features, graph.transform, graph.sizes, train, validation, self.retrieval_signals
        )
        self.raw_test = self.of(self.queries, self.final, width)
        self.test = transformed(self.raw_test)

    def of(self, queries: Queries, retriever: RetrievalModel, width: int) -> dict[str, np.ndarray]:
        """Return the raw candidate lists of some queries."""
        retrieved = inference.retrieve(
            retriever.signatures()["retrieve"],
            queries,
            self.protocol_data.features.user,
            len(self.protocol_data.ids),
            width,
        )
        self.retrieval_signals = (*PER_CANDIDATE, *sorted(retrieved.signals))
        table = candidate_table(
            queries, retrieved, Catalogue(self.protocol_data.catalogue, self.protocol_data.features.item)
        )
        return lists_of(table, self.protocol_data.features, self.retrieval_signals)

    def one_query(self) -> dict[str, np.ndarray]:
        """Return the raw inputs of `rank` for the query with the longest history."""
        lengths = (pa.compute.list_value_length(self.queries.history)).to_numpy()
        lists = self.of(self.queries.take(np.array([int(np.argmax(lengths))])), self.final, SCORED)
        return {name: values for name, values in lists.items() if name not in (names.LABEL, names.WEIGHT, names.RATING)}

    def eval_ndcg(self, scores: np.ndarray | None = None) -> float:
        """Return NDCG@10 on the held-out eval lists, where only relevant candidates count as relevant items.

        Args:
          scores: [Q, C] the ranker's scores; None for the retriever's order.
        """
        columns = self.data.validation
        scores = -columns[names.RETRIEVAL_RANK] if scores is None else scores
        return list_ndcg(scores, columns[names.LABEL], columns[names.WEIGHT], 10)

    def test_ndcg(self, scores: np.ndarray | None = None) -> float:
        """Return NDCG@10 of both steps on test, where missed items count as relevant items too.

        Args:
          scores: [Q, C] the ranker's scores; None for the retriever's order.
        """
        scores = -self.raw_test[names.RETRIEVAL_RANK] if scores is None else scores
        order = np.argsort(np.where(self.raw_test[names.WEIGHT] > 0, -scores, np.inf), axis=1, kind="stable")
        hits = np.take_along_axis(self.raw_test[names.LABEL], order, axis=1) > 0
        return float(np.nanmean(metrics.ndcg(hits, np.diff(self.queries.relevant_offsets), 10)))


def row(lists: Lists, name: str, params: dict[str, Any], seed: int) -> str:
    """Fit and measure a ranking model, and return its line of the table."""
    start = time.perf_counter()
    with progress.listening(lambda text: print(f"\r{name}: {text:70}", end="", file=sys.stderr, flush=True)):
        ranker, log = MODELS[name].load()(MODELS.check(name, params), lists.data, seed)
    seconds = time.perf_counter() - start
    print("\r" + " " * 90 + "\r", end="", file=sys.stderr, flush=True)
    of_eval, of_test = (
        ranker.scores({key: tf.constant(value) for key, value in columns.items()}).numpy()
        for columns in (lists.data.validation, lists.test)
    )
    with tempfile.TemporaryDirectory() as folder:
        ranker.save(folder)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file()) / 1e6
        # The time is measured in a new process, since TensorFlow's number of threads can be set only once per process.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), one_core) as process:
            milliseconds = process.submit(timed, folder, lists.one_query()).result()
    figures = f"{lists.eval_ndcg(of_eval):8.4f}{lists.test_ndcg(of_test):8.4f}{log.get('epoch', log.get('trees')):7}"
    return f"{name:10}{figures}{seconds:8.1f}{size:7.1f}{milliseconds:12.2f}"


def one_core() -> None:
    """Restrict this process to one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def timed(folder: str, inputs: dict[str, np.ndarray]) -> float:
    """Return the median milliseconds of a call of the signature `rank`, over `CALLS` calls after 20 others.

    Args:
      folder: the folder of the ranking SavedModel.
      inputs: the inputs of the signature for one query.
    """
    core.tf.register_ops()
    rank = tf.saved_model.load(folder).signatures["rank"]
    query = {name: tf.constant(values) for name, values in inputs.items()}
    seconds = []
    for _ in range(20 + CALLS):
        start = time.perf_counter()
        rank(**query)["score"].numpy()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[20:])) * 1e3


if __name__ == "__main__":
    main()
