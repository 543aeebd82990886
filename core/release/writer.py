"""Publishing, rollback and deletion of releases; `core.release.reader` describes their layout.

Writers are serialised by a lock. The folder must be on a file system with atomic rename and flock.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
    served: Mapping[str, str | Path] | None = None,
    created: datetime | None = None,
    signing_key: Path | None = None,
) -> str:
    """Copy `parts` into a new version, put it in force and return its name.

    Args:
      folder: the folder of the releases; created if missing.
      parts: the source of each of `FOLDERS` and `FILES`. If one of `FILES` is inside a source folder, it is not copied
        with that folder.
      facts: the values of `core.release.facts.Facts` as JSON.
      served: step → the folder of its model for TensorFlow Serving; see `core.release.pushed.relative_folder`.
      created: the time that begins the version; now by default. The digest that ends it depends on the content only.
      signing_key: file of the private key that signs the manifest; None for no signature.

    Raises:
      ReleaseError: a part is missing or is not a regular file or folder, or writing failed. The release in force is
        unchanged.
    """
    folder = Path(folder)
    check_parts(parts)
    with _writing(folder), _partial_folder(folder) as partial:
        copied = copy_parts(parts, partial)
        relative = {step: pushed.relative_folder(folder, step, Path(path)) for step, path in (served or {}).items()}
        manifest = write_manifest(partial, copied, facts, relative, created or datetime.now(UTC), signing_key)
        version = manifest["version"]
        durable.sync_folders(partial)
        with locks.exclusive(folder / _LOCK):
            _reveal(partial, folder, version, manifest["content_digest"])
            _put_in_force(folder, version)
    return version


def rollback(folder: Path, to: str | None = None, trusted: Sequence[Path] = ()) -> str:
    """Put `to` in force, by default the version that was in force before, and return it.

    A second call without `to` undoes the first.

    Args:
      folder: the folder of the releases.
      to: a version.
      trusted: as for `core.release.reader.manifest`.
    Raises:
      ReleaseError: no version was in force before, or the version does not exist or fails verification.
    """
    folder = _existing(folder)
    with _writing(folder), locks.exclusive(folder / _LOCK):
        to = reader.previous(folder) if to is None else reader.chosen(folder, to)
        reader.verify(folder, to, trusted)
        _put_in_force(folder, to)
    return to


def collect(folder: Path, keep: int, serving: Path | None = None, dry_run: bool = False) -> list[Path]:
    """Delete all releases but the newest `keep`, and the pushed models that belong to no remaining release.

    Also kept are the `keep` releases that were in force last, always including the present and the previous one, and
    releases that a process is reading. Partial folders of processes that died are deleted too.

    Args:
      folder: the folder of the releases.
      keep: the number of newest releases to keep, at least 1.
      serving: the folder that the Pushers write to; None to keep all pushed models.
      dry_run: whether to delete nothing.

    Returns:
      The folders that were deleted or, if `dry_run`, would be.

    Raises:
      UsageError: `keep` is below 1.
      ReleaseError: no release is in force or the one in force is damaged, in which case nothing was deleted; or writing
        failed.
    """
    folder = _existing(folder)
    if keep < 1:
        raise UsageError(f"the number of releases to keep should be at least 1; found {keep}")
    with _writing(folder), locks.exclusive(folder / _LOCK):
        reader.verify(folder)
        outdated = _outdated(folder, keep)
        if not dry_run:
            outdated = [path for path in outdated if _hide(path)]
            locks.delete_abandoned(folder)
            durable.sync_folder(folder)
        left = [version for version in reader.versions(folder) if folder / version not in outdated]
        if not dry_run and (history := reader.history(folder)) != (known := [x for x in history if x in left]):
            _replace_lines(folder / reader.HISTORY, known)
        return outdated + (_collect_pushed(folder, left, serving, dry_run) if serving is not None else [])


def _collect_pushed(folder: Path, versions: list[str], serving: Path, dry_run: bool) -> list[Path]:
    """Delete the pushed models that belong to none of the versions; none if a manifest cannot be read."""
    try:
        served = [reader.manifest(folder, version)["served"] for version in versions]
    except ReleaseError:
        return []
    return pushed.collect(served, serving, dry_run)


# ---- publishing and hiding ----


def _existing(folder: Path) -> Path:
    """Return the folder of the releases. Raises: ReleaseError if it does not exist."""
    if not Path(folder).is_dir():
        raise ReleaseError(f"{folder}: no such folder. There is no release yet; `twostep run` makes one.")
    return Path(folder)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Create the folder of the releases and turn errors of the file system into a ReleaseError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ReleaseError(
            f"{folder}: cannot be written: {error}. The release in force is unchanged. Free some space or correct the "
            "permissions."
        ) from error


@contextlib.contextmanager
def _partial_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder, which is deleted when the block ends; first delete such folders of processes that died.

    The folder is locked in the block: an unlocked one belongs to a process that died.
    """
    with contextlib.ExitStack() as stack:
        with locks.exclusive(folder / _LOCK):
            locks.delete_abandoned(folder)
            partial = Path(tempfile.mkdtemp(prefix=f".{os.getpid()}.", suffix=".partial", dir=folder))
            stack.enter_context(locks.exclusive_folder(partial))
        partial.chmod(0o755)
        try:
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _reveal(partial: Path, folder: Path, version: str, content: str) -> None:
    """Rename the complete folder to its version; do nothing if a release with the same version and content exists."""
    target = folder / version
    if target.exists():
        reader.verify(folder, version)
        if reader.manifest(folder, version)["content_digest"] != content:
            raise ReleaseError(f"{target}: another release has this version. Publish again, a second later.")
        return
    os.rename(partial, target)
    durable.sync_folder(folder)


def _put_in_force(folder: Path, version: str) -> None:
    """Replace `current`; first append its former value to the history, so that a crash in between does not lose it."""
    path = folder / reader.CURRENT
    before = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    config = pushed.configuration(folder, version)  # before any change, since copying missing models can fail
    if before != version:
        if reader.VERSION.fullmatch(before):  # a damaged value is no version
            _replace_lines(folder / reader.HISTORY, [*reader.history(folder), before])
        _replace_lines(path, [version])
    if config is not None:
        _replace_lines(folder / pushed.CONFIG_FILE, config)


def _replace_lines(path: Path, lines: list[str]) -> None:
    """Replace a file of lines atomically; the caller holds the lock."""
    partial = path.with_name(f".{path.name}.partial")
    durable.write_text(partial, "".join(f"{line}\n" for line in lines))
    os.replace(partial, path)
    durable.sync_folder(path.parent)


def _outdated(folder: Path, keep: int) -> list[Path]:
    """Return the folders of the releases that are not kept, oldest first."""
    known = reader.versions(folder)
    in_force = [reader.chosen(folder, None), *reader.earlier(folder)]
    kept = {*known[:keep], *in_force[: max(keep, 2)]}
    return [folder / version for version in reversed(known) if version not in kept]


def _hide(path: Path) -> bool:
    """Rename a release to a hidden folder, and return True; return False for a link or a release that is being read."""
    if path.is_symlink():
        return False
    with locks.try_exclusive(path) as locked:
        if locked:
            os.rename(path, path.with_name(f".{path.name}.partial"))
        return locked


# ---- copying ----


def check_parts(parts: dict[str, Path]) -> None:
    """Check that all parts exist and are of the right kind. Raises: ReleaseError."""
    expected = {*FOLDERS, *FILES}
    if set(parts) != expected:
        raise ReleaseError(
            f"the parts of a release should be {', '.join(sorted(expected))}; "
            f"missing: {sorted(expected - set(parts))}, unknown: {sorted(set(parts) - expected)}"
        )
    for name, source in parts.items():
        kind, fits = ("folder", Path(source).is_dir()) if name in FOLDERS else ("file", Path(source).is_file())
        if not fits or Path(source).is_symlink():
            raise ReleaseError(f"the part {name} of the release should be a {kind}; {source} is not one")
    for name in (RETRIEVAL, RANKING):
        if next(durable.entries(parts[name]), None) is None:
            raise ReleaseError(f"the part {name} of the release should be a SavedModel; {parts[name]} is empty")


def copy_parts(parts: dict[str, Path], target: Path) -> dict[str, dict[str, Any]]:
    """Copy all files; return path in the release → its sha256 and size."""
    separate = {Path(parts[name]).resolve() for name in FILES}
    sources = {name: Path(parts[name]) for name in FILES}
    for part in FOLDERS:
        (target / part).mkdir()
        for name, source in durable.entries(parts[part]):
            if source.resolve() not in separate:
                sources[f"{part}/{name}"] = source
    return {name: _copy(source, target / name) for name, source in sorted(sources.items())}


def write_manifest(
    folder: Path,
    copied: dict[str, dict[str, Any]],
    facts: dict[str, Any],
    served: dict[str, str],
    created: datetime,
    signing_key: Path | None,
) -> dict[str, Any]:
    """Write the manifest of a release into its folder, and return it.

    Args:
      folder: the folder with the files.
      copied: path in the release → its sha256 and size, as `copy_parts` returns it.
      facts, created, signing_key: as for `publish`.
      served: step → the folder of its pushed model, relative to the folder of the releases.
    Raises:
      ReleaseError: the key cannot be read.
    """
    created, content = created.astimezone(UTC), reader.content_digest(copied)
    manifest = {
        "format": FORMAT,
        "version": f"{created:%Y%m%dT%H%M%SZ}-{content[:8]}",
        "created": created.isoformat(timespec="seconds"),
        "content_digest": content,
        "files": copied,
        "served": served,
        "facts": facts,
    }
    manifest["seal"] = reader.seal(manifest)
    if signing_key is not None:
        manifest["signature"] = signing.sign(reader.sealed(manifest), signing_key)
    durable.write_text(folder / names.MANIFEST_FILE, json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    return manifest


def _copy(source: Path, target: Path) -> dict[str, Any]:
    """Copy one file; return its sha256 and size. Raises: ReleaseError if it is not a regular file."""
    if not durable.is_plain(source):
        raise ReleaseError(f"{source}: should be a regular file; found a link or a device. Replace it by its content.")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = durable.copy(source, target)
    return {"sha256": digest, "size": size}
