"""The releases on disk, as those see them who read: which there are, which is in force, and whether one is whole.

    releases/<version>/   manifest.json retrieval/ index/ ranking/ catalogue.arrow evaluation.json
    releases/current      one line, the version in force; replaced by rename, never edited
    releases/history      every version that was current before, oldest first

`core.release_store` writes them: a version folder is shown by one rename when it is whole, never changes afterwards,
and is hidden by one rename before it is deleted.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core import durable, files, locks, names
from core.errors import ReleaseError

RETRIEVAL, INDEX, RANKING = "retrieval", "index", "ranking"
FOLDERS = (RETRIEVAL, INDEX, RANKING)
FILES = (names.CATALOGUE_FILE, names.EVALUATION_FILE)
FORMAT = 2  # of the manifest; raised when a server of another version could not read it

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


def manifest(releases: Path, version: str | None = None) -> dict[str, Any]:
    """The manifest of `version`, by default of the current one.

    Returns:
      format, version, created; files, a mapping of paths to sha256 and size; content_digest over them; served, step →
      the folder of its pushed model from that of the releases; facts; and seal, a digest of all that.

    Raises:
      ReleaseError: there is no such version, or its manifest cannot be read or was changed.
    """
    version = chosen(releases, version)
    path = Path(releases) / version / names.MANIFEST_FILE
    try:
        value = files.read_json(path)
    except FileNotFoundError:
        if path.parent.is_dir():
            raise ReleaseError(f"release {version}: {path} is missing. {_instead(releases, version)}") from None
        raise ReleaseError(f"{releases}: there is no release {version}. {_known(releases)}") from None
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{path}: should be a manifest in JSON: {error}. {_instead(releases, version)}") from error
    found = value.get("format") if isinstance(value, dict) else None
    if found != FORMAT:
        raise ReleaseError(
            f"{path}: format should be {FORMAT}; found {found!r}. Only the twostep that made it can read it. "
            f"{_instead(releases, version)}"
        )
    if (value.get("version"), value.get("seal")) != (version, seal(value)):
        raise ReleaseError(f"{path}: was changed after the release was made. {_instead(releases, version)}")
    return value


def verify(releases: Path, version: str | None = None) -> None:
    """Check every file of `version`, by default of the current one, against its manifest.

    Raises:
      ReleaseError: names the first file that is damaged, missing or extra.
    """
    with reading(releases, version):
        pass


def resolve(releases: Path, version: str | None = None) -> Path:
    """The folder of `version`, by default of the current one, after `verify`. Raises: ReleaseError."""
    with reading(releases, version) as folder:
        return folder


@contextlib.contextmanager
def reading(releases: Path, version: str | None = None) -> Iterator[Path]:
    """As `resolve`, and nobody deletes the folder before the block ends: files that are opened in it are all there."""
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
        _check_files(releases, name)
        yield Path(releases) / name


def _check_files(releases: Path, version: str) -> None:
    expected = manifest(releases, version)["files"]
    root = Path(releases) / version
    try:
        found = dict(durable.entries(root))
        found.pop(names.MANIFEST_FILE, None)
        for name in sorted({*expected, *found}):
            problem = _problem(found.get(name), expected.get(name, {}).get("sha256"))
            if problem is not None:
                raise ReleaseError(f"release {version}: {root / name} {problem}. {_instead(releases, version)}")
    except OSError as error:
        raise ReleaseError(f"release {version}: cannot be read: {error}. {_instead(releases, version)}") from error


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
    """SHA-256 of a manifest, so that a change in what no file's digest covers is seen too."""
    sealed = {key: value for key, value in values.items() if key != "seal"}
    return hashlib.sha256(json.dumps(sealed, sort_keys=True).encode()).hexdigest()
