"""The pointer of a release store on a bucket: one small object with everything that changes.

Every change is a conditional upload of the whole pointer, so that all readers and writers see the changes in one order.
A version that the pointer does not name does not exist.
"""

from collections.abc import Iterable

from pydantic import Field, ValidationError

from core.errors import ReleaseError
from core.settings import Settings

FORMAT = 1
_CHANGES, _DELETED = 100, 1000  # the numbers of latest changes and deleted versions that are remembered


class Published(Settings):
    """A published version."""

    version: str = Field(pattern=r"^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}$", description="The name of the version.")
    manifest: str = Field(pattern=r"^[0-9a-f]{64}$", description="The SHA-256 of the content of its `manifest.json`.")


class Pointer(Settings):
    """The state of a release store."""

    format: int = Field(FORMAT, ge=FORMAT, le=FORMAT, description="The version of this format.")
    current: str | None = Field(None, description="The version in force; null before the first release.")
    history: tuple[str, ...] = Field(
        (), description="The versions that were in force before, oldest first, with repetitions."
    )
    versions: tuple[Published, ...] = Field((), description="The published versions, in the order of publication.")
    deleted: tuple[str, ...] = Field(
        (), description="The versions that were deleted or abandoned; none of them can be published any more."
    )
    changes: tuple[str, ...] = Field(
        (), description="The ids of the latest changes, by which a writer finds its own change if the answer was lost."
    )

    @property
    def names(self) -> list[str]:
        """Return the names of the published versions, in the order of publication."""
        return [each.version for each in self.versions]

    def digest(self, version: str) -> str | None:
        """Return the SHA-256 of the manifest of a version; None if it is not published."""
        return next((each.manifest for each in self.versions if each.version == version), None)

    def earlier(self) -> list[str]:
        """Return the existing versions that were in force before, without the present one; latest first, each once."""
        existing = set(self.names)
        return [each for each in dict.fromkeys(reversed(self.history)) if each in existing and each != self.current]

    def published(self, version: str, manifest: str) -> "Pointer":
        """Return the pointer with one more version, which is in force."""
        added = (*self.versions, Published(version=version, manifest=manifest))
        return self.model_copy(update={"versions": added}).in_force(version)

    def in_force(self, version: str) -> "Pointer":
        """Return the pointer with another version in force."""
        if version == self.current:
            return self
        history = self.history if self.current is None else (*self.history, self.current)
        return self.model_copy(update={"current": version, "history": history})

    def outdated(self, keep: int) -> list[str]:
        """Return the versions to delete, oldest first: see `core.release.writer.collect`."""
        in_force = [self.current, *self.earlier()]
        kept = {*self.names[-keep:], *in_force[: max(keep, 2)]}
        return [version for version in self.names if version not in kept]

    def without(self, versions: Iterable[str]) -> "Pointer":
        """Return the pointer without some versions, which are remembered as deleted."""
        gone = set(versions)
        update = {
            "versions": tuple(each for each in self.versions if each.version not in gone),
            "history": tuple(each for each in self.history if each not in gone),
            "deleted": tuple(dict.fromkeys([*self.deleted, *sorted(gone)]))[-_DELETED:],
        }
        return self.model_copy(update=update)

    def changed(self, change: str) -> "Pointer":
        """Return the pointer with the id of a change."""
        return self.model_copy(update={"changes": (*self.changes, change)[-_CHANGES:]})

    def content(self) -> bytes:
        """Return the content of the object."""
        return (self.model_dump_json(indent=2) + "\n").encode()


def parsed(content: bytes, place: str) -> Pointer:
    """Return the pointer in an object. Raises: ReleaseError."""
    try:
        return Pointer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its content"
        raise ReleaseError(
            f"{place}: should hold the state of the releases as JSON; {where}: {first['msg']}. Restore an earlier "
            "version of this object, or publish to another prefix"
        ) from None
