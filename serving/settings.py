"""The serving settings of a release, written by the pipeline and read by every engine."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import Field, ValidationError

from core import mistakes
from core.errors import ReleaseError
from core.settings import Settings
from serving.rerank.settings import Reranking
from transform.features import Features


class ServingSettings(Settings):
    """The serving settings of a release."""

    name: str = Field(description="The name of the recommender.")
    features: Features = Field(description="The features of users and items that the models read.")
    candidates: int = Field(
        ge=1, le=10_000, description="The number of candidates that the retriever returns for the ranker."
    )
    reranking: Reranking = Field(default=Reranking(), description="The re-ranking after the ranker.")
    exclude_seen: bool = Field(description="Whether seen items are excluded from recommendations.")
    title: str | None = Field(
        None, description="The column of the catalogue with the titles of items; null if there are none."
    )
    owner: str | None = Field(
        None,
        description="The column of the catalogue with the id of the user to whom an item belongs, to whom it is not "
        "recommended; null if items belong to nobody.",
    )


def read(value: Any, modules: Collection[str] = ()) -> ServingSettings:
    """Return the serving settings of a manifest, whose content is not trusted.

    Args:
      value: the parsed JSON.
      modules: the Python modules that may be imported for a feature kind, in addition to the built-in kinds.
    Raises:
      ReleaseError: a value is wrong, or a feature kind is from another module.
    """
    for kind in _kinds(value):
        module = kind.partition(":")[0]
        if ":" in kind and module not in modules:
            raise ReleaseError(
                f"the release names the feature kind {kind!r}, whose module {module!r} is not allowed. Pass a "
                "configuration that names it in `features` instead of the folder of the release"
            )
    try:
        return ServingSettings.model_validate(value)
    except ValidationError as error:
        message = mistakes.explained(ServingSettings, error.errors()[0]).removeprefix(": ").rstrip(".")
        raise ReleaseError(f"the release's serving settings: {message}. Make the release again") from None


def _kinds(value: Any) -> Iterator[str]:
    """Yield every feature kind in the unchecked settings."""
    features = value.get("features") if isinstance(value, Mapping) else None
    for table in ("user", "item"):
        columns = features.get(table) if isinstance(features, Mapping) else None
        for feature in columns.values() if isinstance(columns, Mapping) else ():
            kind = feature.get("kind") if isinstance(feature, Mapping) else feature
            if isinstance(kind, str):
                yield kind
