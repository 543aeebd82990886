"""The construction of an index over the item embeddings, and its recall against exact search.

`serving.candidate_source.CandidateSource` searches the index. A model without embeddings scores all items itself.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa

from core import names
from core.errors import ModelError
from core.files import write_json
from core.queries import Queries
from serving.candidate_source import GRAPH_FILE, INDEX_FILE, CandidateSource
from trainer.retrieval import inference
from transform.arrays import raw_arrays
from transform.features import Features

LINKS = 32  # the number of links of an item in the HNSW graph
DEPTH = 100  # the list length at which recall is measured
EFFORT = 200  # the length of HNSW's list of candidates, both to insert an item and to search


def embed_catalogue(model, catalogue: pa.Table, features: Features) -> np.ndarray | None:
    """Return [N, D] float32 embeddings of all items by `embed_candidate`; None for a model without embeddings."""
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
    """Write an index and its description, `INDEX_FILE`, into a folder.

    Args:
      kind: `exact`, which consists of the description alone, or `hnsw`.
      embeddings: [N, D] the embeddings of the items; None for a model without embeddings.
      folder: the folder.
    Raises:
      ModelError: `hnsw` without embeddings.
    """
    folder = Path(folder)
    if kind == "hnsw":
        if embeddings is None:
            raise ModelError(
                "the index `hnsw` needs a retrieval model with embeddings; set `retrieval.index.kind: exact`"
            )
        import faiss

        graph = faiss.IndexHNSWFlat(embeddings.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = graph.hnsw.efSearch = EFFORT
        faiss.omp_set_num_threads(1)  # several threads would insert in a random order, so the graph would vary
        graph.add(embeddings)
        faiss.write_index(graph, str(folder / GRAPH_FILE))
    write_json(folder / INDEX_FILE, {"kind": kind, "items": None if embeddings is None else len(embeddings)})


def recall(source: CandidateSource, embeddings: np.ndarray, queries: Queries, k: int) -> float:
    """Return the recall of a source against exact search: the share of the true top k items that it returns.

    An item whose dot product equals that of the k-th item belongs to the true top k. Seen items may be returned.

    Args:
      source: the retriever.
      embeddings: [N, D] the embeddings of the items.
      queries: the queries to measure with.
      k: the list length.
    """
    arrays = inference.query_arrays(queries, source.features.user)
    exact = source.model.signatures["embed_query"](**arrays)["embedding"] @ embeddings.T
    k = min(k, exact.shape[1])
    bar = np.partition(exact, -k, axis=1)[:, -k]
    rows = source.retrieve(queries, k).rows
    found = np.take_along_axis(exact, np.maximum(rows, 0), axis=1)
    return float(((found >= bar[:, None] - 1e-5) & (rows >= 0)).mean())


def check(recall: float, bar: float, kind: str) -> None:
    """Raise ModelError if the recall of an index against exact search is below `bar`."""
    if recall < bar:
        raise ModelError(
            f"the index `{kind}` finds {recall:.4f} of the best {DEPTH} items that exact search finds, "
            f"below retrieval.index.min_recall {bar}. Use `retrieval.index.kind: exact`, or lower that bound."
        )
