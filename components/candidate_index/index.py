"""The index over the catalogue's embeddings, and the one way to get candidates out of a retriever.

A small catalogue needs none: the retrieval model compares all items itself (`exact`). A large one gets a graph (`hnsw`,
Malkov & Yashunin 2018, by faiss), searched with the model's query embedding. A neighbourhood model has no embeddings,
so it always answers itself.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from core import names
from core.errors import ModelError
from core.files import read_json, write_json
from core.queries import Candidates, Queries
from trainer.retrieval import ask
from transform import raw
from transform.features import Features, raw_columns

INDEX_FILE = "index.json"
GRAPH_FILE = "graph.faiss"
LINKS = 32  # of an item in the graph
DEPTH = 100  # how far down the list an index is measured
EFFORT = 200  # items looked at while building and searching


class CandidateSource:
    """A retrieval model with its index: queries in, candidates out.

    Args:
      model: folder of the retrieval SavedModel.
      index: folder of the CandidateIndex, or None to ask the model alone.
      catalogue: [N] the item ids.
      features: the feature configuration.
    """

    def __init__(self, model: str | Path, index: str | Path | None, catalogue: pa.Array, features: Features):
        self.model = tf.saved_model.load(str(model))
        self.catalogue, self.features = catalogue, features
        self.graph: Any = None
        if index is not None and read_json(Path(index) / INDEX_FILE)["kind"] == "hnsw":
            import faiss

            self.graph = faiss.read_index(str(Path(index) / GRAPH_FILE))

    def retrieve(self, queries: Queries, k: int) -> Candidates:
        """The best min(k, N) items of each query, with what the model says of them."""
        if self.graph is None:
            return ask.retrieve(self.model.signatures["retrieve"], queries, self.features.user, self.catalogue, k)
        rows, scores = [], []
        for part in ask.batches(queries, len(self.catalogue)):
            found = self._search(part, min(k, len(self.catalogue)))
            rows.append(found[0])
            scores.append(found[1])
        return Candidates(np.concatenate(rows), np.concatenate(scores))

    def score(self, queries: Queries, rows: np.ndarray) -> Candidates:
        """What the model says of the items at catalogue rows [Q, C], -1 for none."""
        return ask.score(self.model.signatures["score"], queries, self.features.user, self.catalogue, rows)

    def takes_these_features(self) -> bool:
        """Whether the model takes exactly the user features configured now, as one of an earlier release may not."""
        given = {names.USER_ID, names.HISTORY, names.EXCLUDE, names.K, *raw_columns(self.features.user)}
        return set(self.model.signatures["retrieve"].structured_input_signature[1]) == given

    def _search(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Look past the seen items, which the graph does not know of, then leave them out."""
        seen = raw.pad_strings(queries.seen)
        wide = min(k + seen.shape[1], len(self.catalogue))
        embedded = self.model.signatures["embed_query"](**ask.query_tensors(queries, self.features.user))[
            "embedding"
        ].numpy()
        scores, rows = self.graph.search(embedded, wide)
        excluded = ask.rows_of(self.catalogue, seen)
        keyed = np.arange(len(rows))[:, None] * (len(self.catalogue) + 1)
        free = (rows >= 0) & ~np.isin(keyed + rows, (keyed + excluded)[excluded >= 0])
        order = np.argsort(~free, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(free, order, axis=1)
        rows = np.where(kept, np.take_along_axis(rows, order, axis=1), -1).astype(np.int32)
        return rows, np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf).astype(np.float32)


def embed_catalogue(model, catalogue: pa.Table, features: Features) -> np.ndarray | None:
    """[N, D] float32 of every item by the model's `embed_candidate`, or None when it has none."""
    if "embed_candidate" not in model.signatures:
        return None
    parts = []
    for start in range(0, catalogue.num_rows, 4096):
        part = catalogue.slice(start, 4096)
        ids = tf.constant(part[names.ITEM_ID].combine_chunks().to_numpy(zero_copy_only=False))
        answer = model.signatures["embed_candidate"](**{names.ITEM_ID: ids}, **raw.from_table(part, features.item))
        parts.append(answer["embedding"].numpy())
    return np.concatenate(parts)


def build(kind: str, embeddings: np.ndarray | None, folder: str | Path) -> None:
    """Write the index of `kind` into `folder`; what it is stands in `INDEX_FILE`."""
    folder = Path(folder)
    if kind == "hnsw":
        if embeddings is None:
            raise ModelError(
                "the index `hnsw` needs a retrieval model with embeddings; set `retrieval.index.kind: exact`"
            )
        import faiss

        graph = faiss.IndexHNSWFlat(embeddings.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = graph.hnsw.efSearch = EFFORT
        faiss.omp_set_num_threads(1)  # with more, the order of insertion and so the graph differs from run to run
        graph.add(embeddings)
        faiss.write_index(graph, str(folder / GRAPH_FILE))
    write_json(folder / INDEX_FILE, {"kind": kind, "items": None if embeddings is None else len(embeddings)})


def recall(source: CandidateSource, embeddings: np.ndarray, queries: Queries, k: int) -> float:
    """The share of the exact best k items, by dot product in NumPy, that the source finds; seen items allowed.

    Items that tie with the k-th best count as found.
    """
    asked = ask.query_tensors(queries, source.features.user)
    exact = source.model.signatures["embed_query"](**asked)["embedding"].numpy() @ embeddings.T
    k = min(k, exact.shape[1])
    bar = np.partition(exact, -k, axis=1)[:, -k]
    rows = source.retrieve(queries, k).rows
    found = np.take_along_axis(exact, np.maximum(rows, 0), axis=1)
    return float(((found >= bar[:, None] - 1e-5) & (rows >= 0)).mean())


def check(recall: float, bar: float, kind: str) -> None:
    """Raises: ModelError when the index finds less than `bar` of what exact search finds."""
    if recall < bar:
        raise ModelError(
            f"the index `{kind}` finds {recall:.4f} of the best {DEPTH} items that exact search finds, "
            f"below retrieval.index.min_recall {bar}. Use `retrieval.index.kind: exact`, or lower the bar knowingly."
        )
