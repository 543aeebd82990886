"""Which release the evaluators compare with: the one in force, unless it holds the very models under evaluation.

TFX's own strategy would answer with the newest blessed models: those of this very pipeline once they are blessed, so
that a run with nothing changed would compare them with themselves and take nothing from the cache, and those of a
release that was rolled back.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import logging
from collections.abc import Iterator
from pathlib import Path

from tfx.dsl.components.common import resolver

from core import releases
from core.errors import ReleaseError

RELEASE = "release"


class ReleaseInForce(resolver.ResolverStrategy):
    """The models of this run in, the release to compare them with out, or nothing.

    Args:
      folder: of the releases.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def resolve_artifacts(self, store, input_dict):
        """Return the release in force; where it holds the models of this run, what was in force before it.

        Args:
          store: ML Metadata.
          input_dict: `release`: all releases that this pipeline made; other keys: the models of this run.
        Returns:
          The same keys: the release, or nothing.
        """
        models = {key: artifact.id for key in input_dict if key != RELEASE for artifact in input_dict[key]}
        made = {each.get_string_custom_property("version"): each for each in input_dict[RELEASE]}
        for version in self._in_force():
            if version in made and not self._holds(version, models):
                return {**{key: [] for key in input_dict}, RELEASE: [made[version]]}
        return {key: [] for key in input_dict}

    def _in_force(self) -> Iterator[str]:
        """Yield the current version, then those before it, the latest first."""
        try:
            now = releases.current(self.folder)
            yield from [now] if now is not None else []
            yield from releases.earlier(self.folder)
        except ReleaseError as error:
            logging.warning("there is no release to compare with: %s", error)

    def _holds(self, version: str, models: dict[str, int]) -> bool:
        """Return whether a release was made of these models, by their ids in ML Metadata."""
        try:
            ids = releases.manifest(self.folder, version)["facts"]["ml_metadata"]
        except (ReleaseError, KeyError):
            return False  # the evaluator says what is wrong with it
        return all(ids.get(key) == id_ for key, id_ in models.items())
