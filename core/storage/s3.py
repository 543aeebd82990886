"""Requests to S3 and stores that speak its protocol, by obstore.

The endpoint, the region and the credentials come from the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, …) or from the machine's role.
"""

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from core.errors import StorageError
from core.storage import errors, fork
from core.storage.driver import Stored

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_PART = 16 << 20  # bytes of a part of a large upload, of which S3 allows 10,000
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound", "InvalidToken"}


class S3:
    """See `core.storage.driver.Driver`.

    Args:
      bucket: the name of the bucket.
      seconds: the time for which obstore repeats a part of a transfer after an error that passes.
    """

    def __init__(self, bucket: str, seconds: float):
        self.bucket, self.seconds = bucket, seconds
        self.endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
        self._stores: dict[bool, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_stores": {}}

    @fork.safe
    def get(self, key: str) -> tuple[bytes, str]:
        """Return the content of an object and its tag."""
        import obstore

        try:
            result = obstore.get(self._store(), key)
            return bytes(result.bytes()), str(result.meta["e_tag"])
        except Exception as error:
            self._fail(error, key)

    @fork.safe
    def put(self, key: str, data: bytes, replaces: str | None) -> str:
        """Write an object whose tag is `replaces`, or which does not exist for None; return its new tag."""
        import obstore

        try:
            mode: Any = "create" if replaces is None else {"e_tag": replaces}
            return str(obstore.put(self._store(), key, data, mode=mode)["e_tag"])
        except Exception as error:
            self._fail(error, key, conditional=True)

    @fork.safe
    def send(self, source: Path, key: str) -> None:
        """Write an object from a file, in parts if it is large; an existing object is replaced."""
        import obstore

        try:
            obstore.put(self._store(patient=True), key, source, chunk_size=_PART, max_concurrency=4)
        except Exception as error:
            self._fail(error, key)

    @fork.safe
    def fetch(self, key: str, target: Path, tag: str | None) -> None:
        """Write the content of an object to a new file, streaming."""
        import obstore

        try:
            result = obstore.get(self._store(), key, options={} if tag is None else {"if_match": tag})
            with open(target, "wb") as file:
                for chunk in result.stream(min_chunk_size=4 << 20):
                    file.write(chunk)
        except Exception as error:
            self._fail(error, key)

    @fork.safe
    def stat(self, key: str) -> Stored:
        """Return the facts about an object."""
        import obstore

        try:  # not `head`, whose answer cannot say that the bucket is missing
            return _stored(obstore.get(self._store(), key).meta)
        except Exception as error:
            self._fail(error, key)

    def entries(self, prefix: str) -> Iterator[Stored]:
        """Yield the objects below a prefix."""
        return iter(self._entries(prefix))

    @fork.safe
    def _entries(self, prefix: str) -> list[Stored]:
        import obstore

        try:
            return [_stored(each) for batch in obstore.list(self._store(), prefix or None) for each in batch]
        except Exception as error:
            self._fail(error, prefix)

    @fork.safe
    def delete(self, key: str) -> None:
        """Delete an object; do nothing if there is none."""
        import obstore

        try:
            obstore.delete(self._store(), key)
        except Exception as error:
            self._fail(error, key)

    def _store(self, patient: bool = False) -> Any:
        """Return obstore's client, which repeats single requests only if `patient`."""
        if patient not in self._stores:
            from obstore.store import S3Store

            allow_http = self.endpoint.startswith("http://")
            self._stores[patient] = S3Store(
                self.bucket,
                config={"endpoint": self.endpoint} if self.endpoint else None,
                client_options={"allow_http": allow_http, "timeout": "1h", "read_timeout": "60s"},
                retry_config={
                    "max_retries": 5 if patient else 0,
                    "retry_timeout": timedelta(seconds=self.seconds),
                },
            )
        return self._stores[patient]

    def _fail(self, error: Exception, key: str, conditional: bool = False) -> NoReturn:
        """Raise the StorageError for an error of obstore; other errors, such as a full disk, are raised unchanged."""
        from obstore import exceptions

        if not isinstance(error, exceptions.BaseError | FileNotFoundError):
            raise error
        raise _explained(error, f"s3://{self.bucket}/{key}", self.bucket, conditional) from None


def _explained(error: Exception, place: str, bucket: str, conditional: bool) -> StorageError:
    """Return the StorageError for an error of obstore, from the code and the status in its message."""
    text = str(error)
    code = found[1] if (found := _CODE.search(text)) else ""
    status = int(found[1]) if (found := _STATUS.search(text)) else 0
    first = text.partition("\n")[0]
    answer = f"{code or 'no code'}, status {status}" if status else first[-200:]
    if "169.254." in text or "latest/api/token" in text:
        return errors.NoCredentialsError(
            f"{place}: no credentials for S3 were found in the environment, and this machine has no role. Set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if code == "NoSuchBucket":
        return errors.BucketMissingError(
            f"{place}: the bucket {bucket} does not exist at this endpoint. Create it, or correct the URI or "
            "AWS_ENDPOINT_URL"
        )
    if code in _OTHER_REGION or status == 301:
        return StorageError(f"{place}: the bucket is in another region ({answer}). Set AWS_REGION to its region")
    if code in _EXPIRED:
        return errors.ExpiredTokenError(
            f"{place}: the session token has expired ({answer}). Renew AWS_SESSION_TOKEN and its keys"
        )
    if code in _DENIED or status in (401, 403):
        return errors.DeniedError(
            f"{place}: the store refuses these credentials ({answer}). Correct AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or grant them this bucket"
        )
    if code == "ConditionalRequestConflict" or status == 409:
        return errors.UnavailableError(f"{place}: another request changes this object now ({answer}). Try again")
    if status == 412 or (conditional and status == 404):
        kind = errors.ConflictError if conditional else errors.ObjectChangedError
        return kind(f"{place}: was changed by another writer in the meantime ({answer}). Read it again")
    if status == 404:
        return errors.ObjectMissingError(f"{place}: there is no such object. Correct the URI, or write it first")
    if code == "IncompleteBody":
        return errors.IncompleteUploadError(f"{place}: the upload arrived incompletely ({answer}). Try again")
    if status == 429 or status >= 500:
        return errors.UnavailableError(f"{place}: the store cannot answer now ({answer}). Try again later")
    if not status:
        endpoint = os.environ.get("AWS_ENDPOINT_URL") or "the endpoint of AWS"
        return errors.UnreachableError(
            f"{place}: {endpoint} does not answer: {first[-200:]}. Check AWS_ENDPOINT_URL, the network and the proxy"
        )
    return StorageError(f"{place}: the request failed ({answer}): {first[-200:]}")


def _stored(meta: Any) -> Stored:
    return Stored(meta["path"], meta["size"], meta["last_modified"], str(meta["e_tag"]))
