"""The retriever of an engine: a retrieval SavedModel with its index."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core import names
from core.files import read_json
from core.queries import Candidates, Queries
from serving.catalogue import NO_ITEM, Catalogue
from serving.retrieval import similar
from serving.retrieval.retrieval import Prepared, Retrieval
from serving.retrieval.scored import Selection
from serving.saved_model import SavedModel
from trainer.retrieval import inference, plan, table_files
from transform.features import Features

INDEX_FILE = "index.json"
SIGNATURES = (plan.ASK, plan.EMBED, "similar", "predict")


def index_file(label: str) -> str:
    """Return the name of the file with the index of a part of a model."""
    return f"{label}.faiss"


class CandidateSource:
    """A retriever: a retrieval model with its index.

    The lists are those of the signature `retrieve` of the model. They are computed from its tables, which takes less
    time; see `serving.retrieval`. With the index `exact` the embedding of a query is compared with all items, with
    others with some of them.

    Args:
      model: folder of the retrieval SavedModel.
      index: folder of the CandidateIndex; None to search exactly.
      catalogue: the items, in the same order as when the model was fitted.
      features: the feature configuration.
      wanted: the signatures to load; by default those that an engine calls.
      optimized: as for `serving.saved_model.SavedModel`.
    Raises:
      ModelError: the model has no tables, or it cannot be loaded.
    """

    def __init__(
        self,
        model: str | Path,
        index: str | Path | None,
        catalogue: Catalogue,
        features: Features,
        wanted: Collection[str] = SIGNATURES,
        optimized: bool = True,
    ):
        self._plan, self._tables = table_files.read(model)
        self._compares = similar.possible(self._plan)
        # Without this signature the variables that it alone uses are not in memory a second time.
        others = [name for name in wanted if name != "similar" or not self._compares]
        self.model = SavedModel(model, others, optimized)
        self.catalogue, self.features = catalogue, features
        self._n_items = len(catalogue)
        self._added: dict[str, np.ndarray] = {}  # label → the embeddings of added items, [M, D]
        self._with_added: Retrieval | None = None
        self._compared: similar.Similar | None = None  # with added items
        self._indexes: dict[str, Any] = {}
        described = {"kind": "exact"} if index is None else read_json(Path(index) / INDEX_FILE)
        if index is not None and described["kind"] != "exact":
            import faiss

            # Mapped, so that processes of one machine share the memory of an index.
            self._indexes = {
                label: faiss.read_index(str(Path(index) / index_file(label)), faiss.IO_FLAG_MMAP_IFC)
                for label in described["parts"]
            }

    @property
    def _retrieval(self) -> Retrieval:
        """Return the model as tables, with added items."""
        return self._of_model if self._with_added is None else self._with_added

    @cached_property
    def _of_model(self) -> Retrieval:
        """Return the model as tables."""
        return Retrieval(self._plan, self._tables, self._indexes)

    @cached_property
    def _compared_of_model(self) -> similar.Similar | None:
        """Return the similarities of items from tables; None if the model computes them."""
        return similar.Similar(self._of_model, self._tables) if self._compares else None

    def with_items(self, catalogue: Catalogue) -> "CandidateSource":
        """Return the retriever with items that follow those of the model, and are embedded from their features.

        Such an item has no events, and events with it are not read by the model.

        Args:
          catalogue: all items of this retriever, followed by the new ones.
        """
        rows = np.arange(len(self.catalogue), len(catalogue))
        base, other = self._of_model, copy.copy(self)  # the tables are read before they are shared
        compared = self._compared_of_model
        embed = self.model.signatures.get(plan.EMBED)
        if embed is not None:
            found = embed(**catalogue.columns(rows))
            for label in base.embeddings:
                vectors = found[plan.named(plan.EMBEDDING, label)]
                before = self._added.get(label, vectors[:0])
                other._added = other._added | {label: np.concatenate([before, vectors])}
        other.catalogue = catalogue
        added = self._n_items, len(catalogue) - self._n_items, other._added
        other._with_added = base.with_items(*added)
        other._compared = None if compared is None else compared.with_items(other._with_added, *added)
        return other

    @property
    def embeddings(self) -> dict[str, np.ndarray]:
        """Return label → the embeddings of the items, [N, D], of each part of the model that has them."""
        return self._of_model.embeddings

    def vectors(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return label → the embeddings of items at rows [C], added ones too: [C, D]; none of a part without."""
        found, added = {}, rows >= self._n_items
        for label, embeddings in self.embeddings.items():
            found[label] = embeddings[np.where(added, 0, rows)]
            if added.any():
                found[label][added] = self._added[label][rows[added] - self._n_items]
        return found

    @property
    def signals(self) -> tuple[str, ...]:
        """Return the names of the signals of the model."""
        return self._retrieval.signals

    def retrieve(self, queries: Queries, k: int, allowed: Sequence[np.ndarray | None] | None = None) -> Candidates:
        """Return the best min(k, N) items of each query, with their scores and signals.

        Args:
          queries: Q queries.
          k: the length of a list.
          allowed: [Q] masks [N] of the items that a query may return; None for all.
        """
        width = max(0, min(k, len(self.catalogue)))
        return self._joined([self._retrieval.retrieve(each, width) for each in self._batches(queries, allowed)])

    def score(
        self, queries: Queries, rows: np.ndarray, allowed: Sequence[np.ndarray | None] | None = None
    ) -> Candidates:
        """Return the scores and signals of the items at catalogue rows [Q, C], -1 for none; `allowed` as before."""
        parts, start = [], 0
        for batch in self._batches(queries, allowed):
            parts.append(self._retrieval.score(batch, rows[start : start + len(batch)]))
            start += len(batch)
        return self._joined(parts)

    def lists_of_parts(
        self, queries: Queries, labels: Collection[str], k: int
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return label → the rows of the k best items [Q, min(k, N)] of a part, and label → embeddings of queries."""
        batches = list(self._batches(queries, None))
        lists = [self._retrieval.lists(batch, labels, min(k, len(self.catalogue))) for batch in batches]
        return (
            {label: np.concatenate([each[label] for each in lists]) for label in labels},
            {label: np.concatenate([each.asked[label] for each in batches]) for label in labels},
        )

    def similar(self, item_id: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the k items most similar to an item, best first, and their similarities."""
        compared = self._compared_of_model if self._compared is None else self._compared
        if compared is not None:
            row = self.catalogue.row(item_id)
            return (np.zeros(0, np.int32), np.zeros(0, np.float32)) if row == NO_ITEM else compared.best(row, k)
        answer = self.model.signatures["similar"](item_id=[item_id], k=k)
        rows, scores = answer[names.ITEM_ROW][0], answer[names.SCORE][0]
        return rows[rows != NO_ITEM], scores[rows != NO_ITEM]

    def close(self) -> None:
        """Free the memory of the model and the index."""
        self.model.close()
        self._indexes = {}

    def _joined(self, parts: Sequence[Candidates]) -> Candidates:
        """Return the candidates of several batches as one."""
        return Candidates(
            np.concatenate([part.rows for part in parts]),
            np.concatenate([part.scores for part in parts]),
            {name: np.concatenate([part.signals[name] for part in parts]) for name in self.signals},
        )

    def _batches(self, queries: Queries, allowed: Sequence[np.ndarray | None] | None) -> Iterator[Prepared]:
        """Yield the queries in batches, at least one."""
        start, n_items = 0, len(self.catalogue)
        for batch in inference.batches(queries, n_items) if len(queries) else [queries]:
            masks: Sequence[np.ndarray | None] = [None] * len(batch)
            masks = masks if allowed is None else allowed[start : start + len(batch)]
            start += len(batch)
            selections = []
            for mask, seen in zip(masks, self._rows(batch.seen), strict=True):
                own = np.ones(n_items, bool) if mask is None else mask.copy()
                own[seen] = False
                selections.append(Selection(own))
            histories = self._rows(batch.history, self._retrieval.plan.history_length)
            yield Prepared(histories, self._asked(batch), selections)

    def _asked(self, queries: Queries) -> Mapping[str, np.ndarray]:
        """Return label → what the model answers for the part."""
        ask = self.model.signatures.get(plan.ASK)
        if ask is None:
            return {}
        answer = ask(**inference.query_arrays(queries, self.features.user))
        found = {label: answer.get(plan.named(plan.ASKED, label)) for label in self._retrieval.plan.parts}
        return {label: values for label, values in found.items() if values is not None}

    def _rows(self, ids: pa.ListArray, latest: int | None = None) -> list[np.ndarray]:
        """Return the rows of the known items of each list [Q], or of the `latest` last ids of each."""
        offsets = ids.offsets.to_numpy()
        rows = self.catalogue.rows(ids.values[offsets[0] : offsets[-1]].to_pylist())
        found = []
        for start, end in zip((offsets[:-1] - offsets[0]).tolist(), (offsets[1:] - offsets[0]).tolist(), strict=True):
            own = rows[start if latest is None else max(start, end - latest) : end]
            found.append(own[own != NO_ITEM])
        return found
