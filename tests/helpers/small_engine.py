"""A recommender of twelve items with stub models, whose times a test chooses, and a store that can be away."""

import contextlib
import copy
import time

import numpy as np
import pyarrow as pa

from core import names
from core.arrow import STRINGS, write_arrow
from core.queries import Candidates
from serving.catalogue import Catalogue
from serving.engine import TwoStep
from serving.recommender import Recommender
from serving.settings import ServingSettings
from serving.stores.store import StoreError

N = 12
GENRES = ["drama", "horror"] * (N // 2)
USER_SEEN = ["i11", "i10"]


class Retriever:
    """A retriever that returns the items in the order of the catalogue, without seen items, after `seconds`."""

    def __init__(self):
        self.seconds, self.batches, self.n_items = 0.0, [], N
        self.rows_of, self.embeddings = (lambda ids: [int(item[1:]) for item in ids]), {}

    def with_items(self, catalogue):
        other = copy.copy(self)
        other.n_items, other.rows_of = len(catalogue), catalogue.rows
        return other

    def vectors(self, rows):
        return {label: vectors[rows] for label, vectors in self.embeddings.items()}

    def retrieve(self, queries, k, allowed=None):
        self.batches.append(len(queries))
        time.sleep(self.seconds)
        rows = np.full((len(queries), k), -1, np.int32)
        for place, seen in enumerate(queries.seen.to_pylist()):
            free = np.setdiff1d(np.arange(self.n_items), self.rows_of(seen))
            free = free[self._mask(allowed, place)[free]][:k]
            rows[place, : len(free)] = free
        return Candidates(rows, np.where(rows >= 0, -rows, -np.inf).astype(np.float32), {})

    def score(self, queries, rows, allowed=None):
        shown = np.stack([self._mask(allowed, place)[own] for place, own in enumerate(rows)])
        return Candidates(rows, np.where((rows >= 0) & shown, -rows, -np.inf).astype(np.float32), {})

    def close(self):
        pass

    def _mask(self, allowed, query):
        """Return whether each item may be returned to a query."""
        mask = None if allowed is None else allowed[query]
        return np.ones(self.n_items, bool) if mask is None else mask


class Ranker:
    """A ranker that scores items by `values`, by default the last ones highest, after `seconds`."""

    def __init__(self):
        self.seconds, self.batches, self.values = 0.0, [], None

    def rank(self, queries, candidates):
        self.batches.append(len(queries))
        time.sleep(self.seconds)
        filled = candidates.rows >= 0
        scores = candidates.rows if self.values is None else self.values[candidates.rows]
        return np.where(filled, scores, -np.inf).astype(np.float32), np.where(filled, 0.25, 0.0)

    def with_items(self, catalogue):
        return self

    def close(self):
        pass


class Away:
    """A store that can be away: all its methods but `close` raise StoreError while `gone`."""

    def __init__(self, store):
        self.store, self.gone, self.asked = store, False, 0

    @property
    def away(self):
        return self.store.away

    def __getattr__(self, name):
        method = getattr(self.store, name)

        def asked(*arguments):
            self.asked += 1
            if self.gone:
                raise StoreError("the store is away")
            return method(*arguments)

        return method if name == "close" else asked


def recommender(folder, store, before=None, arms=None, columns=None, read_at=0, **settings):
    """Return a recommender of the user `known` and the items i0, i1, …, which have as many events as their numbers say.

    Args:
      folder: an empty folder for its files.
      store: its store.
      before, arms, read_at: as for `Recommender`; arms have candidates in place of settings.
      columns: further columns of the items.
      settings: settings of the release.
    """
    values = {"name": "small", "features": {"user": {}, "item": {}}, "candidates": 6, "exclude_seen": True} | settings
    chosen = ServingSettings.model_validate(values)
    items = {names.ITEM_ID: [f"i{row}" for row in range(N)], "genre": GENRES, names.EVENT_COUNT: np.arange(N)}
    items |= columns or {}
    users = {
        names.USER_ID: ["known"],
        names.HISTORY: pa.array([USER_SEEN], STRINGS),
        names.HISTORY_TIME: pa.array([[1, 2]], pa.list_(pa.int64())),
        names.EXCLUDE: pa.array([USER_SEEN], STRINGS),
    }
    (folder / names.USERS_FOLDER).mkdir(parents=True)
    write_arrow(pa.table(users), folder / names.USERS_FOLDER / "part.arrow")
    engine = TwoStep(Retriever(), Ranker(), Catalogue(pa.table(items), chosen.features.item), chosen)
    of_arms = {label: chosen.model_copy(update={"candidates": number}) for label, number in (arms or {}).items()}
    return Recommender("version", folder, engine, store, {}, before, of_arms, read_at)


class OneRelease:
    """What `serving.server.current.Current` is to a server, with one recommender."""

    def __init__(self, recommender):
        self.recommender, self.version, self.swaps, self.refusals = recommender, recommender.version, 0, 0

    def using(self):
        return contextlib.nullcontext(self.recommender)

    def close(self):
        pass
