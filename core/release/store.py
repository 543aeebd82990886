"""The store of releases, on disk or on a bucket, behind one interface."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from core import names
from core.errors import ReleaseError
from core.release import local_copies, reader, writer
from core.storage import errors, uris
from core.storage.storage import SECONDS, open_storage


class ReleaseStore(Protocol):
    """The releases at one location. All operations raise ReleaseError or, on a bucket, StorageError.

    Attributes:
      location: the folder or the URI, as text.
    """

    location: str

    def address(self, version: str) -> str:
        """Return the folder or the URI of a version, as text."""

    def current(self) -> str | None:
        """Return the version in force, None before the first release."""

    def versions(self) -> list[str]:
        """Return the published versions, newest first."""

    def earlier(self) -> list[str]:
        """Return the existing versions that were in force before, without the present one; latest first, each once."""

    def history(self) -> list[str]:
        """Return the versions that were in force before, oldest first, with repetitions."""

    def manifest(self, version: str | None = None, trusted: Sequence[Path] = ()) -> dict[str, Any]:
        """Return the manifest of a version, by default of the one in force; see `core.release.reader.manifest`."""

    def reading(self, version: str | None = None, trusted: Sequence[Path] = ()) -> AbstractContextManager[Path]:
        """Yield the local folder of a verified version, which nobody deletes in the block."""

    def verify(self, version: str | None = None, trusted: Sequence[Path] = ()) -> None:
        """Check every file of a version, by default of the one in force, against its manifest."""

    def publish(
        self,
        parts: dict[str, Path],
        facts: dict[str, Any],
        served: Mapping[str, str | Path] | None = None,
        created: datetime | None = None,
        signing_key: Path | None = None,
    ) -> str:
        """Publish `parts` as a new version, put it in force and return its name; see `core.release.writer.publish`."""

    def rollback(self, to: str | None = None, trusted: Sequence[Path] = ()) -> str:
        """Put a version in force, by default the one that was in force before, and return it."""

    def collect(self, keep: int, serving: str | Path | None = None, dry_run: bool = False) -> list[str]:
        """Delete old versions, and models below `serving` of no version; return their addresses.

        See `core.release.writer.collect`. With releases on a bucket `serving` may be a URI.
        """


class DiskStore:
    """The store in a folder of a file system: see `core.release.reader` and `core.release.writer`.

    Args:
      folder: the folder of the releases.
    """

    def __init__(self, folder: Path):
        self._folder, self.location = folder, str(folder)

    def address(self, version: str) -> str:
        """Return the folder of a version."""
        return str(self._folder / version)

    def current(self) -> str | None:
        """Return the version in force, None before the first release."""
        return reader.current(self._folder)

    def versions(self) -> list[str]:
        """Return the published versions, newest first."""
        return reader.versions(self._folder)

    def earlier(self) -> list[str]:
        """Return the existing versions that were in force before; latest first, each once."""
        return reader.earlier(self._folder)

    def history(self) -> list[str]:
        """Return the versions that were in force before, oldest first, with repetitions."""
        return reader.history(self._folder)

    def manifest(self, version: str | None = None, trusted: Sequence[Path] = ()) -> dict[str, Any]:
        """Return the manifest of a version."""
        return reader.manifest(self._folder, version, trusted)

    def reading(self, version: str | None = None, trusted: Sequence[Path] = ()) -> AbstractContextManager[Path]:
        """Yield the folder of a verified version, locked against deletion."""
        return reader.reading(self._folder, version, trusted)

    def verify(self, version: str | None = None, trusted: Sequence[Path] = ()) -> None:
        """Check every file of a version against its manifest."""
        reader.verify(self._folder, version, trusted)

    def publish(
        self,
        parts: dict[str, Path],
        facts: dict[str, Any],
        served: Mapping[str, str | Path] | None = None,
        created: datetime | None = None,
        signing_key: Path | None = None,
    ) -> str:
        """Copy `parts` into a new version, put it in force and return its name."""
        return writer.publish(self._folder, parts, facts, served, created, signing_key)

    def rollback(self, to: str | None = None, trusted: Sequence[Path] = ()) -> str:
        """Put a version in force, and return it."""
        return writer.rollback(self._folder, to, trusted)

    def collect(self, keep: int, serving: str | Path | None = None, dry_run: bool = False) -> list[str]:
        """Delete old versions and pushed models that belong to none, and return their folders."""
        models = None if serving is None else Path(serving)
        return [str(path) for path in writer.collect(self._folder, keep, models, dry_run)]


def open_store(location: str | Path, seconds: float = SECONDS) -> ReleaseStore:
    """Return the store of the releases at a location; nothing is read or written.

    Args:
      location: a local folder, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`.
      seconds: the time for which a request to a bucket is repeated after an error that passes.
    Raises:
      UsageError: the URI is wrong; see `core.storage.uris.parse`.
    """
    if not uris.is_uri(location):
        return DiskStore(Path(location))
    from core.release.bucket import BucketStore

    return BucketStore(open_storage(location, seconds))


def is_release(location: str | Path) -> bool:
    """Return whether a location holds one release, and not a store of releases. Raises: StorageError, UsageError."""
    if not uris.is_uri(location):
        return reader.is_release(Path(location))
    return open_storage(location).exists(names.MANIFEST_FILE)


@contextlib.contextmanager
def reading_copy(location: str | Path, trusted: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the local folder of the verified release at a location, which nobody deletes in the block.

    The name of the location need not be the version.

    Raises:
      ReleaseError: the release is damaged or not signed with a trusted key.
      StorageError, UsageError: the URI is wrong or cannot be read.
    """
    if not uris.is_uri(location):
        with reader.reading_copy(Path(location), trusted) as folder:
            yield folder
        return
    storage = open_storage(location)
    content, _ = storage.read(names.MANIFEST_FILE)
    value = reader.parsed_manifest(content, uris.joined(storage.place, names.MANIFEST_FILE), trusted, "Copy it again.")
    version = value.get("version")
    if not isinstance(version, str) or not reader.VERSION.fullmatch(version):
        raise ReleaseError(f"{storage.place}: its manifest should name a version; found {version!r}. Copy it again.")
    digest = hashlib.sha256(content).hexdigest()

    def fetch(folder: Path) -> None:
        local_copies.download(storage, "", content, value, folder)

    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(local_copies.opened(digest, version, trusted, fetch))
        except (errors.ObjectMissingError, errors.ObjectChangedError) as error:
            raise ReleaseError(f"release {version} is damaged: {error}. Copy it again.") from None
        yield folder
