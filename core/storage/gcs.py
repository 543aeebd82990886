"""Requests to Google Cloud Storage, by its own client.

The credentials are Google's application default credentials (GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth
application-default login`, or the machine's service account); STORAGE_EMULATOR_HOST names another server.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from core.errors import StorageError
from core.storage import errors
from core.storage.driver import Stored

_TIMEOUT = (10, 60)  # seconds to connect, and between two bytes


class Gcs:
    """See `core.storage.driver.Driver`.

    Args:
      bucket: the name of the bucket.
    """

    def __init__(self, bucket: str):
        self.bucket = bucket
        self._clients: dict[int, Any] = {}  # one per process, since a connection cannot be shared after a fork

    def get(self, key: str) -> tuple[bytes, str]:
        """Return the content of an object and its tag."""
        try:
            blob = self._bucket().blob(key)
            data = blob.download_as_bytes(raw_download=True, timeout=_TIMEOUT, retry=None)
            return data, str(blob.generation)
        except Exception as error:
            self._fail(error, key)

    def put(self, key: str, data: bytes, replaces: str | None) -> str:
        """Write an object whose tag is `replaces`, or which does not exist for None; return its new tag."""
        try:
            blob = self._bucket().blob(key)
            generation = 0 if replaces is None else int(replaces)
            kind = "application/octet-stream"
            blob.upload_from_string(data, kind, if_generation_match=generation, timeout=_TIMEOUT, retry=None)
            return str(blob.generation)
        except Exception as error:
            self._fail(error, key, conditional=True)

    def send(self, source: Path, key: str) -> None:
        """Write an object from a file, in parts if it is large; an existing object is replaced."""
        try:
            kind = "application/octet-stream"
            self._bucket().blob(key).upload_from_filename(str(source), kind, timeout=_TIMEOUT, retry=None)
        except Exception as error:
            self._fail(error, key)

    def fetch(self, key: str, target: Path, tag: str | None) -> None:
        """Write the content of an object to a new file, streaming."""
        try:
            blob = self._bucket().blob(key)
            with open(target, "wb") as file:
                blob.download_to_file(file, raw_download=True, timeout=_TIMEOUT, retry=None)
        except Exception as error:
            self._fail(error, key)
        if tag is not None and str(blob.generation) != tag:
            raise errors.ObjectChangedError(
                f"gs://{self.bucket}/{key}: should be generation {tag}; found {blob.generation}: it was replaced while "
                "it was read. Read it again"
            )

    def stat(self, key: str) -> Stored:
        """Return the facts about an object."""
        try:
            blob = self._bucket().blob(key)
            blob.reload(timeout=_TIMEOUT, retry=None)
            return _stored(blob)
        except Exception as error:
            self._fail(error, key)

    def entries(self, prefix: str) -> Iterator[Stored]:
        """Yield the objects below a prefix."""
        try:
            below = f"{prefix}/" if prefix else None
            for blob in self._client().list_blobs(self.bucket, prefix=below, timeout=_TIMEOUT, retry=None):
                yield _stored(blob)
        except Exception as error:
            self._fail(error, prefix)

    def delete(self, key: str) -> None:
        """Delete an object; do nothing if there is none."""
        try:
            self._bucket().blob(key).delete(timeout=_TIMEOUT, retry=None)
        except Exception as error:
            try:
                self._fail(error, key)
            except errors.ObjectMissingError:
                return

    def _client(self) -> Any:
        """Return Google's client of this process."""
        if os.getpid() not in self._clients:
            from google.cloud import storage

            endpoint = os.environ.get("STORAGE_EMULATOR_HOST")
            project = (
                None if endpoint else os.environ.get("GOOGLE_CLOUD_PROJECT") or "none"
            )  # needed by no request here
            self._clients[os.getpid()] = storage.Client(project=project)
        return self._clients[os.getpid()]

    def _bucket(self) -> Any:
        return self._client().bucket(self.bucket)

    def _fail(self, error: Exception, key: str, conditional: bool = False) -> NoReturn:
        """Raise the StorageError for an error of Google's client; other errors, such as a full disk, are raised."""
        import requests
        from google.api_core import exceptions
        from google.auth import exceptions as auth

        place = f"gs://{self.bucket}/{key}"
        if isinstance(error, auth.RefreshError | auth.InvalidOperation):
            raise errors.ExpiredTokenError(
                f"{place}: the credentials have expired or were revoked: {error}. Renew them: gcloud auth "
                "application-default login, or another key in GOOGLE_APPLICATION_CREDENTIALS"
            ) from None
        if isinstance(error, auth.DefaultCredentialsError):
            raise errors.NoCredentialsError(
                f"{place}: no credentials for Google Cloud Storage: {error} Name a key file in "
                "GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"
            ) from None
        if isinstance(error, auth.TransportError | requests.RequestException | exceptions.RetryError):
            endpoint = os.environ.get("STORAGE_EMULATOR_HOST") or "storage.googleapis.com"
            raise errors.UnreachableError(
                f"{place}: {endpoint} does not answer: {str(error)[:200]}. Check STORAGE_EMULATOR_HOST, the network "
                "and the proxy"
            ) from None
        if not isinstance(error, exceptions.GoogleAPICallError):
            raise error
        if error.code == 404 and not conditional and not self._is_there():
            raise _missing_bucket(place, self.bucket) from None
        raise _explained(error, place, self.bucket, conditional) from None

    def _is_there(self) -> bool:
        """Return whether the bucket exists, with the permission to list objects and no other. Raises: StorageError."""
        from google.api_core import exceptions

        try:
            list(self._client().list_blobs(self.bucket, max_results=1, timeout=_TIMEOUT, retry=None))
        except exceptions.NotFound:
            return False
        except Exception as error:
            self._fail(error, "")
        return True


def _explained(error: Any, place: str, bucket: str, conditional: bool) -> StorageError:
    """Return the StorageError for an error of the store, from its status."""
    status, answer = int(error.code or 0), f"status {error.code}: {str(error.message)[:200]}"
    if status == 412:
        kind = errors.ConflictError if conditional else errors.ObjectChangedError
        return kind(f"{place}: was changed by another writer in the meantime. Read it again")
    if status == 401:
        return errors.ExpiredTokenError(
            f"{place}: the access token is missing, has expired or was revoked ({answer}). Renew the credentials"
        )
    if status == 403:
        return errors.DeniedError(
            f"{place}: the store refuses these credentials ({answer}). Grant the account the role Storage Object User "
            "on this bucket"
        )
    if status == 404 and conditional:  # an upload is answered so only if the bucket is missing
        return _missing_bucket(place, bucket)
    if status == 404:
        return errors.ObjectMissingError(f"{place}: there is no such object. Correct the URI, or write it first")
    if status in (408, 429) or status >= 500:
        return errors.UnavailableError(f"{place}: the store cannot answer now ({answer}). Try again later")
    return StorageError(f"{place}: the request failed ({answer})")


def _missing_bucket(place: str, bucket: str) -> StorageError:
    return errors.BucketMissingError(f"{place}: the bucket {bucket} does not exist. Create it, or correct the URI")


def _stored(blob: Any) -> Stored:
    return Stored(blob.name, blob.size, blob.updated, str(blob.generation))
