"""The construction of an index over the item embeddings, and its recall against exact search.

`serving.candidate_source.CandidateSource` searches the index. A model without embeddings scores all items itself.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core import names
from core.errors import ModelError
from core.files import write_json
from core.queries import Queries
from serving.candidate_source import INDEX_FILE, CandidateSource, index_file
from trainer.retrieval import plan
from transform.arrays import raw_arrays
from transform.features import Features

LINKS = 32  # the number of links of an item in the HNSW graph
DEPTH = 100  # the list length at which recall is measured
EFFORT = 200  # the length of HNSW's list of candidates, both to insert an item and to search
CLUSTERS = 4  # the number of clusters, in roots of the number of items (Douze et al., "The Faiss library", 2024)
SEARCHED = 1 / 16  # the share of the clusters that a query is compared with
PER_CLUSTER = 40  # the number of items of a cluster that its centre is computed from, on average
SEED = 0


def embeddings_of(source: CandidateSource, catalogue: pa.Table, features: Features) -> dict[str, np.ndarray]:
    """Return label → the embeddings of all items, [N, D] float32, of each part of a model that has them.

    Those of a model without members are made by its signature `embed_candidate`, those of a member are in its tables.
    """
    if "embed_candidate" not in source.model.signatures:
        return source.embeddings
    parts = []
    for start in range(0, catalogue.num_rows, 4096):
        part = catalogue.slice(start, 4096)
        ids = part[names.ITEM_ID].to_numpy()
        answer = source.model.signatures["embed_candidate"](**{names.ITEM_ID: ids}, **raw_arrays(part, features.item))
        parts.append(answer["embedding"])
    return {plan.ALONE: np.concatenate(parts)}


def build(kind: str, embeddings: Mapping[str, np.ndarray], folder: str | Path) -> None:
    """Write an index and its description, `INDEX_FILE`, into a folder.

    Args:
      kind: `exact`, which consists of the description alone, `hnsw` or `ivf`.
      embeddings: label → [N, D] the embeddings of the items by a part of the model.
      folder: the folder.
    Raises:
      ModelError: another kind than `exact` without embeddings.
    """
    folder = Path(folder)
    if kind != "exact":
        if not embeddings:
            raise ModelError(
                f"the index `{kind}` needs a retrieval model with embeddings; set `retrieval.index.kind: exact`"
            )
        import faiss

        faiss.omp_set_num_threads(1)  # several threads would insert in a random order, so the index would vary
        for label, vectors in embeddings.items():
            built = _graph(vectors) if kind == "hnsw" else clusters(vectors)
            faiss.write_index(built, str(folder / index_file(label)))
    write_json(folder / INDEX_FILE, {"kind": kind, "parts": sorted(embeddings)})


def _graph(vectors: np.ndarray) -> Any:
    """Return an HNSW graph (Malkov & Yashunin 2018) over embeddings [N, D]."""
    import faiss

    graph = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = graph.hnsw.efSearch = EFFORT
    graph.add(vectors)
    return graph


def clusters(vectors: np.ndarray) -> Any:
    """Return embeddings [N, D] by the cluster of the centre with the largest product (IVF, Sivic & Zisserman 2003)."""
    import faiss

    count = max(1, min(round(CLUSTERS * len(vectors) ** 0.5), len(vectors) // PER_CLUSTER))
    centres = faiss.IndexFlatIP(vectors.shape[1])
    built: Any = faiss.IndexIVFFlat(centres, vectors.shape[1], count, faiss.METRIC_INNER_PRODUCT)
    built.cp.min_points_per_centroid, built.cp.max_points_per_centroid, built.cp.seed = 1, PER_CLUSTER, SEED
    built.train(vectors)
    built.add(vectors)
    built.nprobe = max(1, round(SEARCHED * count))
    return built


def recall(source: CandidateSource, embeddings: Mapping[str, np.ndarray], queries: Queries, k: int) -> float:
    """Return the recall of a source against exact search: the share of the true top k items that a part returns.

    An item whose dot product equals that of the k-th item belongs to the true top k. Seen items may be returned. Of
    several parts it is the lowest.

    Args:
      source: the retriever.
      embeddings: label → [N, D] the embeddings of the items by a part of the model.
      queries: the queries to measure with.
      k: the list length.
    """
    lists, asked = source.lists_of_parts(queries, tuple(embeddings), k)
    recalls = []
    for label, vectors in embeddings.items():
        exact = asked[label] @ vectors.T
        bar = np.partition(exact, -min(k, exact.shape[1]), axis=1)[:, -min(k, exact.shape[1])]
        rows = lists[label]
        found = np.take_along_axis(exact, np.maximum(rows, 0), axis=1)
        recalls.append(float(((found >= bar[:, None] - 1e-5) & (rows >= 0)).mean()))
    return min(recalls)


def check(recall: float, bar: float, kind: str) -> None:
    """Raise ModelError if the recall of an index against exact search is below `bar`."""
    if recall < bar:
        raise ModelError(
            f"the index `{kind}` finds {recall:.4f} of the best {DEPTH} items that exact search finds, "
            f"below retrieval.index.min_recall {bar}. Use `retrieval.index.kind: exact`, or lower that bound."
        )
