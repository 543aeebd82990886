"""The check of evaluations against the rules of a release."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.recommender_evaluator.settings import Rule
from core import metrics
from core.errors import UsageError

IN_FORCE = "in_force"  # the release in force, as a baseline
_COMPARING = ("not_below", "change_at_least", "relative_change_at_least")
_UNMEASURED = "it could not be measured: no query has a value"


@dataclass(frozen=True)
class Verdict:
    """The result of a rule.

    Args:
      passed: whether the rule is met.
      rule: the rule in words.
      value: the metric of the subject; None where it could not be measured.
      bound: the number of `at_least` or `at_most`; for other rules the mean of the baseline, None without a baseline.
      sentence: the result, rule, value and bound in one sentence.
    """

    passed: bool
    rule: str
    value: float | None
    bound: float | None
    sentence: str


def check(rules: Sequence[Rule], evaluations: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Check the evaluations against every rule.

    Each rule has one bound:

    - `at_least`, `at_most`: passes if the mean is not below, or not above, that number;
    - `not_below`: fails only if the 95% interval of the difference (subject − baseline) lies below zero;
    - `change_at_least`: passes if the difference of the means (subject − release in force) is at least that number,
      such as -0.02; `relative_change_at_least`: the same as a share of the mean of the release in force.

    A rule with a `slice` checks that slice alone. A rule that compares with the release in force passes if there is
    none or if it is not comparable; its sentence says so. A rule fails if its metric could not be measured: if no query
    has a relevant item, or the slice is empty or not among those of this evaluation.

    Args:
      rules: the rules.
      evaluations: step → the result of `evaluation.evaluate`.

    Returns:
      A verdict for each rule, in the same order.

    Raises:
      UsageError: the step, metric or baseline is not in the evaluations.
    """
    return [_verdict(rule, evaluations) for rule in rules]


def enough_queries(least: int, evaluation: Mapping[str, Any]) -> Verdict:
    """Return the verdict on whether enough test queries have a relevant item for reliable metrics.

    Args:
      least: the lowest accepted number of such queries.
      evaluation: the evaluation of both steps.
    """
    found = evaluation["queries_with_relevant"]
    passed, rule = found >= least, f"test queries at least {least:,}"
    sentence = f"{_word(passed)}: {found:,} test queries have a relevant item and should be at least {least:,}"
    todo = "." if passed else ". Enlarge `split.test`, or lower `evaluation.min_queries` knowingly."
    return Verdict(passed, rule, found, least, sentence + todo)


def compared_slices(rules: Sequence[Rule], step: str) -> set[str]:
    """Return the slices in which a rule on `step` compares the subject with a baseline."""
    return {
        rule.slice for rule in rules if rule.step == step and rule.slice is not None and rule.bound[0] in _COMPARING
    }


def _verdict(rule: Rule, evaluations: Mapping[str, Mapping[str, Any]]) -> Verdict:
    step, metric = rule.step, rule.metric
    if step not in evaluations:
        raise UsageError(
            f"rule on {step}: there is no such evaluation. The evaluations are: {', '.join(evaluations) or 'none'}"
        )
    metrics.parse(metric)
    evaluation, part = evaluations[step], rule.slice
    held = _Held(f"{step} {metric}" + (f" of {part}" if part else ""), step, metric, evaluation, evaluation)
    if part:
        of_part = next((one for one in evaluation["slices"] if one["name"] == part), None)
        if of_part is None or not of_part["queries"]:
            return held.without_queries(_bound_in_words(rule))
        held = _Held(held.what, step, metric, evaluation, of_part)
    key, bound = rule.bound
    if key == "not_below":
        return held.not_below(str(bound))
    if key in ("change_at_least", "relative_change_at_least"):
        return held.change(float(bound), relative=key != "change_at_least")
    return held.number(float(bound), upper=key == "at_most")


def _bound_in_words(rule: Rule) -> str:
    key, bound = rule.bound
    return f"{key.replace('_', ' ')} {bound if isinstance(bound, str) else format(bound, 'g')}"


@dataclass(frozen=True)
class _Held:
    """One metric of one step, over all queries or in a slice, that is checked against a bound.

    Args:
      what: the step, metric and slice in words.
      step, metric: the names of the step and the metric.
      evaluation: the evaluation of the step.
      part: the whole evaluation, or the slice of it that the rule applies to.
    """

    what: str
    step: str
    metric: str
    evaluation: Mapping[str, Any]
    part: Mapping[str, Any]

    def without_queries(self, bound: str) -> Verdict:
        rule = f"{self.what} {bound}"
        return Verdict(
            False, rule, None, None, f"Failed: {rule}: no query of this evaluation is in that slice, or the slice does "
            "not exist: the rarer values of a column are together in the slice `(other)`."
        )  # fmt: skip

    def number(self, bound: float, upper: bool) -> Verdict:
        """Return the verdict on `at_most` if `upper`, else on `at_least`."""
        words = f"at {'most' if upper else 'least'} {bound:g}"
        rule, value = f"{self.what} {words}", self._value()
        if value is None:
            return Verdict(False, rule, None, bound, f"Failed: {self.what} should be {words}, but {_UNMEASURED}.")
        passed = value <= bound if upper else value >= bound
        return Verdict(
            passed, rule, value, bound, f"{_word(passed)}: {self.what} is {value:.6g} and should be {words}."
        )

    def not_below(self, baseline: str) -> Verdict:
        """Return the verdict on `not_below`."""
        rule, value = f"{self.what} not below {baseline}", self._value()
        if baseline not in self.evaluation["baselines"]:
            return self._nothing_to_compare(rule, value, baseline)
        difference = self._estimate(self._compared("differences")[baseline])
        bound = self._compared("models")[baseline][self.metric]["mean"]
        if difference["high"] is None:
            return Verdict(
                False, rule, value, bound, f"Failed: {self.what} should not be below {baseline}, but {_UNMEASURED}."
            )
        passed = difference["high"] >= 0
        return Verdict(
            passed,
            rule,
            value,
            bound,
            f"{_word(passed)}: {self.what} is {value:.6g} and {baseline} has {bound:.6g}; the difference, "
            f"{difference['mean']:+.4g} (95% interval {difference['low']:+.4g} to {difference['high']:+.4g}), "
            "should not lie wholly below zero.",
        )

    def change(self, bound: float, relative: bool) -> Verdict:
        """Return the verdict on `relative_change_at_least` if `relative`, else on `change_at_least`."""
        words = f"{bound:+.4g}" if not relative else f"{100 * bound:+.4g}%"
        rule, value = f"{self.what} change at least {words}", self._value()
        if IN_FORCE not in self.evaluation["baselines"]:
            return self._nothing_to_compare(rule, value, IN_FORCE)
        before = self._estimate(self._compared("models")[IN_FORCE])["mean"]
        if value is None or before is None:
            return Verdict(
                False, rule, value, before, f"Failed: {self.what} should change by at least {words}, but {_UNMEASURED}."
            )
        if relative and not before:
            return Verdict(
                False, rule, value, before, f"Failed: {self.what} should change by at least {words}, but {IN_FORCE} "
                "has 0, so there is no relative change; use `change_at_least`."
            )  # fmt: skip
        change = (value - before) / abs(before) if relative else value - before
        passed = change >= bound
        changed = f"{100 * change:+.4g}%" if relative else f"{change:+.4g}"
        return Verdict(
            passed,
            rule,
            value,
            before,
            f"{_word(passed)}: {self.what} is {value:.6g} and {IN_FORCE} has {before:.6g}; the change, {changed}, "
            f"should be at least {words}.",
        )

    def _nothing_to_compare(self, rule: str, value: float | None, baseline: str) -> Verdict:
        if baseline != IN_FORCE:
            known = ", ".join(self.evaluation["baselines"]) or "none"
            raise UsageError(
                f"rule on {self.step}: {baseline!r} is not a baseline of this evaluation. The baselines are: {known}"
            )
        if value is None:
            return Verdict(False, rule, None, None, f"Failed: {rule}: {_UNMEASURED}.")
        why = self.evaluation.get("not_compared", {}).get(IN_FORCE)
        why = f"nothing to compare with, {why}" if why else "nothing to compare with yet, no release is in force"
        return Verdict(True, rule, value, None, f"Passed: {rule}: {why}.")

    def _value(self) -> float | None:
        return self._estimate(
            self.part["metrics"] if "metrics" in self.part else self.part["models"][self.evaluation["subject"]]
        )["mean"]

    def _compared(self, kind: str) -> Mapping[str, Any]:
        if kind not in self.part:
            raise UsageError(
                f"rule on {self.what}: this evaluation has no comparison in that slice. Evaluate again with the rule"
            )
        return self.part[kind]

    def _estimate(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.metric not in row:
            raise UsageError(
                f"rule on {self.step}: {self.metric!r} was not measured. The metrics are: {', '.join(row)}"
            )
        return row[self.metric]


def _word(passed: bool) -> str:
    return "Passed" if passed else "Failed"
