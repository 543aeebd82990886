"""The index over the catalogue's embeddings: made, and measured against exact search.

`serving.models.CandidateSource` searches it. A model without embeddings has none: it compares all items itself.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from core import names
from core.errors import ModelError
from core.files import write_json
from core.queries import Queries
from serving.models import GRAPH_FILE, INDEX_FILE, CandidateSource
from trainer.retrieval import ask
from transform.arrays import raw_arrays
from transform.features import Features

LINKS = 32  # of an item in the graph
DEPTH = 100  # how far down the list an index is measured
EFFORT = 200  # items looked at while building and searching


def embed_catalogue(model, catalogue: pa.Table, features: Features) -> np.ndarray | None:
    """[N, D] float32 of every item by the model's `embed_candidate`, or None when it has none."""
    if "embed_candidate" not in model.signatures:
        return None
    parts = []
    for start in range(0, catalogue.num_rows, 4096):
        part = catalogue.slice(start, 4096)
        ids = part[names.ITEM_ID].to_numpy()
        answer = model.signatures["embed_candidate"](**{names.ITEM_ID: ids}, **raw_arrays(part, features.item))
        parts.append(answer["embedding"])
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
    asked = ask.query_arrays(queries, source.features.user)
    exact = source.model.signatures["embed_query"](**asked)["embedding"] @ embeddings.T
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
