"""The source of releases of a command: a release, a folder of releases, or a configuration."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True)
class Source:
    """The location that releases are read from, with the keys and modules that are trusted.

    Args:
      location: the folder or URI of the releases, or of one release.
      config: the configuration; None if a folder or URI was given.
      trusted: files of public keys, with one of which a release must be signed; if empty, no signature is required.
      modules: the Python modules that may be imported for the feature kinds of a release.
    """

    location: str | Path
    config: "Config | None" = None
    trusted: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()


def find(path: str | Path, public_key: Path | None = None) -> Source:
    """Return the source that a path or URI names.

    Args:
      path: a folder or URI of releases or of one release, or a configuration file.
      public_key: a file of a public key to trust beside those of the configuration.
    Raises:
      UsageError: the path does not exist, or the configuration has an error.
    """
    keys = () if public_key is None else (public_key,)
    if isinstance(path, str) or path.is_dir():
        return Source(path, trusted=keys)
    if not path.exists():
        raise UsageError(
            f"{path}: no such file or folder. Give the folder of a release or of releases, or a configuration"
        )
    from pipeline import config
    from pipeline.config import paths
    from transform.features import own_modules

    loaded = config.load(path)
    keys = (*keys, *paths.trusted_keys(loaded, path))
    return Source(paths.releases_folder(loaded), loaded, keys, tuple(own_modules(loaded.features)))


@contextlib.contextmanager
def reading(source: Source, version: str | None) -> Iterator[Path]:
    """Yield the local folder of a release after a check of its files; nobody deletes it until the block ends.

    Args:
      source: the source, as returned by `find`.
      version: the version of the release; None for the release in force.
    Raises:
      UsageError: a version was given for the folder of one release.
      ReleaseError: there is no such release, or it is damaged or not signed with a trusted key.
      StorageError: the URI could not be read.
    """
    from core.release import store

    if not store.is_release(source.location):
        with store.open_store(source.location).reading(version, source.trusted) as folder:
            yield folder
        return
    if version is not None:
        raise UsageError(
            f"--release: {source.location} is the folder of one release. Omit the option, or give its parent"
        )
    with store.reading_copy(source.location, source.trusted) as folder:
        yield folder
