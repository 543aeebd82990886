"""Places and keys as text: parsing, joining and confinement. A place is a local path, `s3://…` or `gs://…`."""

import re
from dataclasses import dataclass
from pathlib import Path

from core.errors import StorageError, UsageError
from core.printable import one_line

S3, GCS = "s3", "gs"
SCHEMES = (S3, GCS)
_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,221}[a-z0-9]")  # the rules of GCS, which include those of S3


@dataclass(frozen=True)
class Uri:
    """A prefix in a bucket.

    Args:
      scheme: `s3` or `gs`.
      bucket: the name of the bucket.
      prefix: the key that all keys of the place begin with, without a slash at its ends; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def is_uri(place: str | Path) -> bool:
    """Return whether a place is written as a URI, of a known scheme or not."""
    return isinstance(place, str) and _URI.fullmatch(place) is not None


def parse(place: str) -> Uri:
    """Return the parts of a URI. Raises: UsageError if it is none, or has another scheme, a bad bucket or a bad key."""
    match = _URI.fullmatch(place)
    if match is None or match[1] not in SCHEMES:
        raise UsageError(
            f"{one_line(place)}: a place should be a local path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX; correct it"
        )
    bucket, _, prefix = match[2].partition("/")
    prefix = prefix.rstrip("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"{one_line(place)}: a bucket's name should be 3 to 223 lower-case letters, digits and `.-_`; found "
            f"{one_line(bucket)!r}. Correct the URI, such as {match[1]}://my-bucket/releases"
        )
    if prefix and not is_key(prefix):
        raise UsageError(
            f"{one_line(place)}: a prefix should be names separated by single slashes, without `.`, `..` and control "
            f"characters; found {one_line(prefix)!r}. Correct the URI"
        )
    return Uri(match[1], bucket, prefix)


def placed(text: str) -> str | Path:
    """Return a place as it is given by a user: a checked URI as text without a final slash, or a path.

    Raises:
      UsageError: the URI is wrong; see `parse`.
    """
    return str(parse(text)) if is_uri(text) else Path(text)


def joined(place: str | Path, *names: str) -> str:
    """Return the place of a key below a place, as text."""
    for name in names:
        if not is_key(name):
            raise StorageError(
                f"{place}: a key should be names separated by single slashes, without `.` and `..`; found "
                f"{one_line(name)!r}. Rename the object"
            )
    return "/".join([str(place).rstrip("/"), *names])


def is_key(key: str) -> bool:
    """Return whether a key can be the path of a file below a folder on every system that twostep runs on."""
    return (
        not re.search("[\x00-\x1f\x7f\\\\]", key)
        and all(part not in ("", ".", "..") for part in key.split("/"))
        and len(key.encode("utf-8", "surrogatepass")) <= 1024
    )


def confined(folder: Path, key: str) -> Path:
    """Return the path of a key below a folder. Raises: StorageError if it would be outside of the folder."""
    if not is_key(key):
        raise StorageError(
            f"{one_line(key)!r}: this key cannot be a file below {folder}, since it is absolute, empty, or has `.`, "
            "`..`, `//` or a control character. Rename or delete the object"
        )
    return folder.joinpath(*key.split("/"))
