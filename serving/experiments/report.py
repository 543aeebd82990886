"""The report of an experiment: each arm's mean reward by several estimators, and its difference to the champion."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.experiments.estimators import ESTIMATORS, Estimate, Log
from serving.experiments.settings import Experiment

FAR = 4.0  # how many standard deviations the users of an arm may be from their share


@dataclass(frozen=True)
class ArmReport:
    """What the log says of an arm.

    Args:
      label, share: those of the settings.
      answers, users: the number of its answers, and of their users.
      estimates: estimator → the mean reward of an answer.
      differences: estimator → the estimate less that of the champion; empty for the champion.
    """

    label: str
    share: float
    answers: int
    users: int
    estimates: dict[str, Estimate]
    differences: dict[str, Estimate]


def made(log: Log, experiment: Experiment) -> list[ArmReport]:
    """Return the report of each arm, in the order of the settings."""
    estimates = [
        {name: estimator(log, arm) for name, estimator in ESTIMATORS.items()} for arm in range(len(experiment.arms))
    ]
    champion = estimates[experiment.champion]
    return [
        ArmReport(
            label=arm.label,
            share=arm.share,
            answers=int((log.arm == number).sum()),
            users=len(np.unique(log.user[log.arm == number])),
            estimates=own,
            differences={} if own is champion else {name: each.minus(champion[name]) for name, each in own.items()},
        )
        for number, (arm, own) in enumerate(zip(experiment.arms, estimates, strict=True))
    ]


def far_from_shares(arms: list[ArmReport]) -> list[str]:
    """Return the labels of the arms whose number of users is unlikely with their share.

    The split is then not the one that the propensities say: shares were changed, or answers are missing from the log.
    """
    users = sum(each.users for each in arms)
    return [
        each.label
        for each in arms
        if abs(each.users - users * each.share) > FAR * math.sqrt(users * each.share * (1 - each.share))
    ]


def as_json(arm: ArmReport) -> dict[str, Any]:
    """Return the report of an arm as values of JSON; null for a number that the log does not give."""
    return {
        "arm": arm.label,
        "share": arm.share,
        "answers": arm.answers,
        "users": arm.users,
        "reward": {name: _values(each) for name, each in arm.estimates.items()},
        "difference": {name: _values(each) for name, each in arm.differences.items()},
    }


def as_text(arms: list[ArmReport]) -> list[str]:
    """Return the lines of a table."""
    heads = {"mean": "mean", "ips": "IPS", "snips": "SNIPS", "dr": "DR"}
    rows = [["arm", "answers", "users", *heads.values()]]
    rows += [
        [each.label, f"{each.answers:,}", f"{each.users:,}", *(_text(each.estimates[name]) for name in heads)]
        for each in arms
    ]
    rows += [
        [f"{each.label} - champion", "", "", *(_text(each.differences[name], "+") for name in heads)]
        for each in arms
        if each.differences
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _values(estimate: Estimate) -> dict[str, float | None]:
    numbers = dict(zip(("value", "low", "high"), (estimate.value, *estimate.interval), strict=True))
    return {name: None if math.isnan(number) else number for name, number in numbers.items()}


def _text(estimate: Estimate, sign: str = "") -> str:
    low, high = estimate.interval
    if math.isnan(estimate.value):
        return "-"
    return f"{estimate.value:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"
