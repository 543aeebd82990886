"""The release in force as a baseline, with its own catalogue and settings."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import ReleaseError
from core.queries import Queries
from core.release import facts, reader
from core.release.store import open_store
from serving import models
from serving.catalogue import Catalogue
from serving.engine import TwoStep
from transform.features import Features, own_modules, raw_columns


class NotComparableError(Exception):
    """The reason why a release cannot be compared with the models under evaluation."""


@contextlib.contextmanager
def opened(
    releases: str | Path, version: str, split: dict[str, Any], features: Features, trusted: Sequence[Path]
) -> Iterator[TwoStep]:
    """Yield the engine of a release, and protect the release from deletion until the block ends.

    Args:
      releases: the folder or URI of the releases.
      version: the version of the release.
      split: the settings of the present test split.
      features: the present features, which the queries hold.
      trusted: as for `core.release.reader.manifest`.
    Raises:
      NotComparableError: the release was evaluated under another split, so it may have been fitted on these test
        events; it needs user features that the queries lack; or it is damaged or not signed as it should be.
      StorageError: the store could not be read.
    """
    try:
        modules = own_modules(features)
        with open_store(releases).reading(version, trusted) as path:
            _check_split(version, facts.of_manifest(reader.manifest_of(path, trusted)).split, split)
            settings = models.settings_of(path, modules, trusted)
            lacking = _lacking(settings.features, features)
            if lacking:
                raise NotComparableError(
                    f"release {version} needs the user features {', '.join(lacking)}, which no longer exist or are "
                    "of another kind"
                )
            yield models.of_release(path, modules, trusted)
    except ReleaseError as error:
        raise NotComparableError(f"release {version} cannot be read: {error}") from error


def _check_split(version: str, before: Any, now: dict[str, Any]) -> None:
    """Raise NotComparableError if a release may have been fitted on present test events.

    Args:
      version: the version of the release.
      before: the settings of the test split of the release, and the timestamp `begins` of EventJoiner's report.
      now: the same for the present test split.
    """
    before = before if isinstance(before, dict) else {}
    earlier, begins = before.get("begins"), now.get("begins")
    if {key: each for key, each in before.items() if key != "begins"} != {
        key: each for key, each in now.items() if key != "begins"
    }:
        why = f"was evaluated under another split ({_in_words(before)}; now {_in_words(now)})"
    elif begins is not None and (not isinstance(earlier, int) or begins < earlier):
        why = f"was evaluated on later data ({_in_words(before)}; now {_in_words(now)})"
    else:
        return
    raise NotComparableError(f"release {version} {why} and may have been fitted on events that are test now")


def in_catalogue(rows: np.ndarray, release: Catalogue, catalogue: Catalogue) -> np.ndarray:
    """Return lists of a release as rows of the present catalogue, without the items that are no longer in it.

    Args:
      rows: [Q, K] rows of the release's catalogue, -1 past the last.
      release: the release's catalogue.
      catalogue: the present one.
    Returns:
      [Q, K] rows of the present catalogue, -1 past the last.
    """
    row_now = np.append(catalogue.rows(release.ids), np.int32(-1))  # padding, -1, reads the appended -1
    present = row_now[rows]
    order = np.argsort(present < 0, axis=1, kind="stable")
    return np.take_along_axis(present, order, axis=1)


def retrieve(engine: TwoStep, queries: Queries, k: int, catalogue: Catalogue) -> np.ndarray:
    """Return [Q, K] the lists of the retriever of a release, as rows of the present catalogue."""
    return in_catalogue(engine.retriever.retrieve(queries, k).rows, engine.catalogue, catalogue)


def recommend(engine: TwoStep, queries: Queries, k: int, catalogue: Catalogue) -> np.ndarray:
    """Return [Q, K] the lists of a release, as rows of the present catalogue."""
    return in_catalogue(engine.recommend(queries, k)[0], engine.catalogue, catalogue)


def _lacking(before: Features, now: Features) -> list[str]:
    """Return the user columns that a release needs and that the queries lack or hold as another kind."""
    has = raw_columns(now.user)
    return sorted(name for name, raw in raw_columns(before.user).items() if has.get(name) != raw)


def _in_words(split: dict[str, Any] | None) -> str:
    return "none recorded" if not split else ", ".join(f"{key} {value}" for key, value in split.items() if value)
