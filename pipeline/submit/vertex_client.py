"""Google's clients of Vertex AI and Cloud Storage with time limits, credentials, and typed errors."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google.auth
import requests
from google.api_core import exceptions
from google.api_core.client_options import ClientOptions
from google.auth import exceptions as auth_exceptions
from google.auth.credentials import Credentials
from google.cloud import aiplatform_v1 as api

from core.errors import OrchestratorUnreachableError, SubmissionError
from core.printable import one_line
from pipeline.submit import tokens
from pipeline.submit.settings import Vertex

LIMITS: dict[str, Any] = {"timeout": 60.0, "retry": None}  # of a request: seconds, and no repetition of a POST
DELETION_S, DELETION_PAUSE_S = 120.0, 0.5  # seconds that a deletion may take, and between two requests
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_LOG_IN = (
    "Run `gcloud auth application-default login`, set GOOGLE_APPLICATION_CREDENTIALS to a key file, or renew the token "
    "in `submit.vertex.token_file`"
)


class TokenFile(Credentials):
    """Credentials whose access token is in a file, which is read again when the API refuses the token."""

    def __init__(self, source: tokens.TokenSource):
        super().__init__()
        self._source = source
        self.token = source()

    def refresh(self, request: Any) -> None:
        """Read the token again. Raises: RefreshError if it did not change."""
        renewed = self._source()
        if renewed == self.token:
            raise auth_exceptions.RefreshError("the token in the file is the one that was refused")
        self.token = renewed


def credentials(settings: Vertex, folder: Path) -> Credentials:
    """Return the credentials: those of the token's file, or else the application default credentials of Google."""
    if settings.token_file is not None:
        return TokenFile(tokens.of_file(folder / settings.token_file, "submit.vertex.token_file"))
    return google.auth.default(scopes=[_SCOPE])[0]


def clients(settings: Vertex, credentials: Credentials) -> tuple[api.PipelineServiceClient, api.ScheduleServiceClient]:
    """Return the clients of runs and of schedules."""
    endpoint = settings.endpoint or f"{settings.location}-aiplatform.googleapis.com"
    options: dict[str, Any] = {
        "credentials": credentials,
        "client_options": ClientOptions(api_endpoint=endpoint),
        "transport": "rest",
    }
    return api.PipelineServiceClient(**options), api.ScheduleServiceClient(**options)


def check_bucket(root: str, settings: Vertex, credentials: Credentials) -> None:
    """Check that the bucket of a URI exists, which Vertex would find out only when the first task ends.

    Raises:
      SubmissionError: there is no such bucket, or Cloud Storage refuses the credentials or does not answer.
    """
    from google.cloud import storage

    bucket = root.removeprefix("gs://").partition("/")[0]
    with translated(settings, "Cloud Storage"):
        client = storage.Client(project=settings.project, credentials=credentials)
        try:
            # Needs no permission, unlike reading the bucket's metadata.
            client.bucket(bucket).test_iam_permissions(["storage.objects.create"], **LIMITS)
        except exceptions.NotFound:
            raise SubmissionError(
                f"submit.vertex.pipeline_root: there is no bucket {bucket}. Create it in {settings.location}, or name "
                "another"
            ) from None
        except exceptions.Forbidden:
            return  # the bucket exists; whether its tasks may write depends on the service account


def wait_until_gone(get: Callable[[], object]) -> None:
    """Call `get` until it raises NotFound. Raises: SubmissionError after DELETION_S seconds."""
    end = time.monotonic() + DELETION_S
    while time.monotonic() < end:
        try:
            get()
        except exceptions.NotFound:
            return
        time.sleep(DELETION_PAUSE_S)
    raise SubmissionError(f"the schedule still exists after {DELETION_S:g} s. Repeat the command later")


@contextlib.contextmanager
def translated(settings: Vertex, place: str | None = None) -> Iterator[None]:
    """Raise the errors of Google's clients in the block as SubmissionError, with what to do.

    Args:
      settings: the settings that the messages name.
      place: what is called, for the messages; by default the API of Vertex.
    """
    place = place or settings.endpoint or f"Vertex AI in {settings.location}"
    try:
        yield
    except exceptions.GoogleAPICallError as error:
        raise _explained(error, settings, place) from None
    except (auth_exceptions.DefaultCredentialsError, auth_exceptions.RefreshError) as error:
        raise SubmissionError(
            f"Google Cloud: no valid credentials: {one_line(error, 300).rstrip('.')}. {_LOG_IN}"
        ) from None
    except (exceptions.RetryError, auth_exceptions.TransportError, requests.RequestException, OSError) as error:
        raise OrchestratorUnreachableError(
            f"{place}: cannot be reached: {one_line(error, 300).rstrip('.')}. Check `submit.vertex.location`, "
            "`submit.vertex.endpoint`, the network and the proxy"
        ) from None


def _explained(error: exceptions.GoogleAPICallError, settings: Vertex, place: str) -> SubmissionError:
    """Return the error for an answer of the API."""
    code = int(error.code or 0)
    said = f"{place}: answered {code or 'an error'}: {one_line(error.message or 'no reason', 300).rstrip('.')}."
    if code == 401:
        return SubmissionError(f"{said} {_LOG_IN}")
    if code == 403:
        return SubmissionError(
            f"{said} Enable aiplatform.googleapis.com in the project {settings.project}, and give the account the role "
            "roles/aiplatform.user there and roles/iam.serviceAccountUser on `submit.vertex.service_account`"
        )
    if code == 404:
        return SubmissionError(f"{said} Correct `submit.vertex.project` or `submit.vertex.location`")
    if code in (408, 429) or code >= 500 or code == 0:
        return OrchestratorUnreachableError(f"{said} Try again later")
    return SubmissionError(f"{said} Correct the configuration, or the specification, and submit it again")
