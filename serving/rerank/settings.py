"""The settings of re-ranking, in a module without Arrow, so that checking a configuration does not import it."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from core.settings import Settings
from serving.rerank.rule_settings import RuleSettings
from transform.features import Feature, raw_columns


class Freshness(RuleSettings):
    """A bonus for new items that is halved with every half-life of age."""

    RULE = "serving.rerank.freshness:Freshness"
    COLUMN_KIND = "numeric"
    RENAMED: ClassVar[Mapping[str, str]] = {"holds": "format"}

    column: str = Field(description="The numeric item feature that gives the age of an item.")
    format: Literal["timestamp", "year", "age_days"] = Field(
        "timestamp",
        description="The format of the column: `timestamp`, seconds since 1970-01-01 UTC; `year`, a calendar year; "
        "`age_days`, the age in days when the items table was made.",
    )
    half_life_days: float = Field(
        30.0, gt=0, le=1_000_000_000, description="The age in days at which the bonus is halved."
    )
    weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="The bonus of a new item. Relevance is 1 at the ranker's first position and 0.29 at its tenth.",
    )


class Popularity(RuleSettings):
    """A penalty for popular items."""

    RULE = "serving.rerank.popularity:Popularity"

    weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="The penalty of the most popular item of the catalogue; the penalty of others is proportional to "
        "the logarithm of their number of events. Relevance is 1 at the ranker's first position and 0.29 at its tenth.",
    )


class MMR(RuleSettings):
    """Diversity by maximal marginal relevance: a penalty for the similarity to the items selected before."""

    RULE = "serving.rerank.diversity:MMR"
    COMPARES_ITEMS = True
    SHARES_SCORE = True
    RENAMED: ClassVar[Mapping[str, str]] = {"likeness": "similarity"}

    weight: float = Field(
        0.31,
        ge=0,
        le=1,
        description="The share of diversity in the score: 0 for relevance alone, 1 for diversity alone.",
    )
    similarity: Literal["mean", "max"] = Field(
        "mean",
        description="The similarity to the items selected before: the `mean` over these items, whose complement is "
        "intra-list diversity, or the `max`, which avoids any two similar items and costs more relevance.",
    )


class DPP(RuleSettings):
    """Diversity by a determinantal point process: a penalty for items similar to the set of items selected before."""

    RULE = "serving.rerank.diversity:DPP"
    COMPARES_ITEMS = True
    SHARES_SCORE = True

    weight: float = Field(
        0.2,
        ge=0,
        le=1,
        description="The share of diversity in the score: 0 for relevance alone, 1 for diversity alone.",
    )


class Calibration(RuleSettings):
    """Calibration of the list, whose shares of categories become similar to those in the user's history."""

    RULE = "serving.rerank.calibration:Calibration"
    COLUMN_KIND = "categorical"
    SHARES_SCORE = True

    column: str = Field(description="The categorical or multi-valued item feature, such as genres.")
    weight: float = Field(
        0.2,
        ge=0,
        le=1,
        description="The share of calibration in the score: 0 for relevance alone, 1 for calibration alone.",
    )


class Cap(RuleSettings):
    """A maximum number of items of one category, brand or provider."""

    RULE = "serving.rerank.caps:Cap"
    COLUMN_KIND = "categorical"
    RENAMED: ClassVar[Mapping[str, str]] = {"most": "max_items", "first": "top_k"}

    column: str = Field(description="The categorical or multi-valued item feature whose values are capped.")
    max_items: int = Field(ge=1, le=10_000, description="The maximum number of items with the same value.")
    top_k: int = Field(10, ge=1, le=10_000, description="The number of first positions that the cap applies to.")


class Reranking(Settings):
    """The re-ranking of the ranker's lists; by default no rule is applied."""

    RENAMED: ClassVar[Mapping[str, str]] = {"cold": "cold_items", "page": "page_size"}

    cold_items: Literal["ranked", "retrieved"] = Field(
        "ranked",
        description="The position of cold items: `ranked`, by the score of the ranker, which is trained on events and "
        "so tends to place them last; `retrieved`, the position in the retriever's order.",
    )
    # The registry of the rules, in the order in which they are applied.
    freshness: Freshness | None = Field(None, description="A bonus for new items.")
    popularity: Popularity | None = Field(None, description="A penalty for popular items.")
    mmr: MMR | None = Field(None, description="Diversity by maximal marginal relevance.")
    dpp: DPP | None = Field(None, description="Diversity by a determinantal point process.")
    calibration: Calibration | None = Field(None, description="Calibration to the user's history.")
    caps: tuple[Cap, ...] = Field((), description="Maximum numbers of items of one category, brand or provider.")
    page_size: int = Field(
        10,
        ge=1,
        le=10_000,
        description="The number of positions per page; items are selected page by page and sorted by relevance within "
        "each page. 1 keeps the order of selection.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Reranking":
        """Check the settings that depend on each other. Raises: ValueError."""
        if self.mmr is not None and self.dpp is not None:
            raise ValueError("should have either `mmr` or `dpp`, which are both rules of diversity; found both")
        shares = {key: each.share for key, each in self.rules() if each.SHARES_SCORE}
        if sum(shares.values()) > 1:
            raise ValueError(
                f"the weights of {' and '.join(shares)} should sum to at most 1, since the rest is the share of "
                "relevance; found " + " + ".join(f"{weight:g}" for weight in shares.values())
            )
        return self

    def rules(self) -> Iterator[tuple[str, RuleSettings]]:
        """Yield the key and the settings of each configured rule; a key may occur several times."""
        for key in type(self).model_fields:
            value = getattr(self, key)
            for each in value if isinstance(value, tuple) else [value]:
                if isinstance(each, RuleSettings):
                    yield key, each

    @property
    def rearranges(self) -> bool:
        """Return whether any rule is configured."""
        return any(True for _ in self.rules())

    @property
    def diversity(self) -> float:
        """Return the weight of `mmr` or `dpp`, 0 without either."""
        return next((each.weight for each in (self.mmr, self.dpp) if each is not None), 0.0)

    @property
    def other_shares(self) -> float:
        """Return the sum of the shares of all rules except diversity."""
        return sum(each.share for key, each in self.rules() if key not in ("mmr", "dpp"))

    @property
    def method(self) -> Literal["mmr", "dpp"]:
        """Return the key of the rule of diversity, `mmr` if none is configured."""
        return "dpp" if self.dpp is not None else "mmr"

    def with_diversity(self, weight: float) -> "Reranking":
        """Return the same settings with another weight of diversity. Raises: ValueError, as on construction."""
        values = self.model_dump()
        return type(self).model_validate(values | {self.method: (values[self.method] or {}) | {"weight": weight}})


def check(settings: Reranking, features: dict[str, Feature]) -> None:
    """Check that the item features that the rules read are configured.

    Args:
      settings: the settings of re-ranking.
      features: the features of items, by column.
    Raises:
      ValueError: a feature is missing or of another kind.
    """
    raws = raw_columns(features)
    fitting = {
        "numeric": [name for name, raw in raws.items() if raw.numeric],
        "categorical": [name for name, raw in raws.items() if raw.categorical],
    }
    titles = {"numeric": "numeric", "categorical": "categorical or multi-valued"}
    for key, rule in settings.rules():
        if rule.COMPARES_ITEMS and not features:
            raise ValueError(f"{key}: compares items by their features; `features.item` is empty. Add a feature")
        kind, column = rule.COLUMN_KIND, getattr(rule, "column", None)
        if kind is not None and column not in fitting[kind]:
            raise ValueError(
                f"{key}.column should be one of the {titles[kind]} features of items, "
                f"{', '.join(fitting[kind]) or 'none (no such feature is configured)'}; found {column!r}"
            )
