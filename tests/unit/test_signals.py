"""The names of what a ranker is told, and which of a user's names they leave."""

import pytest

from trainer.ranking import signals
from transform.features import Features


def features(user=None, item=None):
    return Features.model_validate({"user": user or {}, "item": item or {}})


def test_the_age_of_every_moment_is_a_signal():
    found = features({"joined": "timestamp", "age": "numeric"}, {"released": "timestamp", "year": "numeric"})
    assert signals.worked_out(found) == (*signals.SIGNALS, "days_since_joined", "days_since_released")
    assert signals.worked_out(features()) == signals.SIGNALS


def test_other_names_are_free():
    found = features(
        {"hours": "numeric", "days_since": "timestamp"}, {"score_of_b": "numeric", "released": "timestamp"}
    )
    signals.check(found, ["score_of_a", "rank_of_a"])


@pytest.mark.parametrize(
    ("user", "item", "told"),
    [
        *(({name: "numeric"}, {}, rf"^\['{name}'\] are names of what rankers are told") for name in signals.SIGNALS),
        ({}, {"score_of_a": "numeric"}, r"^\['score_of_a'\] are names"),
        ({"rank_of_a": "categorical"}, {"hour": "numeric"}, r"^\['hour', 'rank_of_a'\] are names"),
        ({}, {"met": "timestamp"}, "'met' would tell rankers 'days_since_met', which they are told already"),
        ({"last": "timestamp"}, {}, "'last' would tell rankers 'days_since_last'"),
        (
            {"days_since_x": "numeric"},
            {"x": "timestamp"},
            "'days_since_x' is a feature, and what rankers are told of 'x'",
        ),
        (
            {"days_since": {"kind": "numeric", "buckets": 2}},
            {"bucket": "timestamp"},
            "'days_since_bucket' is a feature",
        ),
    ],
)
def test_a_name_that_rankers_are_told_something_by_is_refused(user, item, told):
    with pytest.raises(ValueError, match=told) as caught:
        signals.check(features(user, item), ["score_of_a", "rank_of_a"])
    assert "Rename the feature in `columns`" in str(caught.value)
