"""The configuration of the evaluation: its metrics, and the rules of a release."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.recommender_evaluator import slice_names
from components.recommender_evaluator.settings import Rule
from core import metrics
from core.settings import Settings
from trainer.retrieval import registry as retrieval_registry

_IN_FORCE = "in_force"  # the release in force
_FLOOR = 0.001  # the lower bound of NDCG in the default rules
_RETRIEVAL = "retrieval"  # the lists in the retriever's order, as a baseline


class Evaluation(Settings):
    """The metrics, the baselines, and the rules of a release."""

    unit: Literal["user", "event"] = Field(
        "user",
        description="The queries of a split: `user`: one per user, at their first event; `event`: one per event.",
    )
    at: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        (10, 20, 100), min_length=1, max_length=50, description="The list lengths k of the metrics."
    )
    baselines: tuple[str, ...] = Field(
        ("popularity", "item_knn"), description="The retrieval models that the release is compared with."
    )
    slices: tuple[str, ...] = Field(
        (), description="The features of users and items whose values are reported as slices."
    )
    resamples: int = Field(1000, ge=100, le=100_000, description="The number of bootstrap resamples of an interval.")
    max_queries: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="The maximum number of test queries; a larger set is sampled at random.",
    )
    max_ranking_queries: int = Field(
        2000,
        ge=1,
        le=10_000_000,
        description="The maximum number of test queries whose candidates RankingEvaluator evaluates with TFMA; of more "
        "queries, a random sample.",
    )
    min_queries: int = Field(
        30,
        ge=1,
        le=10_000_000,
        description="The minimum number of test queries with a relevant item that a release requires.",
    )
    rules: tuple[Rule, ...] = Field(
        (),
        description="The conditions of a release. By default NDCG at the shortest list length has to be at least 0.001 "
        "and not below the NDCG of `baselines`, `retrieval` and `in_force`.",
    )

    @property
    def conditions(self) -> tuple[Rule, ...]:
        """Return the configured rules, or the default ones."""
        if "rules" in self.model_fields_set:
            return self.rules
        metric = f"ndcg@{min(self.at)}"
        compared = (*self.baselines, _RETRIEVAL, _IN_FORCE)
        return (Rule(metric=metric, at_least=_FLOOR), *(Rule(metric=metric, not_below=each) for each in compared))

    @model_validator(mode="after")
    def _rules_can_be_held(self) -> "Evaluation":
        models = [
            name for name in retrieval_registry.MODELS.entries if retrieval_registry.MODELS.events_alone(name, {})
        ]
        for name in self.baselines:
            if name not in models:
                raise ValueError(
                    f"baselines should be among {', '.join(models)}, which need no features; found {name!r}"
                )
        for rule in self.conditions:
            self._check(rule)
        return self

    def _check(self, rule: Rule) -> None:
        k = metrics.parse(rule.metric)[1]
        if k not in self.at:
            raise ValueError(f"a rule needs {rule.metric}, but `at` is {list(self.at)}. Add {k} to it, or set `rules`")
        known = [*self.baselines, *([_RETRIEVAL] if rule.step == "two_step" else []), _IN_FORCE]
        if rule.not_below == "last_blessed":
            raise ValueError("not_below of a rule: `last_blessed` is now called `in_force`, the release in force")
        if rule.not_below not in (*known, None):
            raise ValueError(
                f"not_below of a rule should be one of {', '.join(known)}; found {rule.not_below!r}. "
                "Add it to `baselines`, or set `rules`"
            )
        if rule.slice is None or rule.slice in slice_names.ALWAYS:
            return
        column, equals, _ = rule.slice.partition("=")
        if not equals or column not in self.slices:
            raise ValueError(
                f"a rule's slice should be one of {', '.join(slice_names.ALWAYS)}, or COLUMN=VALUE of a column in "
                f"`slices`, which has {', '.join(self.slices) or 'none'}; found {rule.slice!r}"
            )
