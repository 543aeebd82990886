"""The training speed of the two-tower beside a plain Keras model that encodes the history of each event separately.

    python benchmarks/train.py [--events N] [--seconds S]

The events are synthetic: uniform timestamps, and users and items with a skewed distribution. The plain model is what
TensorFlow Recommenders' tutorials build: an embedding of the user, an encoded history of 50 items, a softmax over the
items of the batch without accidental hits, and Adam. Both have the same sizes and run one after the other in one
process, each for a number of seconds after its graph is traced.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from core import names
from trainer.layers import seed_everything
from trainer.retrieval.two_tower import training
from trainer.retrieval.two_tower.batches import Batches, Sampling
from trainer.retrieval.two_tower.chunks import HistoryKind, Sequences
from trainer.retrieval.two_tower.settings import TwoTowerSettings

USERS, ITEMS = 5_975, 3_706
LENGTH, DIM, BATCH = 50, 32, 4096
TEMPERATURE = 0.1
SEED = 42


def synthetic(n_events: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the users and items [E] of events, sorted by user and time."""
    random = np.random.default_rng(SEED)
    users = np.sort((USERS * random.random(n_events) ** 1.7).astype(np.int64))
    return users, (ITEMS * random.random(n_events) ** 2).astype(np.int32)


@dataclass(frozen=True)
class Trained:
    """A model, its training step, and a function that returns the batches of one epoch."""

    model: Any
    step: Callable[[Any], Any]
    batches: Callable[[], Iterator[Any]]


def ours(history: str, users: np.ndarray, items: np.ndarray) -> Trained:
    """Return the two-tower."""
    settings = TwoTowerSettings(history=history, dim=DIM, batch_size=BATCH, max_history=LENGTH)
    features = SimpleNamespace(user={}, item={}, id_oov_buckets=4, history_length=LENGTH)
    sizes = {names.USER_ID: 1 + USERS + 4, names.ITEM_ID: 1 + ITEMS + 4}
    kind = HistoryKind(True, history != "mean", LENGTH, BATCH)
    sequences = Sequences(users, items, np.arange(len(users)), kind)
    sampling = Sampling(BATCH, settings.negatives, 0, 0, False, 0.0, 4)
    item_columns = {names.ITEM_ID: np.arange(ITEMS) + 1}
    batches = Batches({names.USER_ID: users + 1}, item_columns, items, sequences, sizes, sampling, SEED)
    data: Any = SimpleNamespace(features=features, sizes=sizes, n_items=ITEMS)
    known = {names.USER_ID: np.arange(USERS) + 1, names.ITEM_ID: item_columns[names.ITEM_ID]}
    model = training.TwoTower(settings, data, known)
    return Trained(model, training.steps(model, settings.learning_rate, SEED), lambda: iter(batches))


class Plain(tf.keras.Model):
    """A two-tower of Keras layers, with a history for each event."""

    def __init__(self, history: str):
        super().__init__()
        self.users, self.items = tf.keras.layers.Embedding(USERS, DIM), tf.keras.layers.Embedding(ITEMS + 1, DIM)
        self.kind, self.out = history, tf.keras.layers.Dense(DIM)
        self.gru = tf.keras.layers.GRU(DIM)
        self.attention = tf.keras.layers.MultiHeadAttention(1, DIM)
        self.norms = [tf.keras.layers.LayerNormalization() for _ in range(2)]
        self.feed_forward = [tf.keras.layers.Dense(DIM, "relu"), tf.keras.layers.Dense(DIM)]

    def encode(self, history):
        """Return the encodings [B, D] of histories [B, L], oldest first, 0 for padding before."""
        vectors, present = self.items(history), history > 0
        if self.kind == "gru":
            return self.gru(vectors, mask=present)
        if self.kind == "sasrec":
            normal = self.norms[0](vectors)
            mask = present[:, tf.newaxis] & tf.linalg.band_part(tf.ones([LENGTH, LENGTH], tf.bool), -1, 0)
            states = vectors + self.attention(normal, normal, attention_mask=mask)
            inner, outer = self.feed_forward
            return (states + outer(inner(self.norms[1](states))))[:, -1]
        weights = tf.cast(present, tf.float32)[..., tf.newaxis]
        return tf.reduce_sum(vectors * weights, axis=1) / tf.maximum(tf.reduce_sum(weights, axis=1), 1.0)

    def query(self, users, history):
        """Return the embeddings of queries, [B, D]."""
        return tf.math.l2_normalize(self.out(tf.concat([self.users(users), self.encode(history)], axis=1)), axis=1)

    def candidate(self, items):
        """Return the embeddings of items, [B, D]."""
        return tf.math.l2_normalize(self.items(items + 1), axis=1)

    def loss_of(self, users, items, history, log_expected):
        """Return the mean softmax cross-entropy over the items of the batch."""
        logits = tf.matmul(self.query(users, history), self.candidate(items), transpose_b=True) / TEMPERATURE
        size = tf.shape(items)[0]
        accidental = tf.equal(items[:, tf.newaxis], items) & ~tf.eye(size, dtype=tf.bool)
        logits = tf.where(accidental, -1e9, logits - log_expected)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(size), logits))


def plain(history: str, users: np.ndarray, items: np.ndarray) -> Trained:
    """Return the plain model."""
    model, optimizer = Plain(history), tf.keras.optimizers.legacy.Adam(0.003)
    starts = np.searchsorted(users, users)
    random = np.random.default_rng(SEED)
    log_expected = np.log(np.maximum(BATCH * np.bincount(items, minlength=ITEMS) / len(items), 1e-9)).astype(np.float32)

    def batches() -> Iterator[tuple[np.ndarray, ...]]:
        order = random.permutation(len(users))
        for first in range(0, len(order) - BATCH + 1, BATCH):
            events = order[first : first + BATCH]
            positions = events[:, None] - LENGTH + np.arange(LENGTH)
            inside = positions >= starts[events][:, None]
            history_items = np.where(inside, items[np.maximum(positions, 0)] + 1, 0)
            yield users[events], items[events], history_items, log_expected[items[events]]

    @tf.function(autograph=False)
    def step(users, items, history, log_expected):
        with tf.GradientTape() as tape:
            loss = model.loss_of(users, items, history, log_expected)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(pair for pair in zip(gradients, variables, strict=True) if pair[0] is not None)
        return loss

    return Trained(model, lambda batch: step(*batch), batches)


def events_per_second(step: Callable[[Any], Any], batches: Iterator[Any], seconds: float) -> float:
    """Return the events that are trained per second, after three steps that trace the graph."""
    for _ in range(3):
        float(step(next(batches)))
    began, steps = time.perf_counter(), 0
    for batch in batches:
        float(step(batch))
        steps += 1
        if time.perf_counter() - began > seconds:
            break
    return steps * BATCH / (time.perf_counter() - began)


def main() -> None:
    """Measure each encoder of histories with both models, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_209, help="the number of events (default: 1,000,209)")
    parser.add_argument("--seconds", type=float, default=20.0, help="the time of each measurement (default: 20)")
    given = parser.parse_args()
    users, items = synthetic(given.events)
    print(
        f"{given.events:,} events, {USERS:,} users, {ITEMS:,} items; histories of {LENGTH}, {DIM} dimensions, ", end=""
    )
    print(f"batches of {BATCH:,}; {len(os.sched_getaffinity(0))} cores\n")
    print("| history | plain, events/s | ours, events/s | ratio | ours, an epoch |\n|---|---|---|---|---|")
    for history in ("mean", "gru", "sasrec"):
        rates = []
        for make in (plain, ours):
            seed_everything(SEED)
            trained = make(history, users, items)
            rates.append(events_per_second(trained.step, trained.batches(), given.seconds))
        epoch = given.events / rates[1]
        print(
            f"| {history} | {rates[0]:,.0f} | {rates[1]:,.0f} | {rates[1] / rates[0]:.1f} | {epoch:.1f} s |", flush=True
        )


if __name__ == "__main__":
    main()
