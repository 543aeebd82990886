"""The construction of the engine from the SavedModels of both steps, given as folders or as a release."""

import core.tf  # Keras 2, before TensorFlow

import copy
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from core import names
from core.arrow import read_arrow
from core.errors import ModelError, ReleaseError
from core.queries import Candidates, Queries
from core.release import facts, reader
from serving import settings as serving_settings
from serving.candidate_source import CandidateSource
from serving.candidates import query_inputs, stacked_signals
from serving.catalogue import Catalogue
from serving.engine import TwoStep
from serving.rerank.settings import check as check_reranking
from serving.saved_model import SavedModel
from serving.settings import ServingSettings
from transform.features import Feature, raw_columns

ITEMS_AT_ONCE = 8192


class SavedRanker:
    """A ranker: a ranking model, which has packed the items of a catalogue, and is warmed up by one call.

    Args:
      folder: the folder of the SavedModel.
      catalogue: the items.
      user_features: the features of users by column.
      optimized: as for `serving.saved_model.SavedModel`.
    """

    def __init__(
        self,
        folder: str | Path,
        catalogue: Catalogue,
        user_features: Mapping[str, Feature],
        optimized: bool = True,
    ):
        core.tf.register_ops()
        model = SavedModel(folder, ("pack", "rank_packed"), optimized)
        if "rank_packed" not in model.signatures:
            raise ModelError(f"{folder}: should be a ranking model, with the signatures pack and rank_packed")
        model.warm("rank_packed")
        self._model, self._user_features = model, user_features
        parts = []
        for start in range(0, len(catalogue), ITEMS_AT_ONCE):
            rows = np.arange(start, min(start + ITEMS_AT_ONCE, len(catalogue)))
            parts.append(model.signatures["pack"](**catalogue.columns(rows)))
        # The last row is padding: it is that of the row -1.
        self._packed = {
            name: np.concatenate([*(part[name] for part in parts), np.full_like(parts[0][name][:1], missing)])
            for name, missing in (("integers", -1), ("numbers", 0))
        }
        self._packed["integers"][-1, 1:] = 0
        self._n_items = len(catalogue)
        self._added = {name: values[:0] for name, values in self._packed.items()}

    def with_items(self, catalogue: Catalogue) -> "SavedRanker":
        """Return the ranker with items that follow those it has; see `CandidateSource.with_items`."""
        other = copy.copy(self)
        rows = np.arange(self._n_items + len(self._added["integers"]), len(catalogue))
        packed = self._model.signatures["pack"](**catalogue.columns(rows))
        other._added = {name: np.concatenate([values, packed[name]]) for name, values in self._added.items()}
        return other

    def rank(self, queries: Queries, candidates: Candidates) -> tuple[np.ndarray, np.ndarray]:
        """Return scores [Q, C], -inf for padding, and probabilities of relevance [Q, C], 0 for padding."""
        answer = self._model.signatures["rank_packed"](
            **query_inputs(queries, self._user_features),
            **{name: self._gathered(name, candidates.rows) for name in self._packed},
            signals=stacked_signals(candidates),
        )
        return answer[names.SCORE], answer[names.PROBABILITY]

    def _gathered(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return the packed values of the items at rows [Q, C], -1 for padding."""
        values, added = self._packed[name], self._added[name]
        if not len(added):
            return values[rows]
        is_added = rows >= self._n_items
        gathered = values[np.where(is_added, -1, rows)]
        gathered[is_added] = added[rows[is_added] - self._n_items]
        return gathered

    def close(self) -> None:
        """Free the memory of the model."""
        self._model.close()


def two_step(
    retrieval: str | Path,
    index: str | Path | None,
    ranking: str | Path,
    catalogue: Catalogue,
    settings: ServingSettings,
    optimized: bool = True,
) -> TwoStep:
    """Return the engine of two SavedModels and an index; the models are loaded in parallel.

    Args:
      retrieval, ranking: folders of the SavedModels.
      index, catalogue: as for `CandidateSource`.
      settings: the settings of the engine.
      optimized: as for `serving.saved_model.SavedModel`.
    """
    with ThreadPoolExecutor(1) as pool:
        ranker = pool.submit(SavedRanker, ranking, catalogue, settings.features.user, optimized)
        retriever = CandidateSource(retrieval, index, catalogue, settings.features, optimized=optimized)
        return TwoStep(retriever, ranker.result(), catalogue, settings)


def of_release(
    folder: Path, modules: Collection[str] = (), trusted: Sequence[Path] = (), optimized: bool = True
) -> TwoStep:
    """Return the engine of a release, whose files the caller has verified.

    Args:
      folder: the folder of the release.
      modules: see `serving.settings.read`.
      trusted: as for `core.release.reader.manifest`.
      optimized: as for `serving.saved_model.SavedModel`.
    Raises:
      ReleaseError: the settings of the release are wrong, or name a module that is not allowed or a column that the
        catalogue lacks.
    """
    settings = settings_of(folder, modules, trusted)
    try:
        check_reranking(settings.reranking, settings.features.item)
    except ValueError as error:
        raise ReleaseError(f"{folder}: the settings of re-ranking are wrong: {error}") from None
    retrieval, index, ranking = (folder / part for part in (reader.RETRIEVAL, reader.INDEX, reader.RANKING))
    return two_step(retrieval, index, ranking, catalogue_of(folder, settings), settings, optimized)


def retriever_of_release(folder: Path, settings: ServingSettings, wanted: Collection[str]) -> CandidateSource:
    """Return the retriever of a release, whose files the caller has verified, with the signatures `wanted` only.

    It is meant for a few calls, since TensorFlow does not optimise its graph.
    """
    retrieval = folder / reader.RETRIEVAL
    index = None if set(wanted) <= {"similar"} else folder / reader.INDEX  # `similar` does not use the index
    return CandidateSource(retrieval, index, catalogue_of(folder, settings), settings.features, wanted, optimized=False)


def catalogue_of(folder: Path, settings: ServingSettings) -> Catalogue:
    """Return the catalogue of a release. Raises: ReleaseError if it lacks a column that the settings name."""
    table = read_arrow(folder / names.CATALOGUE_FILE)
    more = filter(None, [settings.title, settings.owner])
    expected = {names.ITEM_ID, names.EVENT_COUNT, *raw_columns(settings.features.item), *more}
    missing = sorted(expected - set(table.column_names))
    if missing:
        raise ReleaseError(f"{folder}: the catalogue lacks the columns {', '.join(missing)}. Make the release again")
    return Catalogue(table, settings.features.item)


def settings_of(folder: Path, modules: Collection[str] = (), trusted: Sequence[Path] = ()) -> ServingSettings:
    """Return the serving settings of a release, after a check of its manifest. Raises: ReleaseError."""
    return serving_settings.read(facts.of_manifest(reader.manifest_of(folder, trusted)).serving, modules)
