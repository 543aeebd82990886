"""What of re-ranking can be configured. No Arrow here, so that a configuration can be checked without it."""

from typing import Literal

from pydantic import Field, model_validator

from core.settings import Settings
from transform.features import Feature, raw_columns


class Freshness(Settings):
    """New items get a boost that halves with age."""

    column: str = Field(description="A numeric item feature that tells how old an item is.")
    holds: Literal["timestamp", "year", "age_days"] = Field(
        "timestamp",
        description="What stands there: `timestamp`, seconds since 1970-01-01 UTC; `year`, a calendar year; "
        "`age_days`, days of age when the items table was made.",
    )
    half_life_days: float = Field(30.0, gt=0, le=1_000_000_000, description="After so many days the boost is half.")
    weight: float = Field(
        0.1, ge=0, le=1000, description="The boost of a new item; the ranker's first counts 1, its tenth 0.29."
    )


class Popularity(Settings):
    """Popular items lose some of their score."""

    weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="What the most popular item of the catalogue loses; others in proportion to the logarithm of their "
        "events. The ranker's first counts 1, its tenth 0.29.",
    )


class MMR(Settings):
    """Diversity by maximal marginal relevance: an item loses by its likeness to the items chosen before it."""

    weight: float = Field(0.31, ge=0, le=1, description="Of diversity: 0 keeps the ranker's choice, 1 ignores it.")
    likeness: Literal["mean", "nearest"] = Field(
        "mean",
        description="To the items chosen before it in the mean, which is what intra-list diversity measures, or to the "
        "`nearest` of them, which keeps any two apart and costs more.",
    )


class DPP(Settings):
    """Diversity by a determinantal point process: an item loses by how well all those chosen before it resemble it."""

    weight: float = Field(0.2, ge=0, le=1, description="Of diversity: 0 keeps the ranker's choice, 1 ignores it.")


class Calibration(Settings):
    """The list's shares of categories follow those of the user's history."""

    column: str = Field(description="A categorical or multi-valued item feature, such as genres.")
    weight: float = Field(0.2, ge=0, le=1, description="Of calibration: 0 keeps the ranker's choice, 1 ignores it.")


class Cap(Settings):
    """At most so many items of one category, brand or provider."""

    column: str = Field(description="A categorical or multi-valued item feature.")
    most: int = Field(ge=1, le=10_000, description="How many items may have the same value of it.")
    first: int = Field(10, ge=1, le=10_000, description="In how many of the first places.")


class Reranking(Settings):
    """What is done to the ranker's order before it is served; by default nothing."""

    cold: Literal["ranked", "retrieved"] = Field(
        "ranked",
        description="Where an item without events stands: where the ranker puts it, which learned from events, or at "
        "the place at which the retriever has `retrieved` it.",
    )
    freshness: Freshness | None = Field(None, description="A boost for new items.")
    popularity: Popularity | None = Field(None, description="A malus for popular items.")
    mmr: MMR | None = Field(None, description="Diversity by maximal marginal relevance.")
    dpp: DPP | None = Field(None, description="Diversity by a determinantal point process.")
    calibration: Calibration | None = Field(None, description="Calibration to the user's history.")
    caps: tuple[Cap, ...] = Field((), description="The most items of one category, brand or provider.")
    page: int = Field(
        10,
        ge=1,
        le=10_000,
        description="How many places are looked at together, as on a screen: what stands there is chosen, then ordered "
        "by what each item is worth. 1 keeps the order of choice.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Reranking":
        if self.mmr is not None and self.dpp is not None:
            raise ValueError("should have either `mmr` or `dpp`: both are for diversity")
        if self.diversity + self.calibrated > 1:
            raise ValueError(
                "the weights of diversity and calibration should not exceed 1 together, since the ranker's order has "
                f"the rest; found {self.diversity:g} + {self.calibrated:g}"
            )
        return self

    @property
    def rearranges(self) -> bool:
        """Whether anything is done to the order but that cold items may keep their places."""
        return self != Reranking(cold=self.cold, page=self.page)

    @property
    def diversity(self) -> float:
        """The weight of `mmr` or `dpp`."""
        return next((one.weight for one in (self.mmr, self.dpp) if one is not None), 0.0)

    @property
    def calibrated(self) -> float:
        """The weight of `calibration`."""
        return self.calibration.weight if self.calibration is not None else 0.0

    @property
    def method(self) -> Literal["mmr", "dpp"]:
        """Of diversity, configured or not."""
        return "dpp" if self.dpp is not None else "mmr"

    def with_diversity(self, weight: float) -> "Reranking":
        """The same with that weight of diversity. Raises: ValueError, as on construction."""
        found = self.model_dump()
        return Reranking.model_validate(found | {self.method: (found[self.method] or {}) | {"weight": weight}})


def check(settings: Reranking, features: dict[str, Feature]) -> None:
    """Whether the item features are there that re-ranking looks at.

    Args:
      features: of items, by column.
    Raises:
      ValueError: one is missing or of another kind.
    """
    if not features and (settings.mmr is not None or settings.dpp is not None):
        raise ValueError("diversity compares items by their features, and `features.item` is empty. Add some")
    asked: list[tuple[str, Freshness | Calibration | Cap | None, bool]]
    asked = [("freshness", settings.freshness, True), ("calibration", settings.calibration, False)]
    for key, part, numeric in [*asked, *(("caps", cap, False) for cap in settings.caps)]:
        if part is None:
            continue
        raws = raw_columns(features)
        if numeric:
            fitting = [name for name, raw in raws.items() if raw.numbers and raw.values is None]
        else:
            fitting = [name for name, raw in raws.items() if not (raw.numbers or raw.words)]
        if part.column not in fitting:
            kind = "numeric" if numeric else "categorical or multi-valued"
            raise ValueError(
                f"{key}.column should be one of {', '.join(fitting) or 'none there is'}, the {kind} features of items; "
                f"found {part.column!r}"
            )
