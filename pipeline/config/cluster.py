"""The settings of a compiled pipeline: the image of its tasks, and where it keeps its files."""

import re

from pydantic import Field, field_validator

from core.settings import Settings

_URI = re.compile(r"(gs|s3)://[a-z0-9][a-z0-9._-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*")


class Keys(Settings):
    """Where the containers of a compiled pipeline have the key that signs releases."""

    folder: str = Field(
        "/run/secrets/twostep",
        pattern=r"^(/[A-Za-z0-9_.-]+)+$",
        description="The folder in the containers with the file of `release.signing_key`, under the same name.",
    )
    secret: str | None = Field(
        None,
        max_length=253,
        pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$",
        description="The Kubernetes Secret that Kubeflow Pipelines mounts as this folder; null where the image or the "
        "platform has the folder.",
    )


class Cluster(Settings):
    """The image and the places of a compiled pipeline, which runs on Kubeflow Pipelines or Vertex AI."""

    image: str = Field(
        "twostep:latest", min_length=1, description="The container image of every task; `make image` builds it."
    )
    root: str | None = Field(
        None,
        description="The URI of the folder of artifacts, releases and pushed models, such as `s3://bucket/shop` or "
        "`gs://bucket/shop`.",
    )
    data: str | None = Field(
        None,
        description="The URI of the folder that the paths of the tables are relative to. Default: `data.root` if that "
        "is a URI, else `<root>/data`.",
    )

    keys: Keys | None = Field(
        None, description="The place of the key that signs releases; required with `release.signing_key`."
    )

    @field_validator("root", "data")
    @classmethod
    def _is_uri(cls, place: str | None) -> str | None:
        if place is not None and not _URI.fullmatch(place):
            raise ValueError(f"should be a URI such as s3://bucket/folder or gs://bucket/folder; found {place!r}")
        return place
