"""The time until the two-tower reaches a Recall@100, beside a plain Keras model; and iALS beside `implicit` alone.

    python benchmarks/recall.py [--events N]

The events are those of `synthetic.py`. The last event of each user is held out, and the user's earlier events are the
query. The plain model of `train.py` trains for `EPOCHS` epochs; the target is 98% of its best Recall@100. Ours trains
until it reaches the target, for at most `MOST_EPOCHS` epochs, which take about as long. Seconds are those of training
alone; the recall is measured four times in an epoch. iALS is fitted as in the pipeline, from events, and by `implicit`,
from events and from the finished matrix of confidences.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import time

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import synthetic
import tensorflow as tf
import train

from core import names
from trainer.layers import seed_everything
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.factors import ials
from trainer.retrieval.factors.settings import IALSSettings
from transform.features import Features

EPOCHS, MOST_EPOCHS, K, CHECKS = 3, 15, 100, 4


def events_of(n_events: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the users and items [E] of synthetic events, sorted by user and time."""
    table = synthetic.tables(n_events, train.USERS, train.ITEMS)["interactions"]
    users, items = (
        np.array([int(each[1:]) for each in table[name].to_pylist()]) - 1 for name in ("user_id", "item_id")
    )
    order = np.argsort(users, kind="stable")
    return users[order], items[order].astype(np.int32)


class HeldOut:
    """The queries of the held-out events: the users, and their last `LENGTH` items before, from 1, padded with 0."""

    def __init__(self, users: np.ndarray, items: np.ndarray):
        self.last = np.flatnonzero(np.r_[users[1:] != users[:-1], True])
        self.users, self.items = users[self.last], items[self.last]
        places = self.last[:, None] - train.LENGTH + np.arange(train.LENGTH)
        inside = places >= np.searchsorted(users, self.users)[:, None]
        self.history = np.where(inside, items[np.maximum(places, 0)] + 1, 0)

    def recall(self, queries: tf.Tensor, candidates: tf.Tensor) -> float:
        """Return the share of held-out items among the `K` best, given embeddings of all queries and all items."""
        best = tf.math.top_k(tf.matmul(queries, candidates, transpose_b=True), K).indices
        return float(np.mean(np.any(best.numpy() == self.items[:, None], axis=1)))

    def of_plain(self, model: train.Plain) -> float:
        """Return the Recall@100 of the plain model."""
        return self.recall(model.query(self.users, self.history), model.candidate(np.arange(train.ITEMS)))

    def of_ours(self, model: tf.keras.Model) -> float:
        """Return the Recall@100 of the two-tower, whose histories are padded at the end."""
        order = np.argsort(self.history == 0, axis=1, kind="stable")
        history = np.take_along_axis(self.history, order, axis=1).astype(np.int64)
        queries = model.query({names.USER_ID: self.users + 1, names.HISTORY: history})
        return self.recall(queries, model.candidate({names.ITEM_ID: np.arange(train.ITEMS) + 1}))


def curve(trained: train.Trained, recall, n_events: int, target: float | None) -> list[tuple[float, float]]:
    """Return (seconds of training, Recall@100) at `CHECKS` points of each epoch, up to the target if there is one."""
    every = max(1, n_events // train.BATCH // CHECKS)
    seconds, found = 0.0, []
    float(trained.step(next(trained.batches())))  # traces the graph
    for _ in range(EPOCHS if target is None else MOST_EPOCHS):
        began = time.perf_counter()
        for number, batch in enumerate(trained.batches(), 1):
            float(trained.step(batch))
            if number % every == 0:
                seconds += time.perf_counter() - began
                found.append((seconds, recall(trained.model)))
                if target is not None and found[-1][1] >= target:
                    return found
                began = time.perf_counter()
        seconds += time.perf_counter() - began
    return found


def ials_seconds(users: np.ndarray, items: np.ndarray) -> tuple[float, float, float]:
    """Return the seconds of our fit of iALS, and of `implicit` with the same settings: from events, and from a matrix.

    From events, `implicit` gets a matrix that is made as in its tutorials, with pandas' categories.
    """
    settings = IALSSettings()
    ids = pa.array([str(user) for user in users])
    catalogue = pa.table({names.ITEM_ID: [f"i{item}" for item in range(train.ITEMS)]})
    data = RetrievalData(Features(), catalogue, ids, items, np.arange(len(items)))
    series = ids.to_pandas()
    began = time.perf_counter()
    ials.fit(settings, data, train.SEED)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    codes = series.astype("category").cat.codes.to_numpy()
    counts = sp.csr_matrix((np.ones(len(items), np.float32), (codes, items)))
    weights = ials.confidence(counts, settings.alpha)
    penalty = settings.regularization * len(items) / counts.shape[0]
    middle = time.perf_counter()
    ials.item_factors(weights, settings, penalty, train.SEED)
    end = time.perf_counter()
    return ours, end - began, end - middle


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_209, help="the number of events (default: 1,000,209)")
    parser.add_argument("--ials", action="store_true", help="measure only iALS")
    given = parser.parse_args()
    users, items = events_of(given.events)
    held_out = HeldOut(users, items)
    known = np.delete(np.arange(len(users)), held_out.last)
    users, items = users[known], items[known]
    print("| history | plain: best Recall@100 | target | plain, s | ours, s | ratio |\n|---|---|---|---|---|---|")
    for history in () if given.ials else ("mean", "gru", "sasrec"):
        seed_everything(train.SEED)
        theirs = curve(train.plain(history, users, items), held_out.of_plain, len(users), None)
        best = max(recall for _, recall in theirs)
        target = 0.98 * best
        seed_everything(train.SEED)
        own = curve(train.ours(history, users, items), held_out.of_ours, len(users), target)
        slow = next(seconds for seconds, recall in theirs if recall >= target)
        reached = own[-1][1] >= target
        cells = (f"{own[-1][0]:.1f}", f"{slow / own[-1][0]:.1f}") if reached else (f"not reached: {own[-1][1]:.3f}", "")
        print(f"| {history} | {best:.3f} | {target:.3f} | {slow:.1f} | {' | '.join(cells)} |", flush=True)
    ials_seconds(users[:10_000], items[:10_000])  # imports
    rounds = np.array([ials_seconds(users, items) for _ in range(5)])
    own, from_events, from_matrix = np.median(rounds, axis=0)
    print(
        f"\niALS, medians of five: ours {own:.2f} s, implicit from events {from_events:.2f} s, ratio "
        f"{own / from_events:.2f}; implicit from a matrix {from_matrix:.2f} s, ratio {own / from_matrix:.2f}"
    )


if __name__ == "__main__":
    main()
