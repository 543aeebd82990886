"""Reading of releases: the versions, the one in force, and the verification of files and signatures.

    releases/<version>/   manifest.json retrieval/ index/ ranking/ users/ statistics/ catalogue.arrow evaluation.json
    releases/current      one line, the version in force; replaced by rename, never edited
    releases/history      every version that was in force before, oldest first

`core.release.writer` writes them: a version folder becomes visible by one rename when it is complete, never changes
afterwards, and is hidden by one rename before it is deleted. If keys are trusted, only releases signed by one of them
are read.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core import durable, files, locks, names
from core.errors import ReleaseError
from core.release import signing

RETRIEVAL, INDEX, RANKING, STATISTICS = "retrieval", "index", "ranking", "statistics"
FOLDERS = (RETRIEVAL, INDEX, RANKING, names.USERS_FOLDER, STATISTICS)
FILES = (names.CATALOGUE_FILE, names.EVALUATION_FILE)
FORMAT = 5  # the version of the manifest's format; raised with each change that other versions of twostep cannot read

VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
CURRENT, HISTORY = "current", "history"


def current(releases: Path) -> str | None:
    """Return the version in force, None before the first release. Raises: ReleaseError for a damaged file."""
    path = Path(releases) / CURRENT
    try:
        version = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path}: should hold the name of a version: {error}. {_to_choose(releases)}") from error
    if not VERSION.fullmatch(version):
        raise ReleaseError(f"{path}: should hold the name of a version; found {version!r}. {_to_choose(releases)}")
    return version


def versions(releases: Path) -> list[str]:
    """Return the published versions, newest first."""
    if not Path(releases).is_dir():
        return []
    complete = (path.parent.name for path in Path(releases).glob(f"*/{names.MANIFEST_FILE}"))
    return sorted(filter(VERSION.fullmatch, complete), reverse=True)


def earlier(releases: Path) -> list[str]:
    """Return the existing versions that were in force before, without the one in force now; latest first, each once."""
    existing, now = set(versions(releases)), current(releases)
    latest_first = dict.fromkeys(reversed(history(releases)))
    return [version for version in latest_first if version in existing and version != now]


def history(releases: Path) -> list[str]:
    """Return the versions that were in force before, oldest first, with repetitions."""
    try:
        lines = (Path(releases) / HISTORY).read_text(encoding="utf-8", errors="replace").split()
    except FileNotFoundError:
        return []
    return list(filter(VERSION.fullmatch, lines))


def manifest(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the manifest of `version`, by default of the one in force.

    Args:
      releases: the folder of the releases.
      version: a version.
      trusted: files of public keys, one of which must have signed the manifest; without any, it need not be signed.
    Returns:
      format, version, created; files, a mapping of paths to sha256 and size; content_digest, a digest of `files`;
      served, step → the folder of its pushed model, relative to the folder of the releases; facts; seal, a digest of
      all these; and, in a signed release, signature.
    Raises:
      ReleaseError: there is no such version, or its manifest cannot be read, was changed or is not signed.
    """
    version = chosen(releases, version)
    folder = Path(releases) / version
    if not folder.is_dir():
        raise ReleaseError(f"{releases}: there is no release {version}. {_known(releases)}")
    value = manifest_of(folder, trusted, _instead(releases, version))
    if value.get("version") != version:
        raise ReleaseError(
            f"{folder}: holds release {value.get('version')}, not {version}. {_instead(releases, version)}"
        )
    return value


def manifest_of(folder: Path, trusted: Sequence[Path] = (), todo: str = "Copy it again.") -> dict[str, Any]:
    """Return the manifest in the folder of one release; the name of the folder need not be the version.

    Args:
      folder: the folder of the release.
      trusted: as for `manifest`.
      todo: the last sentence of an error: what the user can do.
    Raises:
      ReleaseError: the manifest cannot be read, was changed or is not signed.
    """
    path = Path(folder) / names.MANIFEST_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ReleaseError(f"release {folder.name}: {path} is missing. {todo}") from None
    except OSError as error:
        raise ReleaseError(f"{path}: cannot be read as a manifest in JSON: {error}. {todo}") from error
    return parsed_manifest(content, path, trusted, todo)


def parsed_manifest(content: bytes, path: str | Path, trusted: Sequence[Path] = (), todo: str = "") -> dict[str, Any]:
    """Return the manifest that a file at `path` holds as `content`; see `manifest_of`. Raises: ReleaseError."""
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ReleaseError(f"{path}: cannot be read as a manifest in JSON: {error}. {todo}") from error
    format_ = value.get("format") if isinstance(value, dict) else None
    if format_ != FORMAT:
        raise ReleaseError(
            f"{path}: format should be {FORMAT}; found {format_!r}. It was written by another twostep version. {todo}"
        )
    if value.get("seal") != seal(value):
        raise ReleaseError(f"{path}: was changed after the release was made. {todo}")
    if not _has_shape(value):
        raise ReleaseError(f"{path}: files, served or facts are missing or of the wrong type. {todo}")
    if trusted and not signing.is_signed(sealed(value), value.get("signature"), trusted):
        raise ReleaseError(f"{path}: is not signed with one of the trusted keys. {todo}")
    return value


def _has_shape(value: dict[str, Any]) -> bool:
    """Return whether `files`, `served` and `facts` of a manifest have the expected types."""
    files_, served, facts = (value.get(key) for key in ("files", "served", "facts"))
    return (
        isinstance(facts, dict)
        and isinstance(served, dict)
        and all(isinstance(path, str) for path in served.values())
        and isinstance(files_, dict)
        and all(
            isinstance(each, dict) and isinstance(each.get("sha256"), str) and isinstance(each.get("size"), int)
            for each in files_.values()
        )
    )


def verify(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> None:
    """Check every file of `version`, by default of the one in force, against its manifest.

    Raises:
      ReleaseError: a file is damaged, missing or not in the manifest; the error names the first. Or as for `manifest`.
    """
    with reading(releases, version, trusted):
        pass


def resolve(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> Path:
    """Return the folder of `version`, by default of the one in force, after `verify`. Raises: ReleaseError."""
    with reading(releases, version, trusted) as folder:
        return folder


@contextlib.contextmanager
def reading(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the verified folder of `version`, as `resolve` returns it, and lock it against deletion in the block.

    Raises:
      ReleaseError: as for `verify`.
    """
    name = chosen(releases, version)
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(locks.shared(Path(releases) / name))
                break
            except FileNotFoundError:
                if (now := chosen(releases, version)) == name:
                    raise ReleaseError(f"{releases}: there is no release {name}. {_known(releases)}") from None
                name = now  # another release came into force, and this one was deleted, in the meantime
            except OSError as error:
                problem = f"cannot be read as a folder: {error}. {_instead(releases, name)}"
                raise ReleaseError(f"release {name}: {Path(releases) / name} {problem}") from error
        folder = Path(releases) / name
        _check_files(folder, manifest(releases, name, trusted)["files"], _instead(releases, name))
        yield folder


@contextlib.contextmanager
def reading_copy(folder: Path, trusted: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the verified folder of one release, and lock it against deletion in the block.

    The name of the folder need not be the version.

    Raises:
      ReleaseError: as for `verify`.
    """
    folder = folder.resolve()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.shared(folder))
        except OSError as error:
            raise ReleaseError(f"{folder}: cannot be read as a folder: {error}") from None
        _check_files(folder, manifest_of(folder, trusted)["files"], "Copy it again.")
        yield folder


def is_release(folder: Path) -> bool:
    """Return whether a folder holds a release."""
    return (Path(folder) / names.MANIFEST_FILE).is_file()


def _check_files(root: Path, expected: dict[str, Any], todo: str) -> None:
    """Check the files below `root` against those of a manifest. Raises: ReleaseError."""
    try:
        existing = dict(durable.entries(root))
        existing.pop(names.MANIFEST_FILE, None)
        for name in sorted({*expected, *existing}):
            problem = _problem(existing.get(name), expected.get(name, {}).get("sha256"))
            if problem is not None:
                raise ReleaseError(f"release {root.name}: {root / name} {problem}. {todo}")
    except OSError as error:
        raise ReleaseError(f"release {root.name}: cannot be read: {error}. {todo}") from error


def _problem(path: Path | None, expected: str | None) -> str | None:
    """Return what is wrong with a file whose SHA-256 should be `expected`; None for nothing."""
    if path is None:
        return f"is missing; expected sha256 {expected}"
    if expected is None:
        return "is not named in the manifest"
    if not durable.is_plain(path):
        return "is not a regular file"
    digest = files.sha256(path)
    return None if digest == expected else f"is damaged: expected sha256 {expected}, found {digest}"


# ---- versions ----


def chosen(releases: Path, version: str | None) -> str:
    """Return `version` if it has the form of one, or the one in force for None. Raises: ReleaseError."""
    if version is None:
        version = current(releases)
        if version is None:
            raise ReleaseError(f"{releases}: no release is in force. {_to_choose(releases)}")
    if not VERSION.fullmatch(version):
        raise ReleaseError(
            f"a version should look like 20250131T120000Z-0123abcd; found {version!r}. {_known(releases)}"
        )
    return version


def previous(releases: Path) -> str:
    """Return the version that was in force before the present one. Raises: ReleaseError without one."""
    now = chosen(releases, None)
    before = earlier(releases)
    if not before:
        raise ReleaseError(f"{releases}: no existing release was in force before {now}. {_known(releases)}")
    return before[0]


def _known(releases: Path) -> str:
    """Return a sentence with the existing versions."""
    known = versions(releases)
    return f"Existing releases: {', '.join(known)}." if known else "There is no release yet; `twostep run` makes one."


def _to_choose(releases: Path) -> str:
    """Return sentences with the existing versions and, if there are any, how to put one in force."""
    todo = " Put one in force with `twostep release rollback`." if versions(releases) else ""
    return _known(releases) + todo


def _instead(releases: Path, damaged: str) -> str:
    """Return a sentence on the releases that can replace a damaged one."""
    others = [version for version in versions(releases) if version != damaged]
    return (
        f"Roll back to another: {', '.join(others)}."
        if others
        else "There is no other release; run the pipeline again."
    )


# ---- digests ----


def content_digest(manifest_files: dict[str, dict[str, Any]]) -> str:
    """Return the SHA-256 over the paths and digests of the files of a manifest.

    The digests of two models that were fitted with the same seed may differ: the weights are the same, but not the
    graph files, since TensorFlow numbers functions consecutively in a process.
    """
    # `fingerprint.pb` is left out, since TensorFlow writes a random number into it.
    content = ((name, facts) for name, facts in sorted(manifest_files.items()) if not name.endswith("/fingerprint.pb"))
    lines = "".join(f"{facts['sha256']}  {name}\n" for name, facts in content)
    return hashlib.sha256(lines.encode()).hexdigest()


def seal(values: dict[str, Any]) -> str:
    """Return the SHA-256 of the values of a manifest, which protects those that `content_digest` does not cover."""
    return hashlib.sha256(sealed(values)).hexdigest()


def sealed(values: dict[str, Any]) -> bytes:
    """Return the values of a manifest as JSON, without `seal` and `signature`, which are computed from this content."""
    covered = {key: value for key, value in values.items() if key not in ("seal", "signature")}
    return json.dumps(covered, sort_keys=True).encode()
