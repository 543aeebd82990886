"""The conditions of release, held against evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core import metrics
from core.errors import UsageError

LAST_BLESSED = "last_blessed"


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a release.

    Args:
      passed: whether the rule holds.
      rule: the rule in words.
      value: what was measured for the subject; None where nothing could be measured.
      bound: what it was held against: `at_least`, or the mean of the baseline; None where there is none.
      sentence: rule, value and bound in one sentence for people.
    """

    passed: bool
    rule: str
    value: float | None
    bound: float | None
    sentence: str


def check(rules: Sequence[dict[str, Any]], evaluations: dict[str, dict[str, Any]]) -> list[Verdict]:
    """Hold every rule against the evaluation of its step.

    `at_least` passes where the value reaches the bound. `not_below` fails where the 95% interval of subject less
    baseline lies wholly below zero. Without a `last_blessed` in the evaluation a rule about it passes: there is nothing
    to compare with yet. What could not be measured (no query has a relevant item) fails, for a gate that sees nothing
    stays shut.

    Args:
      rules: each has `step`, `metric` (`name@k`) and one of `at_least` (a number) and `not_below` (a baseline's name).
      evaluations: step → what `evaluation.evaluate` returned for it.

    Returns: a verdict a rule, in the same order.

    Raises:
      UsageError: the step, metric or baseline is not in the evaluations; the message names those that are.
    """
    return [_verdict(rule, evaluations) for rule in rules]


def _verdict(rule: dict[str, Any], evaluations: dict[str, dict[str, Any]]) -> Verdict:
    step, metric = rule["step"], rule["metric"]
    if step not in evaluations:
        raise UsageError(
            f"rule on {step}: there is no such evaluation. Those there are: {', '.join(evaluations) or 'none'}"
        )
    metrics.parse(metric)
    evaluation = evaluations[step]
    value = _estimate(evaluation["models"][evaluation["subject"]], metric, step)["mean"]
    if rule.get("not_below") is None:
        return _at_least(f"{step} {metric}", value, float(rule["at_least"]))
    return _not_below(f"{step} {metric}", value, rule["not_below"], metric, step, evaluation)


def _at_least(what: str, value: float | None, bound: float) -> Verdict:
    rule = f"{what} at least {bound:g}"
    if value is None:
        return Verdict(False, rule, None, bound, f"Failed: {what} should be at least {bound:g}, but {_UNMEASURED}.")
    passed = value >= bound
    return Verdict(
        passed, rule, value, bound, f"{_word(passed)}: {what} is {value:.6g} and should be at least {bound:g}."
    )


def _not_below(
    what: str, value: float | None, baseline: str, metric: str, step: str, evaluation: dict[str, Any]
) -> Verdict:
    rule = f"{what} not below {baseline}"
    if baseline not in evaluation["baselines"]:
        if baseline == LAST_BLESSED:
            return Verdict(
                True, rule, value, None, f"Passed: {rule}: nothing to compare with yet, no release was blessed before."
            )
        known = ", ".join(evaluation["baselines"]) or "none"
        raise UsageError(f"rule on {step}: {baseline!r} is no baseline of this evaluation. Those there are: {known}")
    difference = _estimate(evaluation["differences"][baseline], metric, step)
    bound = evaluation["models"][baseline][metric]["mean"]
    if difference["high"] is None:
        return Verdict(False, rule, value, bound, f"Failed: {what} should not be below {baseline}, but {_UNMEASURED}.")
    passed = difference["high"] >= 0
    return Verdict(
        passed,
        rule,
        value,
        bound,
        f"{_word(passed)}: {what} is {value:.6g} and {baseline} has {bound:.6g}; the difference, "
        f"{difference['mean']:+.4g} (95% interval {difference['low']:+.4g} to {difference['high']:+.4g}), "
        "should not lie wholly below zero.",
    )


_UNMEASURED = "it could not be measured: no query has a value"


def _word(passed: bool) -> str:
    return "Passed" if passed else "Failed"


def _estimate(row: dict[str, Any], metric: str, step: str) -> dict[str, Any]:
    if metric not in row:
        raise UsageError(f"rule on {step}: {metric!r} was not measured here. Those that were: {', '.join(row)}")
    return row[metric]
