"""The facts about a release that its manifest records beside the list of its files."""

from typing import Any

from pydantic import Field, ValidationError

from core.errors import ReleaseError
from core.settings import Settings


class Facts(Settings):
    """The facts about a release in its manifest."""

    name: str = Field("", description="The name of the recommender.")
    seed: int = Field(0, description="The seed of the run.")
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict, description="Step -> metric -> mean on test.")
    split: dict[str, Any] | None = Field(None, description="The settings that decided which events were test.")
    ml_metadata: dict[str, int] = Field(default_factory=dict, description="Input of ReleasePusher -> artifact id.")
    lineage: dict[str, Any] = Field(
        default_factory=dict, description="The executions and artifacts that the release was made from."
    )
    serving: dict[str, Any] = Field(
        default_factory=dict, description="The serving settings, which `serving.settings.read` checks."
    )


def of_manifest(manifest: dict[str, Any]) -> Facts:
    """Return the facts in a manifest. Raises: ReleaseError."""
    try:
        return Facts.model_validate(manifest["facts"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        version = manifest.get("version")
        raise ReleaseError(f"release {version}: facts.{key}: {first['msg']}. Make the release again") from None
