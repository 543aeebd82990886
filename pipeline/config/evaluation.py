"""The part of the configuration that says what is measured and what a release must reach."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from components.recommender_evaluator import slice_names
from core import metrics
from core.errors import UsageError
from core.settings import Settings
from trainer.retrieval import registry as retrieval_registry

_BOUNDS = ("at_least", "at_most", "not_below", "change_at_least", "relative_change_at_least")
_IN_FORCE = "in_force"  # the release in force
_FLOOR = 0.001  # of the default rule that a list must find anything at all
_RETRIEVAL = "retrieval"  # the retriever's own order, which a ranker should not make worse


class Rule(Settings):
    """One condition of release; every rule must hold."""

    step: Literal["retrieval", "two_step"] = Field("two_step", description="Which evaluation it looks at.")
    metric: str = Field(description="A metric with its k, such as `ndcg@10`.")
    slice: str | None = Field(
        None,
        description="The part it looks at alone, such as `user:cold` or `gender=F`, a column of `slices` and a value; "
        "fails where no query is in it.",
    )
    at_least: float | None = Field(None, allow_inf_nan=False, description="The lowest value that passes.")
    at_most: float | None = Field(
        None, allow_inf_nan=False, description="The highest value that passes, such as of `gini@10`."
    )
    not_below: str | None = Field(
        None,
        description="A baseline, `retrieval` (the first step alone) or `in_force` (the release in force): fails when "
        "the 95% interval of the difference lies below zero.",
    )
    change_at_least: float | None = Field(
        None,
        allow_inf_nan=False,
        description="The lowest difference from the release in force that passes, such as -0.02.",
    )
    relative_change_at_least: float | None = Field(
        None,
        allow_inf_nan=False,
        description="The same as a share of the value of the release in force: -0.02 is 2% less.",
    )

    @model_validator(mode="after")
    def _one_bound(self) -> "Rule":
        bounds = [key for key in _BOUNDS if getattr(self, key) is not None]
        if len(bounds) != 1:
            raise ValueError(f"should have exactly one of {', '.join(_BOUNDS)}; found {', '.join(bounds) or 'none'}")
        try:
            name, _ = metrics.parse(self.metric)
        except UsageError as error:
            raise ValueError(str(error)) from None
        if name in metrics.EXPOSURE and self.not_below is not None:
            raise ValueError(
                f"`not_below` compares query by query, and {name} is of all lists together; use `change_at_least`, "
                "`at_least` or `at_most`"
            )
        if name in metrics.EXPOSURE and self.slice is not None:
            raise ValueError(f"{name} is of all lists together, so a `slice` has none of its own")
        if self.slice in slice_names.OF_ITEMS and name != "recall":
            raise ValueError(f"of slices of items only recall is measured; found {self.metric} of {self.slice}")
        return self


class Evaluation(Settings):
    """What is measured, against what, and what a release must reach."""

    unit: Literal["user", "event"] = Field(
        "user",
        description="`user`: all test items of a user at once; `event`: each test event with the history up to it.",
    )
    at: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        (10, 20, 100), min_length=1, max_length=50, description="The list lengths k of the metrics."
    )
    baselines: tuple[str, ...] = Field(("popularity", "item_knn"), description="Retrieval models to stand beside.")
    slices: tuple[str, ...] = Field((), description="Features of users and of items to report by.")
    resamples: int = Field(1000, ge=100, le=100_000, description="Bootstrap resamples of an interval.")
    max_queries: int = Field(
        10_000, ge=1, le=10_000_000, description="A larger test split is sampled down to this many queries."
    )
    min_queries: int = Field(
        30,
        ge=1,
        le=10_000_000,
        description="The minimum number of test queries with a relevant item that a release is judged by.",
    )
    rules: tuple[Rule, ...] = Field(
        (),
        description="The conditions of release. By default NDCG at the shortest list should be above zero, and not "
        "below any of `baselines`, `retrieval` and `in_force`.",
    )

    @property
    def conditions(self) -> tuple[Rule, ...]:
        """The rules given, or the default ones."""
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
                raise ValueError(f"baselines should be of {', '.join(models)}, which need no features; found {name!r}")
        for rule in self.conditions:
            self._check(rule)
        return self

    def _check(self, rule: Rule) -> None:
        k = metrics.parse(rule.metric)[1]
        if k not in self.at:
            raise ValueError(
                f"a rule is about {rule.metric}, but `at` has no {k}: it is {list(self.at)}. Add it, or set `rules`"
            )
        known = [*self.baselines, *([_RETRIEVAL] if rule.step == "two_step" else []), _IN_FORCE]
        if rule.not_below == "last_blessed":
            raise ValueError("a rule's not_below: `last_blessed` is called `in_force`, the release in force")
        if rule.not_below not in (*known, None):
            raise ValueError(
                f"a rule's not_below should be one of {', '.join(known)}; found {rule.not_below!r}. "
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
