"""The settings of `twostep submit`: where Kubeflow Pipelines and Vertex AI are, and the files that hold tokens."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from core.patterns import Account, GsUri, Project, matching
from core.settings import Settings


def _url(value: str) -> str:
    """Return an http(s) URL without its last slash. Raises: ValueError for another scheme, or a secret in the URL."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("should be a URL that begins with https:// or http://")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("should be a URL without user, password, query and fragment. Put a token into a file")
    return value.rstrip("/")


_Url = Annotated[str, AfterValidator(_url)]
_Namespace = Annotated[str, matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "the name of a Kubernetes namespace")]
_Location = Annotated[str, matching(r"[a-z]+(-[a-z]+\d+)?", "a region, such as europe-west4")]


class Kubeflow(Settings):
    """The API of Kubeflow Pipelines."""

    host: _Url = Field(description="The URL of Kubeflow Pipelines, such as https://kubeflow.example.com/pipeline.")
    namespace: _Namespace | None = Field(
        None, description="The namespace of the runs, where Kubeflow has several users; null where it has one."
    )
    experiment: str = Field(
        "twostep", min_length=1, max_length=128, description="The experiment of the runs, created if there is none."
    )
    pipeline_root: str | None = Field(
        None, description="The URI of the artifacts, such as s3://bucket/folder; by default that of the specification."
    )
    service_account: str | None = Field(
        None, description="The Kubernetes service account that the pods of a run use; by default that of the cluster."
    )
    token_file: str | None = Field(
        None,
        description="The file of a bearer token, relative to this file's folder. By default the variable "
        "TWOSTEP_KUBEFLOW_TOKEN, or else the token that the cluster mounts into a pod.",
    )
    ca_file: str | None = Field(
        None,
        description="The file of the certificates (PEM) that sign the host's, relative to this file's folder; by "
        "default the public certificate authorities.",
    )


class Vertex(Settings):
    """The pipelines of Vertex AI."""

    project: Project = Field(description="The id of the Google Cloud project.")
    location: _Location = Field(description="The region, such as europe-west4.")
    pipeline_root: GsUri | None = Field(
        None,
        description="The URI of the artifacts in an existing bucket, gs://bucket/folder; by default that of the "
        "specification.",
    )
    service_account: Account | None = Field(
        None, description="The service account that the tasks of a run use; by default that of Compute Engine."
    )
    network: str | None = Field(
        None, description="The network to peer with, as projects/NUMBER/global/networks/NAME; none by default."
    )
    endpoint: _Url | None = Field(
        None, description="The URL of the API, for private access; by default that of the region."
    )
    token_file: str | None = Field(
        None,
        description="The file of an OAuth access token, relative to this file's folder. By default Google's "
        "application default credentials.",
    )


class Submit(Settings):
    """The orchestrators that `twostep submit` can use."""

    kubeflow: Kubeflow | None = Field(None, description="Kubeflow Pipelines.")
    vertex: Vertex | None = Field(None, description="Vertex AI Pipelines.")
