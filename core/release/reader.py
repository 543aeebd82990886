"""The releases on disk, as those see them who read: which there are, which is in force, and whether one is whole.

    releases/<version>/   manifest.json retrieval/ index/ ranking/ users/ statistics/ catalogue.arrow evaluation.json
    releases/current      one line, the version in force; replaced by rename, never edited
    releases/history      every version that was current before, oldest first

`core.release.writer` writes them: a version folder is shown by one rename when it is whole, never changes afterwards,
and is hidden by one rename before it is deleted. Where keys are trusted, only releases that one of them has signed are
read.
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
FORMAT = 3  # of the manifest; raised when a server of another version could not read it

VERSION = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
CURRENT, HISTORY = "current", "history"


def current(releases: Path) -> str | None:
    """The version in force, or None before the first release. Raises: ReleaseError where the file is damaged."""
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
    """The published versions, newest first."""
    if not Path(releases).is_dir():
        return []
    whole = (path.parent.name for path in Path(releases).glob(f"*/{names.MANIFEST_FILE}"))
    return sorted(filter(VERSION.fullmatch, whole), reverse=True)


def earlier(releases: Path) -> list[str]:
    """The versions that are still there and were current before the present one, the latest first, each once."""
    there, now = set(versions(releases)), current(releases)
    latest_first = dict.fromkeys(reversed(history(releases)))
    return [version for version in latest_first if version in there and version != now]


def history(releases: Path) -> list[str]:
    """What was current before, oldest first, as often as it was."""
    try:
        lines = (Path(releases) / HISTORY).read_text(encoding="utf-8", errors="replace").split()
    except FileNotFoundError:
        return []
    return list(filter(VERSION.fullmatch, lines))


def manifest(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the manifest of `version`, by default of the current one.

    Args:
      releases: the folder of the releases.
      version: a version's name.
      trusted: files of public keys, one of which should have signed it; where there are none, it need not be signed.
    Returns:
      format, version, created; files, a mapping of paths to sha256 and size; content_digest over them; served, step →
      the folder of its pushed model from that of the releases; facts; seal, a digest of all that; and signature, of a
      signed one.
    Raises:
      ReleaseError: there is no such version, or its manifest cannot be read, was changed or is not signed.
    """
    version = chosen(releases, version)
    folder = Path(releases) / version
    if not folder.is_dir():
        raise ReleaseError(f"{releases}: there is no release {version}. {_known(releases)}")
    value = manifest_of(folder, trusted, _instead(releases, version))
    if value.get("version") != version:
        raise ReleaseError(f"{folder}: is the release {value.get('version')}. {_instead(releases, version)}")
    return value


def manifest_of(folder: Path, trusted: Sequence[Path] = (), todo: str = "Copy it again.") -> dict[str, Any]:
    """Return the manifest in the folder of one release, whatever the folder is called.

    Args:
      folder: of the release.
      trusted: as of `manifest`.
      todo: what the user can do where it cannot be used.
    Raises:
      ReleaseError: as `manifest`.
    """
    path = Path(folder) / names.MANIFEST_FILE
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        raise ReleaseError(f"release {folder.name}: {path} is missing. {todo}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ReleaseError(f"{path}: should be a manifest in JSON: {error}. {todo}") from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise ReleaseError(
            f"{path}: format should be {FORMAT}; found {found!r}. Only the twostep that made it can read it. {todo}"
        )
    if value.get("seal") != seal(value):
        raise ReleaseError(f"{path}: was changed after the release was made. {todo}")
    if not _has_shape(value):
        raise ReleaseError(f"{path}: should hold files, served and facts as a release's manifest does. {todo}")
    if trusted and not signing.is_signed(sealed(value), value.get("signature"), trusted):
        raise ReleaseError(f"{path}: should be signed with one of the trusted keys, and is not. {todo}")
    return value


def _has_shape(value: dict[str, Any]) -> bool:
    """Return whether the parts of a manifest that code relies on are of their types."""
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
    """Check every file of `version`, by default of the current one, against its manifest.

    Raises:
      ReleaseError: names the first file that is damaged, missing or extra; or as `manifest`.
    """
    with reading(releases, version, trusted):
        pass


def resolve(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> Path:
    """Return the folder of `version`, by default of the current one, after `verify`. Raises: ReleaseError."""
    with reading(releases, version, trusted) as folder:
        return folder


@contextlib.contextmanager
def reading(releases: Path, version: str | None = None, trusted: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield what `resolve` returns; nobody deletes the folder before the block ends. Raises: ReleaseError."""
    name = chosen(releases, version)
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(locks.using(Path(releases) / name))
                break
            except FileNotFoundError:
                if (now := chosen(releases, version)) == name:
                    raise ReleaseError(f"{releases}: there is no release {name}. {_known(releases)}") from None
                name = now  # another came into force, and this one was deleted, since we asked
            except OSError as error:
                todo = f"should be a folder that can be read: {error}. {_instead(releases, name)}"
                raise ReleaseError(f"release {name}: {Path(releases) / name} {todo}") from error
        folder = Path(releases) / name
        _check_files(folder, manifest(releases, name, trusted)["files"], _instead(releases, name))
        yield folder


@contextlib.contextmanager
def reading_copy(folder: Path, trusted: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the folder of one release, whatever it is called, after every file was checked. Raises: ReleaseError."""
    folder = folder.resolve()
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locks.using(folder))
        except OSError as error:
            raise ReleaseError(f"{folder}: should be a folder that can be read: {error}") from None
        _check_files(folder, manifest_of(folder, trusted)["files"], "Copy it again.")
        yield folder


def is_release(folder: Path) -> bool:
    """Return whether a folder is that of one release."""
    return (Path(folder) / names.MANIFEST_FILE).is_file()


def _check_files(root: Path, expected: dict[str, Any], todo: str) -> None:
    try:
        found = dict(durable.entries(root))
        found.pop(names.MANIFEST_FILE, None)
        for name in sorted({*expected, *found}):
            problem = _problem(found.get(name), expected.get(name, {}).get("sha256"))
            if problem is not None:
                raise ReleaseError(f"release {root.name}: {root / name} {problem}. {todo}")
    except OSError as error:
        raise ReleaseError(f"release {root.name}: cannot be read: {error}. {todo}") from error


def _problem(path: Path | None, expected: str | None) -> str | None:
    """What is wrong with a file, whose SHA-256 should be `expected`."""
    if path is None:
        return f"is missing; expected sha256 {expected}"
    if expected is None:
        return "is extra: the manifest does not name it"
    if not durable.is_plain(path):
        return "should be a plain file"
    found = files.sha256(path)
    return None if found == expected else f"is damaged: expected sha256 {expected}, found {found}"


# ---- which version ----


def chosen(releases: Path, version: str | None) -> str:
    """`version` if it is a version's name and not some other path, or the current one. Raises: ReleaseError."""
    if version is None:
        version = current(releases)
        if version is None:
            raise ReleaseError(f"{releases}: no release is current. {_to_choose(releases)}")
    if not VERSION.fullmatch(version):
        raise ReleaseError(
            f"a version should look like 20250131T120000Z-0123abcd; found {version!r}. {_known(releases)}"
        )
    return version


def previous(releases: Path) -> str:
    """What was current before the present version. Raises: ReleaseError where nothing was."""
    now = chosen(releases, None)
    before = earlier(releases)
    if not before:
        raise ReleaseError(f"{releases}: no release was current before {now}. {_known(releases)}")
    return before[0]


def _known(releases: Path) -> str:
    known = versions(releases)
    return f"There are: {', '.join(known)}." if known else "There are none yet; `twostep run` makes one."


def _to_choose(releases: Path) -> str:
    todo = " `twostep release rollback` with one of them makes it current." if versions(releases) else ""
    return _known(releases) + todo


def _instead(releases: Path, damaged: str) -> str:
    others = [version for version in versions(releases) if version != damaged]
    return f"Roll back to another: {', '.join(others)}." if others else "There is no other; run the pipeline again."


# ---- digests ----


def content_digest(found: dict[str, dict[str, Any]]) -> str:
    """SHA-256 over the paths and digests of the files; it knows neither time nor place.

    Models fitted twice alike have the same weights, but their graph files differ: TensorFlow counts its functions up.
    """
    # TensorFlow puts a random number into a model's fingerprint: equal models would differ by it.
    content = ((name, facts) for name, facts in sorted(found.items()) if not name.endswith("/fingerprint.pb"))
    lines = "".join(f"{facts['sha256']}  {name}\n" for name, facts in content)
    return hashlib.sha256(lines.encode()).hexdigest()


def seal(values: dict[str, Any]) -> str:
    """Return the SHA-256 of a manifest, so that a change in what no file's digest covers is seen too."""
    return hashlib.sha256(sealed(values)).hexdigest()


def sealed(values: dict[str, Any]) -> bytes:
    """Return what the seal and the signature of a manifest cover: all but themselves."""
    covered = {key: value for key, value in values.items() if key not in ("seal", "signature")}
    return json.dumps(covered, sort_keys=True).encode()
