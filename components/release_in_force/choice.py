"""The choice of the release that the evaluators and DriftDetector compare with.

It is the release in force or, if that was made from the artifacts of this run, the one in force before. Artifacts are
compared by the digests of their files, so the choice needs no ML Metadata.
"""

import logging
from collections.abc import Iterator, Mapping

from core.errors import ReleaseError
from core.release.store import ReleaseStore


def chosen(releases: ReleaseStore, own: Mapping[str, Mapping[str, str]]) -> str | None:
    """Return the version of the release to compare with, None if there is none.

    A later run of the same artifacts gets the same answer, so its evaluators come from the cache.

    Args:
      releases: the releases.
      own: a part of a release → path below it → SHA-256, of the artifacts of this run; not empty.
    """
    for version in _in_force(releases):
        try:
            files = releases.manifest(version)["files"]
        except ReleaseError as error:
            logging.warning("the release in force cannot be read: %s", error)
            return version  # the component that compares with it reports the error
        if not all(_holds(files, part, digests) for part, digests in own.items()):
            return version
    return None


def _in_force(releases: ReleaseStore) -> Iterator[str]:
    """Yield the version in force, then older versions that were in force before it, latest first.

    Newer versions are left out, since they were rolled back.
    """
    try:
        now = releases.current()
        if now is not None:
            yield now
            newest_first = releases.versions()
            older = newest_first[newest_first.index(now) + 1 :] if now in newest_first else []
            yield from (version for version in releases.earlier() if version in older)
    except ReleaseError as error:
        logging.warning("there is no release to compare with: %s", error)


def _holds(files: Mapping[str, Mapping[str, object]], part: str, digests: Mapping[str, str]) -> bool:
    """Return whether a part of a release, from the files of its manifest, has exactly these paths and digests."""
    prefix = f"{part}/"
    held = {name.removeprefix(prefix): facts["sha256"] for name, facts in files.items() if name.startswith(prefix)}
    return held == digests
