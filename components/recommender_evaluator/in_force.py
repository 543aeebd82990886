"""The resolver of the release to compare with: the one in force, unless it was made of the artifacts of this run.

The evaluators compare models with it, DriftDetector compares the statistics of the tables.

TFX's own strategy returns the newest blessed models. In a run without changes these would be the models of this run,
compared with themselves and not taken from the cache; and after a rollback those of the release that was rolled back.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import logging
from collections.abc import Iterator
from pathlib import Path

from tfx.dsl.components.common import resolver

from core.errors import ReleaseError
from core.release import facts, reader

RELEASE = "release"


class ReleaseInForce(resolver.ResolverStrategy):
    """Resolve artifacts of this run, models or statistics, to the release to compare them with, or to nothing.

    Args:
      folder: of the releases.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def resolve_artifacts(self, store, input_dict):
        """Return the release in force; where it was made of the artifacts of this run, what was in force before it.

        Args:
          store: ML Metadata.
          input_dict: `release`: all releases that this pipeline made; other keys: artifacts of this run, under the keys
            of ReleasePusher's inputs.
        Returns:
          The same keys: the release, or nothing.
        """
        own = {key: artifact.id for key in input_dict if key != RELEASE for artifact in input_dict[key]}
        made = {each.get_string_custom_property("version"): each for each in input_dict[RELEASE]}
        for version in self._in_force():
            if version in made and not self._holds(version, own):
                return {**{key: [] for key in input_dict}, RELEASE: [made[version]]}
        return {key: [] for key in input_dict}

    def _in_force(self) -> Iterator[str]:
        """Yield the current version, then older ones that were in force before it, the latest first.

        A newer version that was in force before was rolled back, so it is not a baseline.
        """
        try:
            now = reader.current(self.folder)
            if now is not None:
                yield now
                yield from (version for version in reader.earlier(self.folder) if version < now)
        except ReleaseError as error:
            logging.warning("there is no release to compare with: %s", error)

    def _holds(self, version: str, own: dict[str, int]) -> bool:
        """Return whether a release was made of these artifacts, by their ids in ML Metadata."""
        try:
            ids = facts.of_manifest(reader.manifest(self.folder, version)).ml_metadata
        except ReleaseError:
            return False  # the component that compares with it reports the error
        return all(ids.get(key) == id_ for key, id_ in own.items())
