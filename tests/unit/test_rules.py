"""Every way a rule can pass, fail, or be wrong."""

import pytest

from components.recommender_evaluator import rules
from core.errors import UsageError


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "queries": 100 if mean is not None else 0}


def evaluation(difference=(0.05, 0.01, 0.09), value=0.15):
    """A subject and one baseline; `ndcg@10` is compared, `gini@10` has no paired difference."""
    base = None if value is None else value - difference[0]
    return {
        "subject": "model",
        "baselines": ["popularity"],
        "models": {
            "model": {"ndcg@10": estimate(value), "gini@10": estimate(0.5)},
            "popularity": {"ndcg@10": estimate(base), "gini@10": estimate(0.9)},
        },
        "differences": {"popularity": {"ndcg@10": estimate(*difference)}},
    }


def rule(metric="ndcg@10", step="two_step", at_least=None, not_below=None):
    return {"step": step, "metric": metric, "at_least": at_least, "not_below": not_below}


def verdict(one_rule, one_evaluation=None):
    (found,) = rules.check([one_rule], {"two_step": one_evaluation or evaluation()})
    return found


@pytest.mark.parametrize(("bound", "passed"), [(0.1, True), (0.15, True), (0.150001, False), (0, True)])
def test_at_least(bound, passed):
    found = verdict(rule(at_least=bound))
    assert (found.passed, found.value, found.bound) == (passed, 0.15, bound)
    assert found.rule == f"two_step ndcg@10 at least {bound:g}"
    assert found.sentence.startswith("Passed" if passed else "Failed")
    assert "two_step ndcg@10 is 0.15 and should be at least" in found.sentence


@pytest.mark.parametrize(
    ("difference", "passed"),
    [
        ((0.05, 0.01, 0.09), True),
        ((-0.01, -0.05, 0.02), True),  # below, but not significantly
        ((0.0, 0.0, 0.0), True),
        ((-0.02, -0.04, 0.0), True),
        ((-0.05, -0.09, -0.0001), False),
    ],
)
def test_not_below(difference, passed):
    found = verdict(rule(not_below="popularity"), evaluation(difference))
    assert found.passed is passed
    assert found.value == 0.15
    assert found.bound == pytest.approx(0.15 - difference[0])
    assert found.rule == "two_step ndcg@10 not below popularity"
    for part in ("Passed" if passed else "Failed", "0.15", f"{difference[1]:+.4g} to {difference[2]:+.4g}"):
        assert part in found.sentence


def test_the_first_run_has_nothing_to_compare_with():
    found = verdict(rule(not_below="last_blessed"))
    assert found.passed
    assert (found.value, found.bound) == (0.15, None)
    assert "nothing to compare with yet" in found.sentence


def test_the_last_blessed_release_is_compared_where_there_is_one():
    later = evaluation((-0.05, -0.09, -0.01))
    for part in ("models", "differences"):
        later[part]["last_blessed"] = later[part].pop("popularity")
    later["baselines"] = ["last_blessed"]
    assert not verdict(rule(not_below="last_blessed"), later).passed


@pytest.mark.parametrize("bound", [{"at_least": 0.0}, {"not_below": "popularity"}])
def test_what_could_not_be_measured_fails(bound):
    found = verdict(rule(**bound), evaluation((None, None, None), None))
    assert not found.passed
    assert found.value is None
    assert "could not be measured" in found.sentence


def test_a_verdict_a_rule_in_order_each_of_its_own_step():
    both = {"retrieval": evaluation(value=0.4), "two_step": evaluation()}
    found = rules.check([rule(at_least=0.2, step="retrieval"), rule(at_least=0.2)], both)
    assert [one.passed for one in found] == [True, False]
    assert rules.check([], both) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (rule("mystery@10", at_least=0.1), "one of precision, recall.*found 'mystery@10'"),
        (rule("ndcg@7", at_least=0.1), "'ndcg@7' was not measured here.*ndcg@10"),
        (rule(not_below="item_knn"), "'item_knn' is no baseline.*popularity"),
        (rule("gini@10", not_below="popularity"), "'gini@10' was not measured here.*ndcg@10"),
        (rule(step="retrieval", at_least=0.1), "retrieval: there is no such evaluation.*two_step"),
    ],
)
def test_a_rule_that_cannot_be_held_names_what_is_there(wrong, message):
    with pytest.raises(UsageError, match=message):
        verdict(wrong)
