"""The releases on disk: what belongs together is published, verified and rolled back together.

    releases/<version>/   manifest.json retrieval/ index/ ranking/ catalogue.arrow evaluation.json
    releases/current      one line, the version in force; replaced by rename, never edited
    releases/history      every version that was current before, oldest first

A version folder is filled under a hidden name and renamed when it is whole, so it is never seen half-written and never
changes afterwards. The folder must lie on a file system with atomic rename and flock.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import durable, files, names
from core.errors import ReleaseError

RETRIEVAL, INDEX, RANKING = "retrieval", "index", "ranking"
FOLDERS = (RETRIEVAL, INDEX, RANKING)
FILES = (names.CATALOGUE_FILE, names.EVALUATION_FILE)
FORMAT = 1  # of the manifest; raised when an older server could not read a newer release

_VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_CURRENT, _HISTORY, _LOCK = "current", "history", ".lock"


def publish(releases: Path, parts: dict[str, Path], facts: dict[str, Any], created: datetime | None = None) -> str:
    """Copy `parts` into a new version, make it current and return its name.

    Args:
      releases: the folder of the releases; made if missing.
      parts: what each of `FOLDERS` and `FILES` is copied from. A file that is a part of its own is left out of the
        folder it lies in.
      facts: JSON values that the manifest keeps beside the files: name, seed, metrics, ML Metadata ids.
      created: the time in the version's name; the clock's by default. The digest in it depends on the content alone.

    Raises:
      ReleaseError: a part is missing or is no plain file or folder, or the disk refused; what was current still is.
    """
    releases, created = Path(releases), (created or datetime.now(UTC)).astimezone(UTC)
    _check_parts(parts)
    with _writing(releases), _partial_folder(releases) as partial:
        found = _copy_parts(parts, partial)
        content = _content_digest(found)
        version = f"{created:%Y%m%dT%H%M%SZ}-{content[:8]}"
        written = {
            "format": FORMAT,
            "version": version,
            "created": created.isoformat(timespec="seconds"),
            "content_digest": content,
            "files": found,
            "facts": facts,
        }
        durable.write_text(partial / names.MANIFEST_FILE, json.dumps(written, indent=2, sort_keys=True) + "\n")
        durable.sync_folders(partial)
        with _locked(releases):
            _reveal(partial, releases, version, content)
            _make_current(releases, version)
    return version


def current(releases: Path) -> str | None:
    """The version in force, or None before the first release. Raises: ReleaseError where the file is damaged."""
    path = Path(releases) / _CURRENT
    try:
        version = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{path}: should hold the name of a version: {error}") from error
    if not _VERSION.fullmatch(version):
        raise ReleaseError(f"{path}: should hold the name of a version; found {version!r}. {_known(releases)}")
    return version


def versions(releases: Path) -> list[str]:
    """The published versions, newest first."""
    if not Path(releases).is_dir():
        return []
    whole = (path.parent.name for path in Path(releases).glob(f"*/{names.MANIFEST_FILE}"))
    return sorted(filter(_VERSION.fullmatch, whole), reverse=True)


def manifest(releases: Path, version: str | None = None) -> dict[str, Any]:
    """The manifest of `version`, by default of the current one: format, version, created, content_digest, files, facts.

    Raises:
      ReleaseError: there is no such version, or its manifest cannot be read.
    """
    version = _chosen(releases, version)
    path = Path(releases) / version / names.MANIFEST_FILE
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        raise ReleaseError(f"{releases}: there is no release {version}. {_known(releases)}") from None
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path}: should be a manifest in JSON: {error}. {_instead(releases, version)}") from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise ReleaseError(f"{path}: format should be {FORMAT}; found {found!r}. {_instead(releases, version)}")
    try:
        content = _content_digest(value["files"])
        intact = (value["version"], value["content_digest"], content[:8]) == (version, content, version[-8:])
    except (KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise ReleaseError(f"{path}: was changed after the release was made. {_instead(releases, version)}")
    return value


def verify(releases: Path, version: str | None = None) -> None:
    """Check every file of `version`, by default of the current one, against its manifest.

    Raises:
      ReleaseError: names the first file that is damaged, missing or extra.
    """
    version = _chosen(releases, version)
    expected = manifest(releases, version)["files"]
    root = Path(releases) / version
    found = dict(durable.entries(root))
    found.pop(names.MANIFEST_FILE, None)
    for name in sorted({*expected, *found}):
        if name not in found:
            problem = f"is missing; expected sha256 {expected[name]['sha256']}"
        elif name not in expected:
            problem = "is extra: the manifest does not name it"
        elif not durable.is_plain(found[name]):
            problem = "should be a plain file"
        elif (digest := files.sha256(found[name])) != expected[name]["sha256"]:
            problem = f"is damaged: expected sha256 {expected[name]['sha256']}, found {digest}"
        else:
            continue
        raise ReleaseError(f"release {version}: {root / name} {problem}. {_instead(releases, version)}")


def resolve(releases: Path, version: str | None = None) -> Path:
    """The folder of `version`, by default of the current one, after `verify`. Raises: ReleaseError."""
    version = _chosen(releases, version)
    verify(releases, version)
    return Path(releases) / version


def rollback(releases: Path, to: str | None = None) -> str:
    """Make `to` current, by default what was current before the present one, and return its name.

    A second call without a name undoes the first, since what was current before is then the newer one.

    Raises:
      ReleaseError: there is nothing to go back to, or the version is unknown or does not verify.
    """
    releases = Path(releases)
    if not releases.is_dir():
        raise ReleaseError(f"{releases}: no such folder. {_known(releases)}")
    with _writing(releases), _locked(releases):
        to = _previous(releases) if to is None else _chosen(releases, to)
        verify(releases, to)
        _make_current(releases, to)
    return to


# ---- which version ----


def _chosen(releases: Path, version: str | None) -> str:
    """`version` if it is a version's name and not some other path, or the current one."""
    if version is None:
        version = current(releases)
        if version is None:
            raise ReleaseError(f"{releases}: no release is current. {_known(releases)}")
    if not _VERSION.fullmatch(version):
        raise ReleaseError(
            f"a version should look like 20250131T120000Z-0123abcd; found {version!r}. {_known(releases)}"
        )
    return version


def _previous(releases: Path) -> str:
    """What was current before the present version."""
    now = _chosen(releases, None)
    earlier = [version for version in _history(releases) if version != now]
    if not earlier:
        raise ReleaseError(f"{releases}: no release was current before {now}. {_known(releases)}")
    return earlier[-1]


def _history(releases: Path) -> list[str]:
    try:
        lines = (releases / _HISTORY).read_text(encoding="utf-8", errors="replace").split()
    except FileNotFoundError:
        return []
    return list(filter(_VERSION.fullmatch, lines))


def _known(releases: Path) -> str:
    known = versions(releases)
    return f"There are: {', '.join(known)}." if known else "There are none yet; `twostep run` makes one."


def _instead(releases: Path, damaged: str) -> str:
    others = [version for version in versions(releases) if version != damaged]
    return f"Roll back to another: {', '.join(others)}." if others else "There is no other; run the pipeline again."


# ---- becoming visible ----


@contextlib.contextmanager
def _writing(releases: Path) -> Iterator[None]:
    """Explain what the system refuses."""
    try:
        releases.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ReleaseError(
            f"{releases}: cannot be written: {error}. What was current still is. Free the space or fix the rights."
        ) from error


@contextlib.contextmanager
def _locked(releases: Path) -> Iterator[None]:
    """One process at a time; the system frees the lock when its holder dies."""
    with open(releases / _LOCK, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _partial_folder(releases: Path) -> Iterator[Path]:
    """A hidden folder of this publisher's own, gone when the block ends; those of dead publishers go first.

    Its owner holds a lock on it, which tells a dead publisher from a slow one whatever became of its process id.
    """
    with _locked(releases):
        _sweep(releases)
        partial = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}.", suffix=".partial", dir=releases))
        partial.chmod(0o755)
        owner = os.open(partial, os.O_RDONLY)
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(owner)


def _sweep(releases: Path) -> None:
    for path in releases.glob(".*.partial"):
        if path.is_symlink() or not path.is_dir():
            continue
        leftover = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(leftover, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
        except BlockingIOError:
            pass  # its publisher lives
        finally:
            os.close(leftover)


def _reveal(partial: Path, releases: Path, version: str, content: str) -> None:
    """Rename the whole folder into place. The same content in the same second is the same release: keep the first."""
    target = releases / version
    if target.exists():
        verify(releases, version)
        if manifest(releases, version)["content_digest"] != content:
            raise ReleaseError(f"{target}: another release has this name. Publish again, a second later.")
        return
    os.rename(partial, target)
    durable.sync_folder(releases)


def _make_current(releases: Path, version: str) -> None:
    """Swap `current`; what it said goes to the history first, where a crash between the two does no harm."""
    path = releases / _CURRENT
    before = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    if before == version:
        return
    if _VERSION.fullmatch(before):  # a damaged one is replaced like any other, and forgotten
        _replace_lines(releases / _HISTORY, [*_history(releases), before])
    _replace_lines(path, [version])


def _replace_lines(path: Path, lines: list[str]) -> None:
    partial = path.with_name(f".{path.name}.partial")  # one name does: the caller holds the lock
    durable.write_text(partial, "".join(f"{line}\n" for line in lines))
    os.replace(partial, path)
    durable.sync_folder(path.parent)


# ---- copying ----


def _check_parts(parts: dict[str, Path]) -> None:
    wanted = {*FOLDERS, *FILES}
    if set(parts) != wanted:
        raise ReleaseError(
            f"the parts of a release should be {', '.join(sorted(wanted))}; "
            f"missing: {sorted(wanted - set(parts))}, unknown: {sorted(set(parts) - wanted)}"
        )
    for name, source in parts.items():
        kind, fits = ("folder", Path(source).is_dir()) if name in FOLDERS else ("file", Path(source).is_file())
        if not fits or Path(source).is_symlink():
            raise ReleaseError(f"the part {name} of the release should be a {kind}; {source} is none")
    for name in (RETRIEVAL, RANKING):
        if next(durable.entries(parts[name]), None) is None:
            raise ReleaseError(f"the part {name} of the release should be a saved model; {parts[name]} is empty")


def _copy_parts(parts: dict[str, Path], target: Path) -> dict[str, dict[str, Any]]:
    """Copy everything; returns path in the release → its sha256 and size."""
    apart = {Path(parts[name]).resolve() for name in FILES}
    sources = {name: Path(parts[name]) for name in FILES}
    for part in FOLDERS:
        (target / part).mkdir()
        for name, source in durable.entries(parts[part]):
            if source.resolve() not in apart:
                sources[f"{part}/{name}"] = source
    return {name: _copy(source, target / name) for name, source in sorted(sources.items())}


def _copy(source: Path, target: Path) -> dict[str, Any]:
    if not durable.is_plain(source):
        raise ReleaseError(f"{source}: a release holds plain files; this is a link or a device. Put its content there.")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = durable.copy(source, target)
    return {"sha256": digest, "size": size}


def _content_digest(found: dict[str, dict[str, Any]]) -> str:
    """SHA-256 over the paths and digests of the files; it knows neither time nor place.

    Models fitted twice alike have the same weights, but their graph files differ: TensorFlow counts its functions up.
    """
    # TensorFlow puts a random number into a model's fingerprint: equal models would differ by it.
    content = ((name, facts) for name, facts in sorted(found.items()) if not name.endswith("/fingerprint.pb"))
    lines = "".join(f"{facts['sha256']}  {name}\n" for name, facts in content)
    return hashlib.sha256(lines.encode()).hexdigest()
