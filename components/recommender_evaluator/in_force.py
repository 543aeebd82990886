"""The resolver of the release that the evaluators and DriftDetector compare with.

It is the release in force or, if that was made from the artifacts of this run, the one in force before.

TFX's own strategy would return the newest blessed models. In a run without changes these are the models of this run:
the evaluators would compare them with themselves, instead of taking their results from the cache. After a rollback they
are the models of the release that was rolled back.
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
    """A strategy that resolves artifacts of this run to the release to compare them with, or to nothing.

    Args:
      folder: the folder of the releases.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def resolve_artifacts(self, store, input_dict):
        """Return the release in force or, if it was made from the artifacts of this run, the latest one before it.

        Args:
          store: ML Metadata.
          input_dict: `release`: all releases that this pipeline made; other keys: artifacts of this run, under the keys
            of ReleasePusher's inputs.
        Returns:
          The same keys: the release under `release`, if there is one, and empty lists under all others.
        """
        own = {key: artifact.id for key in input_dict if key != RELEASE for artifact in input_dict[key]}
        made = {each.get_string_custom_property("version"): each for each in input_dict[RELEASE]}
        for version in self._in_force():
            if version in made and not self._holds(version, own):
                return {**{key: [] for key in input_dict}, RELEASE: [made[version]]}
        return {key: [] for key in input_dict}

    def _in_force(self) -> Iterator[str]:
        """Yield the version in force, then older versions that were in force before it, latest first.

        Newer versions are left out, since they were rolled back.
        """
        try:
            now = reader.current(self.folder)
            if now is not None:
                yield now
                yield from (version for version in reader.earlier(self.folder) if version < now)
        except ReleaseError as error:
            logging.warning("there is no release to compare with: %s", error)

    def _holds(self, version: str, own: dict[str, int]) -> bool:
        """Return whether a release was made from the artifacts `own`, input → id in ML Metadata."""
        try:
            ids = facts.of_manifest(reader.manifest(self.folder, version)).ml_metadata
        except ReleaseError:
            return False  # the component that compares with it reports the error
        return all(ids.get(key) == id_ for key, id_ in own.items())
