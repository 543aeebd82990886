"""The settings of RecommenderEvaluator, including the rules of a release."""

from typing import Any, Literal

from pydantic import Field, model_validator

from components.recommender_evaluator import slice_names
from core import metrics
from core.errors import UsageError
from core.query_settings import QuerySettings
from core.settings import Settings
from serving.settings import ServingSettings
from transform.features import Features

BOUNDS = ("at_least", "at_most", "not_below", "change_at_least", "relative_change_at_least")


class Rule(Settings):
    """One condition of a release. All rules must be met."""

    step: Literal["retrieval", "two_step"] = Field("two_step", description="The evaluation that the rule applies to.")
    metric: str = Field(description="A metric with its k, such as `ndcg@10`.")
    slice: str | None = Field(
        None,
        description="The slice that the rule applies to, such as `user:cold` or `gender=F` (a column of `slices` and a "
        "value); null for all queries. A slice without queries fails the rule.",
    )
    at_least: float | None = Field(None, allow_inf_nan=False, description="The lowest accepted mean of the metric.")
    at_most: float | None = Field(
        None, allow_inf_nan=False, description="The highest accepted mean of the metric, such as for `gini@10`."
    )
    not_below: str | None = Field(
        None,
        description="A baseline, `retrieval` (the first step alone) or `in_force` (the release in force): the rule "
        "fails if the metric is significantly lower than that of the baseline, that is, if the 95% interval of the "
        "difference lies below zero.",
    )
    change_at_least: float | None = Field(
        None,
        allow_inf_nan=False,
        description="The lowest accepted difference of the metric from that of the release in force, such as -0.02.",
    )
    relative_change_at_least: float | None = Field(
        None,
        allow_inf_nan=False,
        description="The lowest accepted difference of the metric from that of the release in force, as a share of the "
        "latter: -0.02 accepts a metric that is 2% lower.",
    )

    @property
    def bound(self) -> tuple[str, float | str]:
        """Return the name of the rule's bound and its value."""
        return next((key, value) for key in BOUNDS if (value := getattr(self, key)) is not None)

    @model_validator(mode="after")
    def _one_bound(self) -> "Rule":
        bounds = [key for key in BOUNDS if getattr(self, key) is not None]
        if len(bounds) != 1:
            raise ValueError(f"should have exactly one of {', '.join(BOUNDS)}; found {', '.join(bounds) or 'none'}")
        try:
            name, _ = metrics.parse(self.metric)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if name in metrics.AGGREGATE and self.not_below is not None:
            raise ValueError(
                f"`not_below` compares queries, and {name} is a metric of all lists together; use `change_at_least`, "
                "`at_least` or `at_most`"
            )
        if name in metrics.AGGREGATE and self.slice is not None:
            raise ValueError(f"{name} is a metric of all lists together, so it has no `slice`")
        if self.slice in slice_names.OF_ITEMS and name != "recall":
            raise ValueError(f"only recall is defined for slices of items; found {self.metric} of {self.slice}")
        return self


class TwoStepSettings(Settings):
    """The settings of an evaluator of both steps."""

    min_queries: int = Field(
        ge=1, description="The minimum number of queries with a relevant item that a release requires."
    )
    serving: ServingSettings = Field(description="The serving settings of a release.")


class EvaluatorSettings(Settings):
    """The settings of RecommenderEvaluator."""

    features: Features = Field(description="The feature configuration.")
    queries: QuerySettings = Field(description="The queries of test.")
    max_queries: int = Field(ge=1, description="The maximum number of queries of test.")
    split: dict[str, Any] = Field(description="The settings that decide which events are test.")
    releases: str = Field(description="The folder of the releases.")
    trusted_keys: tuple[str, ...] = Field(
        (), description="Files of public keys, one of which must have signed a release; empty to accept unsigned ones."
    )
    trusted_digests: tuple[str, ...] = Field(
        (), description="The digests of the files in `trusted_keys`, which are part of the cache key."
    )
    seed: int = Field(description="The seed of all samples.")
    rules: tuple[Rule, ...] = Field((), description="The rules of a release for the steps that are evaluated.")
    at: tuple[int, ...] = Field(description="The list lengths k of the metrics.")
    baselines: tuple[str, ...] = Field(description="The retrieval models that are fitted for comparison.")
    slices: tuple[str, ...] = Field((), description="The features of users and items whose slices are reported.")
    resamples: int = Field(description="The number of bootstrap resamples of an interval.")
    two_step: TwoStepSettings | None = Field(
        None, description="The settings for the evaluation of both steps; null to evaluate retrieval alone."
    )
