"""The store of releases on a bucket.

    <prefix>/current.json          the pointer: the version in force, the history, the published versions
    <prefix>/<version>/…           the files of a version, as `core.release.reader` describes them
    <prefix>/<version>/.publisher  who claimed the version; written first

A publisher claims a version by creating `.publisher`, uploads the files, the manifest last, and then replaces the
pointer on the condition that nobody else did. Collection first removes versions from the pointer and then deletes their
objects. Publishers that were killed leave versions that are not in the pointer; these are deleted when none of their
objects changed for a day, by the clock of the store. The pointer then names them as deleted, so that a publisher that
was only slow fails.
"""

import contextlib
import hashlib
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core import names
from core.errors import ReleaseError, UsageError
from core.release import local_copies, pointer, pushed, reader, writer
from core.release.pointer import Pointer
from core.storage import errors, uris
from core.storage.driver import Stored
from core.storage.storage import Storage, open_storage

POINTER, CLAIM = "current.json", ".publisher"
DAY = timedelta(days=1)


class BucketStore:
    """See `core.release.store.ReleaseStore`.

    Args:
      storage: the place of the releases.
      abandoned_after: the time without a change after which an unpublished version is taken for abandoned.
    """

    def __init__(self, storage: Storage, abandoned_after: timedelta = DAY):
        self._storage, self._abandoned_after = storage, abandoned_after
        self.location = storage.place

    def address(self, version: str) -> str:
        """Return the URI of a version."""
        return uris.joined(self.location, version)

    # ---- reading ----

    def current(self) -> str | None:
        """Return the version in force, None before the first release."""
        return self._pointer()[0].current

    def versions(self) -> list[str]:
        """Return the published versions, newest first."""
        return self._pointer()[0].names[::-1]

    def earlier(self) -> list[str]:
        """Return the existing versions that were in force before; latest first, each once."""
        return self._pointer()[0].earlier()

    def history(self) -> list[str]:
        """Return the versions that were in force before, oldest first, with repetitions."""
        return list(self._pointer()[0].history)

    def manifest(self, version: str | None = None, trusted: Sequence[Path] = ()) -> dict[str, Any]:
        """Return the manifest of a version, by default of the one in force."""
        state, _ = self._pointer()
        name = self._chosen(state, version)
        try:
            return self._manifest(state, name, trusted)[1]
        except errors.ObjectMissingError as error:
            raise self._damaged(state, name, error) from None

    @contextlib.contextmanager
    def reading(self, version: str | None = None, trusted: Sequence[Path] = ()) -> Iterator[Path]:
        """Yield the folder of a verified local copy of a version, by default of the one in force."""
        with contextlib.ExitStack() as stack:
            while True:
                state, _ = self._pointer()
                name = self._chosen(state, version)

                def fetch(folder: Path, state: Pointer = state, name: str = name) -> None:
                    self._fetch(state, name, folder, trusted)

                try:
                    opened = local_copies.opened(str(state.digest(name)), name, trusted, fetch)
                    folder = stack.enter_context(opened)
                    break
                except errors.ObjectMissingError as error:
                    now, _ = self._pointer()
                    if self._chosen(now, version) == name:
                        raise self._damaged(now, name, error) from None
                    # another release came into force, and this one was deleted, in the meantime
                except errors.ObjectChangedError as error:
                    raise self._damaged(state, name, error) from None
            yield folder

    def verify(self, version: str | None = None, trusted: Sequence[Path] = ()) -> None:
        """Check every object of a version against its manifest, by reading it."""
        state, _ = self._pointer()
        name = self._chosen(state, version)
        try:
            self._check_listed(state, name, trusted)
            with tempfile.TemporaryDirectory() as temporary:
                self._fetch(state, name, Path(temporary) / name, trusted)
        except (errors.ObjectMissingError, errors.ObjectChangedError) as error:
            raise self._damaged(state, name, error) from None

    # ---- writing ----

    def publish(
        self,
        parts: dict[str, Path],
        facts: dict[str, Any],
        served: Mapping[str, str | Path] | None = None,
        created: datetime | None = None,
        signing_key: Path | None = None,
    ) -> str:
        """Upload `parts` as a new version, put it in force and return its name.

        The version is that of a later second if another publisher has claimed it.
        """
        writer.check_parts(parts)
        created = created or datetime.now(UTC)
        models = {step: pushed.name(step, str(place)) for step, place in (served or {}).items()}
        with tempfile.TemporaryDirectory() as temporary:
            content, manifest_folder = Path(temporary) / "content", Path(temporary) / "manifest"
            for folder in (content, manifest_folder):
                folder.mkdir()
            copied = writer.copy_parts(parts, content)
            while True:
                manifest = writer.write_manifest(manifest_folder, copied, facts, models, created, signing_key)
                version, state = manifest["version"], self._pointer()[0]
                if version in state.names and self._holds(state, version, manifest["content_digest"]):
                    return self._put_in_force(version)
                if version not in (*state.names, *state.deleted) and self._claim(version):
                    break
                created += timedelta(seconds=1)
            self._storage.upload(content, version)
            file = manifest_folder / names.MANIFEST_FILE
            self._storage.upload(file, f"{version}/{names.MANIFEST_FILE}")
            digest = hashlib.sha256(file.read_bytes()).hexdigest()

        def publish(now: Pointer) -> Pointer:
            if version in now.deleted:
                raise ReleaseError(
                    f"{self.address(version)}: was deleted as abandoned, since no file arrived for "
                    f"{self._abandoned_after}. Publish again"
                )
            return now.published(version, digest)

        self._change(publish)
        return version

    def rollback(self, to: str | None = None, trusted: Sequence[Path] = ()) -> str:
        """Put a version in force, by default the one that was in force before, and return it."""
        state, _ = self._pointer()
        if to is None:
            before = state.earlier()
            if not before:
                raise ReleaseError(
                    f"{self.location}: no existing release was in force before {self._chosen(state, None)}. "
                    f"{_known(state)}"
                )
            to = before[0]
        name = self._chosen(state, to)
        self.verify(name, trusted)
        return self._put_in_force(name)

    def collect(self, keep: int, serving: str | Path | None = None, dry_run: bool = False) -> list[str]:
        """Delete the versions that are not kept, and the pushed models of no version; return the addresses.

        What publishers that were killed left is deleted too.
        """
        if keep < 1:
            raise UsageError(f"the number of releases to keep should be at least 1; found {keep}")
        state, _ = self._pointer()
        self._check_listed(state, self._chosen(state, None))
        if dry_run:
            old = state.outdated(keep)
            return [self.address(version) for version in old] + self._collect_pushed(state.without(old), serving, True)
        outdated: list[str] = []

        def remove(now: Pointer) -> Pointer:
            outdated[:] = now.outdated(keep)
            return now.without(outdated)

        self._change(remove)
        now = self._storage.stat(POINTER).modified  # the clock of the store, which this machine's need not agree with
        found: dict[str, list[Stored]] = {}
        for each in self._storage.entries():
            version, _, rest = each.key.partition("/")
            if rest and reader.VERSION.fullmatch(version):
                found.setdefault(version, []).append(each)
        last = {version: max(each.modified for each in objects) for version, objects in found.items()}
        abandoned = {version for version in found if now - last[version] > self._abandoned_after}
        after = self._change(lambda now: now.without(abandoned - set(now.names)))
        gone = [version for version in found if version in after.deleted]
        self._storage.delete(each.key for version in gone for each in found[version])
        return [self.address(version) for version in outdated] + self._collect_pushed(after, serving, False)

    def _collect_pushed(self, state: Pointer, serving: str | Path | None, dry_run: bool) -> list[str]:
        """Delete the pushed models that belong to no published version; none if a manifest cannot be read."""
        if serving is None:
            return []
        try:
            served = [self._manifest(state, version)[1]["served"] for version in state.names]
            if uris.is_uri(serving):
                before = self._storage.stat(POINTER).modified - self._abandoned_after
                return pushed.collect_objects(served, open_storage(serving), before, dry_run)
            return [str(path) for path in pushed.collect(served, Path(serving), dry_run)]
        except (ReleaseError, errors.ObjectMissingError):
            return []
        except OSError as error:
            raise ReleaseError(f"{serving}: cannot be changed: {error}. Correct the permissions") from None

    # ---- the pointer ----

    def _pointer(self) -> tuple[Pointer, str | None]:
        """Return the pointer and its tag; an empty one and None before the first release."""
        try:
            content, tag = self._storage.read(POINTER)
        except errors.ObjectMissingError:
            return Pointer(), None
        return pointer.parsed(content, uris.joined(self.location, POINTER)), tag

    def _change(self, change: Callable[[Pointer], Pointer]) -> Pointer:
        """Replace the pointer by `change` of it, and return it; start again if another writer was first."""
        own = uuid.uuid4().hex
        while True:
            before, tag = self._pointer()
            if own in before.changes:  # an earlier attempt arrived, and another writer has changed the pointer since
                return before
            after = change(before).changed(own)
            try:
                self._storage.write(POINTER, after.content(), tag)
                return after
            except errors.ConflictError:
                time.sleep(random.uniform(0, 0.1))

    def _put_in_force(self, version: str) -> str:
        """Put a published version in force, and return it."""
        self._change(lambda now: self._existing(now, version).in_force(version))
        return version

    def _claim(self, version: str) -> bool:
        """Return whether this publisher, and no other, may upload the files of a version."""
        try:
            self._storage.write(f"{version}/{CLAIM}", uuid.uuid4().hex.encode())
        except errors.ConflictError:
            return False
        return True

    # ---- one version ----

    def _chosen(self, state: Pointer, version: str | None) -> str:
        """Return a published version, by default the one in force. Raises: ReleaseError."""
        name = state.current if version is None else version
        if name is None:
            raise ReleaseError(f"{self.location}: no release is in force. {_known(state)}")
        if not reader.VERSION.fullmatch(name):
            raise ReleaseError(f"a version should look like 20250131T120000Z-0123abcd; found {name!r}. {_known(state)}")
        self._existing(state, name)
        return name

    def _existing(self, state: Pointer, version: str) -> Pointer:
        """Return the pointer. Raises: ReleaseError if a version is not published."""
        if version not in state.names:
            raise ReleaseError(f"{self.location}: there is no release {version}. {_known(state)}")
        return state

    def _holds(self, state: Pointer, version: str, content_digest: str) -> bool:
        """Return whether a published version has this content."""
        return self._manifest(state, version)[1]["content_digest"] == content_digest

    def _manifest(self, state: Pointer, version: str, trusted: Sequence[Path] = ()) -> tuple[bytes, dict[str, Any]]:
        """Return the manifest of a published version, as bytes and parsed. Raises: ReleaseError, ObjectMissingError."""
        key = f"{version}/{names.MANIFEST_FILE}"
        content, _ = self._storage.read(key)
        place, todo = uris.joined(self.location, key), _instead(state, version)
        value = reader.parsed_manifest(content, place, trusted, todo)
        if hashlib.sha256(content).hexdigest() != state.digest(version) or value.get("version") != version:
            raise ReleaseError(f"{place}: was changed after the release was made. {todo}")
        return content, value

    def _fetch(self, state: Pointer, version: str, folder: Path, trusted: Sequence[Path]) -> None:
        """Download a version into a folder, with the sizes and digests of its manifest."""
        content, manifest = self._manifest(state, version, trusted)
        local_copies.download(self._storage, version, content, manifest, folder)

    def _check_listed(self, state: Pointer, version: str, trusted: Sequence[Path] = ()) -> None:
        """Check that the store lists the files of a version with their sizes, and no others. Raises: ReleaseError."""
        try:
            files = self._manifest(state, version, trusted)[1]["files"]
        except errors.ObjectMissingError as error:
            raise self._damaged(state, version, error) from None
        found = {each.key.partition("/")[2]: each.size for each in self._storage.entries(version)}
        for name in sorted({*files, *found} - {CLAIM, names.MANIFEST_FILE}):
            expected = files.get(name, {}).get("size")
            if found.get(name) != expected:
                problem = (
                    "is not named in the manifest"
                    if expected is None
                    else f"is missing; expected sha256 {files[name]['sha256']}"
                    if name not in found
                    else f"is damaged: expected {expected:,} bytes, found {found[name]:,}"
                )
                raise ReleaseError(
                    f"release {version}: {self.address(version)}/{name} {problem}. {_instead(state, version)}"
                )

    def _damaged(self, state: Pointer, version: str, error: Exception) -> ReleaseError:
        return ReleaseError(f"release {version} is damaged: {error}. {_instead(state, version)}")


def _known(state: Pointer) -> str:
    """Return a sentence with the existing versions."""
    known = ", ".join(state.names[::-1])
    return f"Existing releases: {known}." if known else "There is no release yet; `twostep run` makes one."


def _instead(state: Pointer, damaged: str) -> str:
    """Return a sentence on the releases that can replace a damaged one."""
    others = [version for version in state.names[::-1] if version != damaged]
    return (
        f"Roll back to another: {', '.join(others)}."
        if others
        else "There is no other release; run the pipeline again."
    )
