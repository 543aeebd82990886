"""The SavedModels of both steps as the engine asks them, and the release they come from."""

import core.tf  # Keras 2, before TensorFlow

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from core import names
from core.arrow import read_arrow
from core.errors import ReleaseError
from core.files import read_json
from core.queries import Candidates, Queries
from core.release import reader
from serving import settings as serving_settings
from serving.catalogue import NO_ITEM, Catalogue
from serving.engine import TwoStep
from serving.rerank.settings import check as check_reranking
from serving.saved_model import SavedModel
from serving.settings import ServingSettings
from trainer.retrieval import ask
from transform.arrays import pad_strings
from transform.features import Features, raw_columns

INDEX_FILE = "index.json"
GRAPH_FILE = "graph.faiss"


class CandidateSource:
    """A retrieval model with its index: queries in, candidates out.

    A small catalogue needs no index: the model compares all items itself (`exact`). A large one gets a graph (`hnsw`,
    Malkov & Yashunin 2018, by faiss), searched with the model's query embedding.

    Args:
      model: folder of the retrieval SavedModel.
      index: folder of the CandidateIndex, or None to ask the model alone.
      catalogue: the items, in the order in which the model was fitted on them.
      features: the feature configuration.
      wanted, optimized: as of `serving.saved_model.SavedModel`.
    """

    def __init__(
        self,
        model: str | Path,
        index: str | Path | None,
        catalogue: Catalogue,
        features: Features,
        wanted: Collection[str] | None = None,
        optimized: bool = True,
    ):
        self.model = SavedModel(model, wanted, optimized)
        self.catalogue, self.features = catalogue, features
        self.graph: Any = None
        if index is not None and read_json(Path(index) / INDEX_FILE)["kind"] == "hnsw":
            import faiss

            self.graph = faiss.read_index(str(Path(index) / GRAPH_FILE))

    @property
    def signals(self) -> tuple[str, ...]:
        """What the model says of a candidate beside its score."""
        return tuple(sorted(self.model.outputs["retrieve"] - {names.ITEM_ID, names.ITEM_ROW, names.SCORE}))

    def retrieve(self, queries: Queries, k: int) -> Candidates:
        """Return the best min(k, N) items of each query, with what the model says of them."""
        if self.graph is None:
            return ask.retrieve(self.model.signatures["retrieve"], queries, self.features.user, len(self.catalogue), k)
        rows, scores = [], []
        for part in ask.batches(queries, len(self.catalogue)):
            found = self._search(part, min(k, len(self.catalogue)))
            rows.append(found[0])
            scores.append(found[1])
        return Candidates(np.concatenate(rows), np.concatenate(scores))

    def score(self, queries: Queries, rows: np.ndarray) -> Candidates:
        """Return what the model says of the items at catalogue rows [Q, C], -1 for none."""
        ids = self.catalogue.gather(names.ITEM_ID, rows)
        return ask.score(self.model.signatures["score"], queries, self.features.user, len(self.catalogue), rows, ids)

    def similar(self, item_id: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the items most like one, best first, and their similarity."""
        answer = self.model.signatures["similar"](item_id=[item_id], k=k)
        rows, scores = answer[names.ITEM_ROW][0], answer[names.SCORE][0]
        return rows[rows != NO_ITEM], scores[rows != NO_ITEM]

    def _search(self, queries: Queries, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Look past the seen items, which the graph does not know of, then leave them out."""
        seen = pad_strings(queries.seen)
        wide = min(k + seen.shape[1], len(self.catalogue))
        embedded = self.model.signatures["embed_query"](**ask.query_arrays(queries, self.features.user))["embedding"]
        scores, rows = self.graph.search(embedded, wide)
        excluded = self.catalogue.rows(seen.ravel()).reshape(seen.shape)
        keyed = np.arange(len(rows))[:, None] * (len(self.catalogue) + 1)
        free = (rows >= 0) & ~np.isin(keyed + rows, (keyed + excluded)[excluded >= 0])
        order = np.argsort(~free, axis=1, kind="stable")[:, :k]
        kept = np.take_along_axis(free, order, axis=1)
        rows = np.where(kept, np.take_along_axis(rows, order, axis=1), NO_ITEM).astype(np.int32)
        return rows, np.where(kept, np.take_along_axis(scores, order, axis=1), -np.inf).astype(np.float32)


class SavedRanker:
    """A ranking model, called once already.

    Args:
      folder: of the SavedModel.
      optimized: as of `serving.saved_model.SavedModel`.
    """

    def __init__(self, folder: str | Path, optimized: bool = True):
        core.tf.register_ops()
        model = SavedModel(folder, ("rank",), optimized)
        model.warm("rank")
        self._rank = model.signatures["rank"]

    def rank(self, inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return scores [Q, C], -inf for padding, and probabilities of relevance [Q, C], 0 for padding."""
        answer = self._rank(**inputs)
        return answer[names.SCORE], answer[names.PROBABILITY]


def two_step(
    retrieval: str | Path,
    index: str | Path | None,
    ranking: str | Path,
    catalogue: Catalogue,
    settings: ServingSettings,
    optimized: bool = True,
) -> TwoStep:
    """Return the engine of two SavedModels and an index; the models are loaded side by side.

    Args:
      retrieval, ranking: folders of the SavedModels.
      index, catalogue: as of `CandidateSource`.
      settings: of the engine.
      optimized: as of `serving.saved_model.SavedModel`.
    """
    with ThreadPoolExecutor(1) as beside:
        ranker = beside.submit(SavedRanker, ranking, optimized)
        retriever = CandidateSource(retrieval, index, catalogue, settings.features, optimized=optimized)
        return TwoStep(retriever, ranker.result(), catalogue, settings)


def of_release(
    folder: Path, modules: Collection[str] = (), trusted: Sequence[Path] = (), optimized: bool = True
) -> TwoStep:
    """Return the engine of a release whose files were verified.

    Args:
      folder: of the release.
      modules: see `serving.settings.read`.
      trusted: as of `core.release.reader.manifest`.
      optimized: as of `serving.saved_model.SavedModel`.
    Raises:
      ReleaseError: its settings are wrong, name a module that is not allowed or a column that its catalogue lacks.
    """
    settings = settings_of(folder, modules, trusted)
    try:
        check_reranking(settings.reranking, settings.features.item)
    except ValueError as error:
        raise ReleaseError(f"{folder}: its re-ranking is wrong: {error}") from None
    retrieval, index, ranking = (folder / part for part in (reader.RETRIEVAL, reader.INDEX, reader.RANKING))
    return two_step(retrieval, index, ranking, catalogue_of(folder, settings), settings, optimized)


def retriever_of_release(folder: Path, settings: ServingSettings, wanted: Collection[str]) -> CandidateSource:
    """Return the retriever of a release whose files were verified, for a few calls of the signatures `wanted`."""
    retrieval, index = folder / reader.RETRIEVAL, folder / reader.INDEX
    return CandidateSource(retrieval, index, catalogue_of(folder, settings), settings.features, wanted, optimized=False)


def catalogue_of(folder: Path, settings: ServingSettings) -> Catalogue:
    """Return the catalogue of a release. Raises: ReleaseError where it lacks a column that the settings name."""
    table = read_arrow(folder / names.CATALOGUE_FILE)
    wanted = {names.ITEM_ID, names.EVENT_COUNT, *raw_columns(settings.features.item), *filter(None, [settings.title])}
    lacking = sorted(wanted - set(table.column_names))
    if lacking:
        raise ReleaseError(f"{folder}: its catalogue lacks the columns {', '.join(lacking)}. Make the release anew")
    return Catalogue(table, settings.features.item)


def settings_of(folder: Path, modules: Collection[str] = (), trusted: Sequence[Path] = ()) -> ServingSettings:
    """Return the serving settings of a release, whose manifest is checked again. Raises: ReleaseError."""
    return serving_settings.read(reader.manifest_of(folder, trusted)["facts"].get("serving"), modules)
