"""The releases on disk, as those write them who publish, roll back and collect what is old; see `core.release.reader`.

Writers take turns by one lock. The folder must lie on a file system with atomic rename and flock.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from core import durable, locks, names
from core.errors import ReleaseError, UsageError
from core.release import pushed, reader, signing
from core.release.reader import FILES, FOLDERS, FORMAT, RANKING, RETRIEVAL

_LOCK = ".lock"


def publish(
    folder: Path,
    parts: dict[str, Path],
    facts: dict[str, Any],
    served: dict[str, Path] | None = None,
    created: datetime | None = None,
    signing_key: Path | None = None,
) -> str:
    """Copy `parts` into a new version, make it current and return its name.

    Args:
      folder: of the releases; made if missing.
      parts: what each of `FOLDERS` and `FILES` is copied from. A file that is a part of its own is left out of the
        folder it lies in.
      facts: JSON values that the manifest keeps beside the files: name, seed, metrics, ML Metadata ids.
      served: step → the folder that its Pusher made for TensorFlow Serving, beside that of the releases; see
        `core.release.pushed.place`.
      created: the time in the version's name; the clock's by default. The digest in it depends on the content alone.
      signing_key: file of the private key that signs the manifest; None for no signature.

    Raises:
      ReleaseError: a part is missing or is no plain file or folder, or the disk refused; what was current still is.
    """
    folder, created = Path(folder), (created or datetime.now(UTC)).astimezone(UTC)
    _check_parts(parts)
    with _writing(folder), _partial_folder(folder) as partial:
        found = _copy_parts(parts, partial)
        content = reader.content_digest(found)
        version = f"{created:%Y%m%dT%H%M%SZ}-{content[:8]}"
        written = {
            "format": FORMAT,
            "version": version,
            "created": created.isoformat(timespec="seconds"),
            "content_digest": content,
            "files": found,
            "served": {step: pushed.place(folder, step, path) for step, path in (served or {}).items()},
            "facts": facts,
        }
        written["seal"] = reader.seal(written)
        if signing_key is not None:
            written["signature"] = signing.sign(reader.sealed(written), signing_key)
        durable.write_text(partial / names.MANIFEST_FILE, json.dumps(written, indent=2, sort_keys=True) + "\n")
        durable.sync_folders(partial)
        with locks.alone(folder / _LOCK):
            _reveal(partial, folder, version, content)
            _make_current(folder, version)
    return version


def rollback(folder: Path, to: str | None = None, trusted: Sequence[Path] = ()) -> str:
    """Make `to` current, by default what was current before the present one, and return its name.

    A second call without a name undoes the first, since what was current before is then the newer one.

    Args:
      folder: of the releases.
      to: a version's name.
      trusted: as of `core.release.reader.manifest`.
    Raises:
      ReleaseError: there is nothing to go back to, or the version is unknown or does not verify.
    """
    folder = _existing(folder)
    with _writing(folder), locks.alone(folder / _LOCK):
        to = reader.previous(folder) if to is None else reader.chosen(folder, to)
        reader.verify(folder, to, trusted)
        _make_current(folder, to)
    return to


def collect(folder: Path, keep: int, serving: Path | None = None, dry_run: bool = False) -> list[Path]:
    """Delete the releases before the newest `keep`, and the pushed models that belong to none that is left.

    Also kept: the `keep` that were last in force, among them the current one and, even with `keep` of 1, the one that
    was current before it; and what a process is reading. What dead publishers and collectors left half there goes too.

    Args:
      folder: of the releases.
      keep: at least 1.
      serving: the folder that the Pushers write to; without it pushed models are left alone.
      dry_run: delete nothing.

    Returns:
      The folders that were, or would be, deleted.

    Raises:
      UsageError: `keep` is below 1.
      ReleaseError: no release is current or the current one is damaged, in which case nothing was deleted; or the
        disk refused.
    """
    folder = _existing(folder)
    if keep < 1:
        raise UsageError(f"the number of releases to keep should be at least 1; found {keep}")
    with _writing(folder), locks.alone(folder / _LOCK):
        reader.verify(folder)
        outdated = _outdated(folder, keep)
        if not dry_run:
            outdated = [path for path in outdated if _hide(path)]
            locks.sweep(folder)
            durable.sync_folder(folder)
        left = [version for version in reader.versions(folder) if folder / version not in outdated]
        if not dry_run and (history := reader.history(folder)) != (known := [x for x in history if x in left]):
            _replace_lines(folder / reader.HISTORY, known)
        return outdated + (pushed.collect(folder, left, serving, dry_run) if serving is not None else [])


# ---- becoming visible, and invisible ----


def _existing(folder: Path) -> Path:
    if not Path(folder).is_dir():
        raise ReleaseError(f"{folder}: no such folder. There are none yet; `twostep run` makes one.")
    return Path(folder)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Explain what the system refuses."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ReleaseError(
            f"{folder}: cannot be written: {error}. What was current still is. Free the space or fix the rights."
        ) from error


@contextlib.contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """A hidden folder of this publisher's own, gone when the block ends; those of dead publishers go first.

    Its owner holds a lock on it, which tells a dead publisher from a slow one whatever became of its process id.
    """
    with contextlib.ExitStack() as owned:
        with locks.alone(folder / _LOCK):
            locks.sweep(folder)
            partial = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}.", suffix=".partial", dir=folder))
            owned.enter_context(locks.owning(partial))
        partial.chmod(0o755)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _reveal(partial: Path, folder: Path, version: str, content: str) -> None:
    """Rename the whole folder into place. The same content in the same second is the same release: keep the first."""
    target = folder / version
    if target.exists():
        reader.verify(folder, version)
        if reader.manifest(folder, version)["content_digest"] != content:
            raise ReleaseError(f"{target}: another release has this name. Publish again, a second later.")
        return
    os.rename(partial, target)
    durable.sync_folder(folder)


def _make_current(folder: Path, version: str) -> None:
    """Swap `current`; what it said goes to the history first, where a crash between the two does no harm."""
    path = folder / reader.CURRENT
    before = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    config = pushed.configuration(folder, version)  # first, because it may have to copy models, and fail
    if before != version:
        if reader.VERSION.fullmatch(before):  # a damaged one is replaced like any other, and forgotten
            _replace_lines(folder / reader.HISTORY, [*reader.history(folder), before])
        _replace_lines(path, [version])
    if config is not None:
        _replace_lines(folder / pushed.CONFIG_FILE, config)


def _replace_lines(path: Path, lines: list[str]) -> None:
    partial = path.with_name(f".{path.name}.partial")  # one name does: the caller holds the lock
    durable.write_text(partial, "".join(f"{line}\n" for line in lines))
    os.replace(partial, path)
    durable.sync_folder(path.parent)


def _outdated(folder: Path, keep: int) -> list[Path]:
    """The folders of the releases that need not be kept, oldest first."""
    known = reader.versions(folder)
    in_force = [reader.chosen(folder, None), *reader.earlier(folder)]
    kept = {*known[:keep], *in_force[: max(keep, 2)]}
    return [folder / version for version in reversed(known) if version not in kept]


def _hide(path: Path) -> bool:
    """Rename a release so that nobody sees it while it is deleted; not one that is being read, nor a link."""
    if path.is_symlink():
        return False
    with locks.unused(path) as free:
        if free:
            os.rename(path, path.with_name(f".{path.name}.partial"))
        return free


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
