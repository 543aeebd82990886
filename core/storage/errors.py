"""The causes of a failed operation on a store, one class each."""

from core.errors import StorageError


class BucketMissingError(StorageError):
    """A bucket, or the root of a file system, that does not exist."""


class ObjectMissingError(StorageError):
    """An object or a file that does not exist."""


class NoCredentialsError(StorageError):
    """A request that could not be signed, since no credentials were found."""


class DeniedError(StorageError):
    """A request that the store refuses to these credentials."""


class ExpiredTokenError(StorageError):
    """A request with a session token or access token that has expired."""


class UnreachableError(StorageError):
    """A host that does not answer, or drops connections."""

    transient = True


class UnavailableError(StorageError):
    """A store that answers, and cannot serve the request now (429 or 5xx)."""

    transient = True


class ConflictError(StorageError):
    """A conditional write whose condition does not hold: another writer was first."""


class ObjectChangedError(StorageError):
    """An object that changed while it was read, or whose content is not what its digest says."""


class IncompleteUploadError(StorageError):
    """An upload that did not arrive completely."""
