"""The generated client of Kubeflow Pipelines with timeouts, a token that is renewed once, and typed errors."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kfp_server_api as api
import urllib3
from urllib3 import exceptions

from core.errors import OrchestratorUnreachableError, SubmissionError
from core.printable import one_line
from pipeline.submit.settings import Kubeflow
from pipeline.submit.tokens import TokenSource

CONNECT_S, READ_S = 10, 60  # seconds
_TOKEN = "Renew the token in `submit.kubeflow.token_file` or TWOSTEP_KUBEFLOW_TOKEN"


class Client(api.ApiClient):
    """The client with a time limit on every request. After a 401 it reads the token again and repeats the request once.

    Args:
      host: the URL of Kubeflow Pipelines.
      token: the source of the bearer token; None sends none.
      ca_file: the certificates (PEM) to trust; None for the public ones.
    """

    def __init__(self, host: str, token: TokenSource | None, ca_file: Path | None):
        configuration = api.Configuration(host=host)
        configuration.ssl_ca_cert = None if ca_file is None else str(ca_file)
        # Neither a repeated POST, which would start a second run, nor a redirect to a page to log in.
        configuration.retries = False
        configuration.api_key_prefix["authorization"] = "Bearer"
        super().__init__(configuration)
        self._token = token
        if token is not None:
            configuration.api_key["authorization"] = token()

    def call_api(self, *arguments: Any, **keywords: Any) -> Any:
        """Make a request with a time limit."""
        keywords["_request_timeout"] = keywords.get("_request_timeout") or (CONNECT_S, READ_S)
        try:
            return super().call_api(*arguments, **keywords)
        except api.ApiException as error:
            if error.status != 401 or self._token is None:
                raise
            keys, renewed = self.configuration.api_key, self._token()
            if renewed == keys["authorization"]:
                raise
            keys["authorization"] = renewed
            return super().call_api(*arguments, **keywords)

    def request(self, *arguments: Any, **keywords: Any) -> Any:
        """Make one request. The caller decodes the body of an error as UTF-8, and fails if there is none."""
        try:
            return super().request(*arguments, **keywords)
        except api.ApiException as error:
            if error.body is None:  # a failure of TLS
                raise exceptions.SSLError(error.reason) from None
            error.body = error.body.decode(errors="replace").encode()
            raise


def check_version(client: Client, settings: Kubeflow) -> None:
    """Check that the host answers as Kubeflow Pipelines 2, and its kind of namespaces. Raises: SubmissionError."""
    try:
        answer = api.HealthzServiceApi(client).healthz_service_get_healthz(_preload_content=False)
        facts = json.loads(answer.data)
    except ValueError:
        facts = None
    except api.ApiException as error:
        if error.status != 404:
            raise
        facts = None
    if not isinstance(facts, dict):
        raise SubmissionError(
            f"submit.kubeflow.host: {settings.host} should answer /apis/v2beta1/healthz as Kubeflow Pipelines 2 does. "
            "Correct the URL, which may need a path such as /pipeline; version 1 of Kubeflow Pipelines has no such API"
        )
    if facts.get("multi_user") and settings.namespace is None:
        raise SubmissionError("submit.kubeflow.namespace: this Kubeflow has several users. Name the namespace of runs")


@contextlib.contextmanager
def translated(settings: Kubeflow) -> Iterator[None]:
    """Raise the errors of the client in the block as SubmissionError, with what to do."""
    try:
        yield
    except api.ApiException as error:
        raise _explained(error, settings) from None
    except exceptions.SSLError as error:
        raise SubmissionError(
            f"{settings.host}: TLS failed, perhaps because its certificate is not trusted: {one_line(error, 200)}. "
            "Name the file of its authority in `submit.kubeflow.ca_file`"
        ) from None
    except (exceptions.HTTPError, OSError) as error:
        raise OrchestratorUnreachableError(
            f"{settings.host}: cannot be reached: {one_line(error, 200)}. Check `submit.kubeflow.host`, the network "
            "and the proxy"
        ) from None


def _explained(error: api.ApiException, settings: Kubeflow) -> SubmissionError:
    """Return the error for an answer of the API."""
    status, said = error.status, _said(error)
    place = f"{settings.host}: answered {status}: {said.rstrip('.')}."
    if status == 401:
        return SubmissionError(f"{place} {_TOKEN}")
    if status in (301, 302, 303, 307, 308):
        target = one_line((error.headers or urllib3.HTTPHeaderDict()).get("Location", "another page"), 200)
        return SubmissionError(
            f"{settings.host}: redirects to {target}. If that is a page to log in, {_TOKEN[0].lower()}{_TOKEN[1:]}; "
            "otherwise correct `submit.kubeflow.host`"
        )
    if status == 403:
        return SubmissionError(
            f"{place} Give the account of the token the role kubeflow-edit in the namespace "
            f"{settings.namespace or 'of Kubeflow'}, or correct `submit.kubeflow.namespace`"
        )
    if status in (408, 429) or status >= 500:
        return OrchestratorUnreachableError(f"{place} Try again later; if it stays, look into the log of ml-pipeline")
    return SubmissionError(f"{place} Correct the configuration, or the specification, and submit it again")


def _said(error: api.ApiException) -> str:
    """Return the message in the body of an answer, or the reason phrase."""
    try:
        body = json.loads(error.body or "")
        said = body.get("message") or body.get("error") or error.reason
    except (ValueError, AttributeError):
        said = error.reason
    return one_line(said or "no reason", 300)
