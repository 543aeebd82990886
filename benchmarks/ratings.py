"""RMSE, MAE and R² of predicted ratings on MovieLens-100K by 5-fold cross-validation, with published figures.

    twostep data get movielens-100k
    python benchmarks/ratings.py                     every model that predicts ratings, with its default settings
    python benchmarks/ratings.py --models svd nmf

Each model is fitted through the registry, and predicts by the signature `predict` that a server would call.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from core import names
from core.queries import catalogue_rows
from core.rating_metrics import RATING
from pipeline import datasets
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.registry import MODELS
from transform.features import Features

PROTOCOL = "5-fold random cross-validation, mean over the folds"
# RMSE and MAE under this protocol, by Surprise (https://surpriselib.com), with its defaults.
PUBLISHED = {
    "svd": (0.934, 0.737),
    "svdpp": (0.919, 0.721),
    "knn_baseline": (0.931, 0.733),
    "nmf": (0.963, 0.758),
    "pmf": None,
}


def main() -> None:
    """Measure each model and print its line of the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [name for name in PUBLISHED if name in MODELS.entries]
    arguments.add_argument("--models", nargs="+", default=known, choices=known, metavar="MODEL")
    arguments.add_argument("--folds", type=int, default=5, help="the number of folds")
    arguments.add_argument("--seed", type=int, default=42, help="the seed of the folds and of the models")
    arguments.add_argument("--data", type=Path, default=datasets.cache_folder("movielens-100k"))
    given = arguments.parse_args()
    events, items = (pq.read_table(given.data / f"{table}.parquet") for table in (names.INTERACTIONS, names.ITEMS))
    print(f"{PROTOCOL}; {len(events):,} ratings, {given.folds} folds, seed {given.seed}")
    print(f"{'model':14}{'RMSE':>8}{'MAE':>8}{'R²':>8}{'seconds a fit':>15}{'published RMSE / MAE':>24}")
    for name in given.models:
        values, seconds = cross_validate(name, events, items, given.folds, given.seed)
        figures = "".join(f"{values[metric]:8.4f}" for metric in ("rmse", "mae", "r2"))
        published = "{:.3f} / {:.3f}".format(*PUBLISHED[name]) if PUBLISHED[name] else "-"
        print(f"{name:14}{figures}{seconds:15.1f}{published:>24}", flush=True)


def cross_validate(
    name: str, events: pa.Table, items: pa.Table, folds: int, seed: int
) -> tuple[dict[str, float], float]:
    """Fit and evaluate a model on each fold, and return the mean of each metric and the mean seconds of a fit."""
    fold = np.random.default_rng(seed).permutation(len(events)) % folds
    values, seconds = [], []
    for held_out in range(folds):
        print(f"\r{name}: fold {held_out + 1}/{folds} ", end="", file=sys.stderr, flush=True)
        data, test = ratings_of(events.filter(pa.array(fold != held_out)), items), fold == held_out
        start = time.perf_counter()
        fitted = MODELS[name].load()(MODELS.check(name, {}), data, seed)
        seconds.append(time.perf_counter() - start)
        rows = events.filter(pa.array(test))
        pairs = {key: tf.constant(rows[key].to_numpy()) for key in (names.USER_ID, names.ITEM_ID)}
        predicted = fitted.signatures()["predict"](**pairs)[names.RATING].numpy()
        values.append([metric(predicted, rows[names.RATING].to_numpy()) for metric in RATING.values()])
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr, flush=True)
    return dict(zip(RATING, np.mean(values, axis=0), strict=True)), float(np.mean(seconds))


def ratings_of(events: pa.Table, items: pa.Table) -> RetrievalData:
    """Return rated events in the form in which a retrieval model is fitted on them."""
    return RetrievalData(
        features=Features(),
        catalogue=items.select([names.ITEM_ID]),
        users=events[names.USER_ID].combine_chunks(),
        items=catalogue_rows(items[names.ITEM_ID].combine_chunks(), events[names.ITEM_ID]),
        timestamps=events[names.TIMESTAMP].to_numpy(),
        ratings=events[names.RATING].to_numpy().astype(np.float32),
    )


if __name__ == "__main__":
    main()
