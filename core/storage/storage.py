"""A place that holds objects: reading, conditional writing, listing, and transfers of folders."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from core import durable, files, progress
from core.errors import StorageError
from core.storage import errors, retry, uris
from core.storage.driver import Driver, Stored

SECONDS = 120.0  # for which a request is repeated after an error that passes
_THREADS = 8
_SILENT = 2.0  # seconds before a transfer reports its progress, and between two reports

Result = TypeVar("Result")


class Expected(NamedTuple):
    """What is known about a file before it is downloaded.

    Args:
      size: its size in bytes.
      sha256: the digest of its content; None if it is not known.
    """

    size: int
    sha256: str | None = None


class Storage:
    """The objects below a place. All keys are relative to it.

    Every operation is repeated for `seconds` after errors that pass (a busy store, a dropped connection), and raises
    one of `core.storage.errors`.

    Args:
      place: the place, for messages.
      driver: the requests to this kind of store.
      prefix: the prefix of all keys in the bucket, without a slash at its ends.
      seconds: the time for which a request is repeated.
    """

    def __init__(self, place: str, driver: Driver, prefix: str = "", seconds: float = SECONDS):
        self.place, self._driver, self._prefix, self._seconds = place, driver, prefix, seconds

    def read(self, key: str) -> tuple[bytes, str]:
        """Return the content of an object, and its tag for `write`. Raises: ObjectMissingError."""
        return self._repeated(lambda: self._driver.get(self._full(key)))

    def write(self, key: str, data: bytes, replaces: str | None = None) -> str:
        """Write an object on a condition, and return its new tag.

        A write whose answer was lost is repeated on the same condition. If that does not hold any more, the object is
        read: the lost write succeeded if it holds `data`. So `data` should differ from what any other writer writes.

        Args:
          key: the key.
          data: the content.
          replaces: the tag of the content that is replaced; None to create the object.
        Raises:
          ConflictError: the object has another tag, or exists already.
        """
        lost = False

        def attempt() -> str:
            nonlocal lost
            try:
                return self._driver.put(self._full(key), data, replaces)
            except errors.ConflictError:
                found = self._read_or_none(key) if lost else None
                if found is not None and found[0] == data:
                    return found[1]
                raise
            except (errors.UnreachableError, errors.UnavailableError):
                lost = True
                raise

        return self._repeated(attempt)

    def stat(self, key: str) -> Stored:
        """Return the facts about an object. Raises: ObjectMissingError."""
        return self._relative(self._repeated(lambda: self._driver.stat(self._full(key))))

    def exists(self, key: str) -> bool:
        """Return whether there is an object. Raises: StorageError, such as BucketMissingError."""
        try:
            self.stat(key)
        except errors.ObjectMissingError:
            return False
        return True

    def entries(self, prefix: str = "") -> list[Stored]:
        """Return the objects below a prefix, sorted by key. Objects that stand for folders are left out.

        Raises:
          StorageError: a key could not be the path of a file.
        """
        found = self._repeated(lambda: list(self._driver.entries(self._full(prefix))))
        objects = [self._relative(each) for each in found if not each.key.endswith("/")]
        for each in objects:
            uris.confined(Path(), each.key)
        return sorted(objects, key=lambda each: each.key)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are ignored."""
        self._in_parallel([partial(self._driver.delete, self._full(key)) for key in keys])

    def upload(self, source: Path, key: str) -> None:
        """Upload a file, or all files of a folder, in parallel; existing objects are replaced.

        Args:
          source: a regular file, or a folder.
          key: the key of the file, or the prefix of the files of the folder; empty for this place itself.
        Raises:
          StorageError: the source holds a link or a device.
          IncompleteUploadError: the store holds another size than was sent.
        """
        local = {key: source}
        if source.is_dir():
            local = {f"{key}/{name}" if key else name: path for name, path in durable.entries(source)}
        for path in local.values():
            if not durable.is_plain(path):
                raise StorageError(f"{path}: should be a regular file; found a link or a device. Replace it")
        sizes = {name: path.stat().st_size for name, path in local.items()}
        work = [partial(self._driver.send, path, self._full(name)) for name, path in local.items()]
        self._in_parallel(work, list(sizes.values()), f"upload to {self.place}")
        self.check(sizes, key)

    def check(self, sizes: Mapping[str, int], prefix: str = "") -> None:
        """Check that objects exist with these sizes in bytes. Raises: IncompleteUploadError, which names the first."""
        found = {each.key: each.size for each in self.entries(prefix)}
        if prefix in sizes and prefix not in found:  # a single object is not below itself
            found[prefix] = self.stat(prefix).size
        for key, size in sizes.items():
            if found.get(key) != size:
                raise errors.IncompleteUploadError(
                    f"{uris.joined(self.place, key)}: should have {size:,} bytes; found "
                    f"{'no object' if key not in found else f'{found[key]:,}'}. The upload is incomplete; repeat it"
                )

    def download(self, prefix: str, folder: Path, expected: Mapping[str, Expected] | None = None) -> None:
        """Download the objects below a prefix into a new folder, in parallel; the folder appears when it is complete.

        Args:
          prefix: the prefix; empty for all objects of the place.
          folder: the folder; an existing one is replaced.
          expected: relative path → what is known about the file; only these are downloaded. None: all of a listing.
        Raises:
          ObjectMissingError: there is no object below the prefix, or one of the expected is missing.
          ObjectChangedError: an object was changed meanwhile, or is not what was expected.
          StorageError: a key would be outside of the folder.
        """
        start = len(prefix) + 1 if prefix else 0
        tags: dict[str, str | None] = {}
        if expected is None:
            listed = self.entries(prefix)
            if not listed:
                raise errors.ObjectMissingError(
                    f"{uris.joined(self.place, prefix) if prefix else self.place}: holds no object. Correct the URI"
                )
            expected = {each.key[start:]: Expected(each.size) for each in listed}
            tags = {each.key[start:]: each.tag for each in listed}
        with files.replacing_folder(folder) as temporary:
            targets = {name: uris.confined(temporary, name) for name in expected}
            for target in targets.values():
                target.parent.mkdir(parents=True, exist_ok=True)

            def fetch(name: str, expected: Expected) -> None:
                key = f"{prefix}/{name}" if prefix else name
                self._driver.fetch(self._full(key), targets[name], tags.get(name))
                self._check_download(uris.joined(self.place, key), targets[name], expected)

            work = [partial(fetch, name, each) for name, each in expected.items()]
            self._in_parallel(work, [each.size for each in expected.values()], f"download of {self.place}")

    def _check_download(self, place: str, file: Path, expected: Expected) -> None:
        """Check the size and digest of a downloaded file. Raises: ObjectChangedError."""
        size = file.stat().st_size
        problem = f"should have {expected.size:,} bytes; found {size:,}" if size != expected.size else ""
        if not problem and expected.sha256 is not None and (found := files.sha256(file)) != expected.sha256:
            problem = f"expected sha256 {expected.sha256}, found {found}"
        if problem:
            raise errors.ObjectChangedError(
                f"{place}: is damaged, or was replaced while it was read: {problem}. Read it again, or write it again"
            )

    def _in_parallel(self, work: Sequence[Callable[[], None]], sizes: list[int] | None = None, what: str = "") -> None:
        """Do all of the work, each part with repetition; report the progress of long transfers; stop at an error."""
        sizes = sizes or [0] * len(work)
        begin = reported = time.monotonic()
        done = done_bytes = 0
        with ThreadPoolExecutor(_THREADS) as pool:
            waiting = {pool.submit(self._repeated, each): size for each, size in zip(work, sizes, strict=True)}
            try:
                for future in as_completed(waiting):
                    future.result()
                    done, done_bytes = done + 1, done_bytes + waiting[future]
                    if what and min(time.monotonic() - begin, time.monotonic() - reported) > _SILENT:
                        reported = time.monotonic()
                        of = f"{done:,} of {len(work):,} files, {done_bytes >> 20:,} of {sum(sizes) >> 20:,} MiB"
                        progress.report(f"{what}: {of}")
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _repeated(self, attempt: Callable[[], Result]) -> Result:
        return retry.within(self._seconds, attempt)

    def _read_or_none(self, key: str) -> tuple[bytes, str] | None:
        try:
            return self._driver.get(self._full(key))
        except errors.ObjectMissingError:
            return None

    def _full(self, key: str) -> str:
        """Return a key from the root of the bucket or folder."""
        if key and not uris.is_key(key):
            uris.joined(self.place, key)  # raises
        return "/".join(filter(None, (self._prefix, key)))

    def _relative(self, stored: Stored) -> Stored:
        return replace(stored, key=stored.key[len(self._prefix) + 1 :]) if self._prefix else stored


def open_storage(place: str | Path, seconds: float = SECONDS) -> Storage:
    """Return the storage of a place; nothing is read or written.

    Args:
      place: a local folder, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`.
      seconds: the time for which a request is repeated after an error that passes.
    Raises:
      UsageError: the URI is wrong; see `core.storage.uris.parse`.
    """
    if not uris.is_uri(place):
        from core.storage.local import Local

        return Storage(str(place), Local(Path(place)), seconds=seconds)
    uri = uris.parse(str(place))
    if uri.scheme == uris.S3:
        from core.storage.s3 import S3

        return Storage(str(uri), S3(uri.bucket, seconds), uri.prefix, seconds)
    from core.storage.gcs import Gcs

    return Storage(str(uri), Gcs(uri.bucket), uri.prefix, seconds)
