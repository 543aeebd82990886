"""What a release says of how it answers: one typed model, written by the pipeline and read by every engine."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import Field, ValidationError

from core.errors import ReleaseError
from core.settings import Settings
from serving.rerank.settings import Reranking
from transform.features import Features


class ServingSettings(Settings):
    """How a release answers."""

    name: str = Field(description="The recommender.")
    features: Features = Field(description="The features that its models take.")
    candidates: int = Field(
        ge=1, le=10_000, description="The number of candidates that the retriever hands to the ranker."
    )
    reranking: Reranking = Field(default=Reranking(), description="The re-ranking of the ranker's order.")
    exclude_seen: bool = Field(description="Whether an item of the user's history may not be returned.")
    title: str | None = Field(None, description="The column of the catalogue that people read.")


def read(value: Any, modules: Collection[str] = ()) -> ServingSettings:
    """Return the settings of a manifest, which someone else may have written.

    Args:
      value: the parsed JSON.
      modules: the Python modules that a feature kind may come from beside the registered kinds; reading the settings
        imports them.
    Raises:
      ReleaseError: a value is wrong, or a feature's kind is of another module.
    """
    for kind in _kinds(value):
        module = kind.partition(":")[0]
        if ":" in kind and module not in modules:
            raise ReleaseError(
                f"the release names the feature kind {kind!r}, and nobody here has allowed the module {module!r}. "
                "Pass a configuration whose features name it instead of the release's folder"
            )
    try:
        return ServingSettings.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ReleaseError(f"the release's serving settings: {place}: {first['msg']}. Make the release anew") from None


def _kinds(value: Any) -> Iterator[str]:
    """Yield every feature kind that the unchecked settings name."""
    features = value.get("features") if isinstance(value, Mapping) else None
    for table in ("user", "item"):
        columns = features.get(table) if isinstance(features, Mapping) else None
        for feature in columns.values() if isinstance(columns, Mapping) else ():
            kind = feature.get("kind") if isinstance(feature, Mapping) else feature
            if isinstance(kind, str):
                yield kind
