"""The names of the rankers' signals, and the feature names that they forbid."""

import pytest
from facts import facts

from trainer.ranking import signals
from transform.features import Features


def features(user=None, item=None):
    return Features.model_validate({"user": user or {}, "item": item or {}})


def test_the_age_of_every_timestamp_is_a_signal():
    found = features({"joined": "timestamp", "age": "numeric"}, {"released": "timestamp", "year": "numeric"})
    assert signals.computed_signals(found) == (*signals.SIGNALS, "days_since_joined", "days_since_released")
    assert signals.computed_signals(features()) == signals.SIGNALS


def test_other_names_are_free():
    found = features(
        {"hours": "numeric", "days_since": "timestamp"}, {"score_of_b": "numeric", "released": "timestamp"}
    )
    signals.check(found, ["score_of_a", "rank_of_a"])


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [
        *(({name: "numeric"}, {}, f"['{name}'] … signals") for name in signals.SIGNALS),
        ({}, {"score_of_a": "numeric"}, "['score_of_a'] … signals"),
        ({"rank_of_a": "categorical"}, {"hour": "numeric"}, "['hour', 'rank_of_a'] … signals"),
        (
            {},
            {"interaction": "timestamp"},
            "'interaction' … signal 'days_since_interaction'",
        ),
        ({"last_event": "timestamp"}, {}, "'last_event' … signal 'days_since_last_event'"),
        (
            {"days_since_x": "numeric"},
            {"x": "timestamp"},
            "'x' … signal 'days_since_x' … feature",
        ),
        (
            {"days_since": {"kind": "numeric", "buckets": 2}},
            {"bucket": "timestamp"},
            "'bucket' … signal 'days_since_bucket' … feature",
        ),
    ],
)
def test_the_name_of_a_signal_is_refused(user, item, message):
    with pytest.raises(ValueError, match=facts(message)) as caught:
        signals.check(features(user, item), ["score_of_a", "rank_of_a"])
    assert "`columns`" in str(caught.value)
