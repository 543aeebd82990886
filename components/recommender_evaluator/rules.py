"""The conditions of release, held against evaluations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core import metrics
from core.errors import UsageError

IN_FORCE = "in_force"  # the release in force, as a baseline
_COMPARING = ("not_below", "change_at_least", "relative_change_at_least")
_UNMEASURED = "it could not be measured: no query has a value"


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a release.

    Args:
      passed: whether the rule holds.
      rule: the rule in words.
      value: what was measured for the subject; None where nothing could be measured.
      bound: what it was held against: the number of an `at_least` or `at_most`, else the mean of the baseline; None
        where there is none.
      sentence: rule, value and bound in one sentence for people.
    """

    passed: bool
    rule: str
    value: float | None
    bound: float | None
    sentence: str


def check(rules: Sequence[Mapping[str, Any]], evaluations: Mapping[str, Mapping[str, Any]]) -> list[Verdict]:
    """Hold every rule against the evaluation of its step.

    Each rule has one bound:

    - `at_least`, `at_most`: passes where the mean is not below, or not above, that number;
    - `not_below`: fails only where the 95% interval of subject less that baseline lies wholly below zero;
    - `change_at_least`: passes where the mean less that of the release in force is at least that number, such as
      -0.02; `relative_change_at_least`: the same as a share of the release's mean.

    With a `slice` the rule is about that part of the queries or items alone. Where there is no `in_force` to
    compare with, a rule about it passes and says why there is none. What could not be measured fails, for a gate that
    sees nothing stays shut: no query has a relevant item, or the slice is empty or not among those of this evaluation.

    Args:
      rules: each has `step`, `metric` (`name@k`), one bound, and perhaps `slice`; what is None is not there.
      evaluations: step → what `evaluation.evaluate` returned for it.

    Returns: a verdict a rule, in the same order.

    Raises:
      UsageError: the step, metric or baseline is not in the evaluations; the message names those that are.
    """
    return [_verdict(rule, evaluations) for rule in rules]


def enough_queries(least: int, evaluation: Mapping[str, Any]) -> Verdict:
    """Return whether at least `least` test queries have a relevant item: of fewer no metric says anything.

    Args:
      least: the bound.
      evaluation: of both steps.
    """
    found = evaluation["queries_with_relevant"]
    passed, rule = found >= least, f"test queries at least {least:,}"
    sentence = f"{_word(passed)}: {found:,} test queries have a relevant item and should be at least {least:,}"
    todo = "." if passed else ". Enlarge `split.test`, or lower `evaluation.min_queries` knowingly."
    return Verdict(passed, rule, found, least, sentence + todo)


def compared_slices(rules: Sequence[Mapping[str, Any]], step: str) -> set[str]:
    """The slices in which the evaluation of `step` must compare the subject with the others."""
    return {
        rule["slice"]
        for rule in rules
        if rule["step"] == step and rule.get("slice") and any(rule.get(bound) is not None for bound in _COMPARING)
    }


def _verdict(rule: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]]) -> Verdict:
    step, metric = rule["step"], rule["metric"]
    if step not in evaluations:
        raise UsageError(
            f"rule on {step}: there is no such evaluation. Those there are: {', '.join(evaluations) or 'none'}"
        )
    metrics.parse(metric)
    evaluation, part = evaluations[step], rule.get("slice")
    held = _Held(f"{step} {metric}" + (f" of {part}" if part else ""), step, metric, evaluation, evaluation)
    if part:
        of_part = next((one for one in evaluation["slices"] if one["name"] == part), None)
        if of_part is None or not of_part["queries"]:
            return held.without_queries(_bound_in_words(rule))
        held = _Held(held.what, step, metric, evaluation, of_part)
    if rule.get("not_below") is not None:
        return held.not_below(rule["not_below"])
    for key in ("change_at_least", "relative_change_at_least"):
        if rule.get(key) is not None:
            return held.change(float(rule[key]), relative=key != "change_at_least")
    upper = rule.get("at_most") is not None
    return held.number(float(rule["at_most" if upper else "at_least"]), upper)


def _bound_in_words(rule: Mapping[str, Any]) -> str:
    given = ((key, rule.get(key)) for key in ("at_least", "at_most", *_COMPARING))
    key, bound = next((key, bound) for key, bound in given if bound is not None)
    return f"{key.replace('_', ' ')} {bound if isinstance(bound, str) else format(bound, 'g')}"


@dataclass(frozen=True)
class _Held:
    """One metric of one step, overall or in a slice, to be held against a bound.

    Args:
      what: it in words.
      step, metric: it by name.
      evaluation: of the step.
      part: the evaluation, or one of its slices.
    """

    what: str
    step: str
    metric: str
    evaluation: Mapping[str, Any]
    part: Mapping[str, Any]

    def without_queries(self, bound: str) -> Verdict:
        rule = f"{self.what} {bound}"
        return Verdict(
            False, rule, None, None, f"Failed: {rule}: no query of this evaluation is in that slice, or it has no such "
            "slice: of a column the rarer values are one slice, `(other)`."
        )  # fmt: skip

    def number(self, bound: float, upper: bool) -> Verdict:
        """At most `bound`, or at least it."""
        words = f"at {'most' if upper else 'least'} {bound:g}"
        rule, value = f"{self.what} {words}", self._value()
        if value is None:
            return Verdict(False, rule, None, bound, f"Failed: {self.what} should be {words}, but {_UNMEASURED}.")
        passed = value <= bound if upper else value >= bound
        return Verdict(
            passed, rule, value, bound, f"{_word(passed)}: {self.what} is {value:.6g} and should be {words}."
        )

    def not_below(self, baseline: str) -> Verdict:
        """Not significantly worse than a baseline on the same queries."""
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
        """The mean less that of the release in force, itself or as a share of that."""
        told = f"{bound:+.4g}" if not relative else f"{100 * bound:+.4g}%"
        rule, value = f"{self.what} change at least {told}", self._value()
        if IN_FORCE not in self.evaluation["baselines"]:
            return self._nothing_to_compare(rule, value, IN_FORCE)
        before = self._estimate(self._compared("models")[IN_FORCE])["mean"]
        if value is None or before is None:
            return Verdict(
                False, rule, value, before, f"Failed: {self.what} should change by at least {told}, but {_UNMEASURED}."
            )
        if relative and not before:
            return Verdict(
                False, rule, value, before, f"Failed: {self.what} should change by at least {told}, but {IN_FORCE} "
                "has 0, of which there is no share; use `change_at_least`."
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
            f"should be at least {told}.",
        )

    def _nothing_to_compare(self, rule: str, value: float | None, baseline: str) -> Verdict:
        if baseline != IN_FORCE:
            known = ", ".join(self.evaluation["baselines"]) or "none"
            raise UsageError(
                f"rule on {self.step}: {baseline!r} is no baseline of this evaluation. Those there are: {known}"
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
                f"rule on {self.what}: this evaluation compares nothing in that slice. Evaluate with the rule in place"
            )
        return self.part[kind]

    def _estimate(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.metric not in row:
            raise UsageError(
                f"rule on {self.step}: {self.metric!r} was not measured here. Those that were: {', '.join(row)}"
            )
        return row[self.metric]


def _word(passed: bool) -> str:
    return "Passed" if passed else "Failed"
