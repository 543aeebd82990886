"""The errors of Google's clients as errors of twostep. The clients are imported where they are called."""

import contextlib
from collections.abc import Iterator

from core.errors import StorageError, TwostepError, UsageError
from core.printable import one_line
from core.storage import errors

SECONDS = 120.0  # for which a request is repeated after an error that passes
_SIGN_IN = "Name a key file in GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login"


@contextlib.contextmanager
def explained(place: str, role: str) -> Iterator[None]:
    """Raise the errors of a client in the block as TwostepErrors.

    Args:
      place: the source that is read, for messages.
      role: the role of Google Cloud that reading needs.
    """
    try:
        yield
    except TwostepError:
        raise
    except Exception as error:
        known = _explained(error, place, role)
        if known is None:
            raise
        raise known from error


def _explained(error: Exception, place: str, role: str) -> TwostepError | None:
    """Return the TwostepError for an error of a client; None for one that no request causes."""
    import requests
    from google.api_core import exceptions
    from google.auth import exceptions as auth

    text = one_line(getattr(error, "message", None) or error, 300)
    if isinstance(error, auth.DefaultCredentialsError):
        return errors.NoCredentialsError(f"{place}: no credentials of Google Cloud: {text}. {_SIGN_IN}")
    if isinstance(error, auth.RefreshError):
        return errors.ExpiredTokenError(
            f"{place}: the credentials have expired or were revoked: {text}. Renew them: gcloud auth "
            "application-default login, or another key in GOOGLE_APPLICATION_CREDENTIALS"
        )
    if isinstance(error, auth.TransportError | requests.RequestException | exceptions.RetryError):
        return errors.UnreachableError(f"{place}: does not answer: {text}. Check the network and the proxy")
    if not isinstance(error, exceptions.GoogleAPICallError):
        return None
    if "bytes billed" in text:
        return UsageError(
            f"{place}: the query should be billed at most `max_bytes_billed`: {text}. Select fewer columns or "
            "partitions, or raise the limit"
        )
    if isinstance(error, exceptions.NotFound):
        return errors.ObjectMissingError(f"{place}: does not exist: {text}. Correct its name in the configuration")
    if isinstance(error, exceptions.Forbidden):
        return errors.DeniedError(f"{place}: is refused to these credentials: {text}. Grant the account {role}")
    if isinstance(error, exceptions.Unauthorized):
        return errors.ExpiredTokenError(f"{place}: the credentials are not accepted: {text}. {_SIGN_IN}")
    if isinstance(error, exceptions.BadRequest):
        return UsageError(f"{place}: the request is wrong: {text}. Correct it in the configuration")
    if isinstance(error, exceptions.ServerError | exceptions.TooManyRequests | exceptions.DeadlineExceeded):
        return errors.UnavailableError(f"{place}: cannot answer now: {text}. Try again later")
    return StorageError(f"{place}: the request failed: {text}")
