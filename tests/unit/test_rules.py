"""The rules of a release: all ways in which a rule passes, fails, or has an error."""

import pytest
from facts import facts, lacking

from components.recommender_evaluator import rules
from components.recommender_evaluator.settings import Rule
from core.errors import UsageError
from pipeline.config.evaluation import Evaluation


def estimate(mean, low=None, high=None):
    return {"mean": mean, "low": low, "high": high, "queries": 100 if mean is not None else 0}


def evaluation(difference=(0.05, 0.01, 0.09), value=0.15):
    """Return the evaluation of a subject and one baseline; `gini@10` has no paired difference."""
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


def rule(metric="ndcg@10", step="two_step", **bound):
    return Rule(step=step, metric=metric, **bound)


def verdict(one_rule, one_evaluation=None):
    (found,) = rules.check([one_rule], {"two_step": one_evaluation or evaluation()})
    return found


@pytest.mark.parametrize(("bound", "passed"), [(0.1, True), (0.15, True), (0.150001, False), (0, True)])
def test_at_least(bound, passed):
    found = verdict(rule(at_least=bound))
    assert (found.passed, found.value, found.bound) == (passed, 0.15, bound)
    assert found.rule == f"two_step ndcg@10 at least {bound:g}"
    assert found.sentence.startswith("Passed" if passed else "Failed")
    assert lacking(found.sentence, f"two_step ndcg@10 … 0.15 … {bound:g}") == []


@pytest.mark.parametrize(
    ("difference", "passed"),
    [
        ((0.05, 0.01, 0.09), True),
        ((-0.01, -0.05, 0.02), True),  # lower, but the interval includes 0
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
    found = verdict(rule(not_below="in_force"))
    assert found.passed
    assert (found.value, found.bound) == (0.15, None)
    assert lacking(found.sentence, "ndcg@10 … compare") == []


def test_the_in_force_release_is_compared_where_there_is_one():
    later = evaluation((-0.05, -0.09, -0.01))
    for part in ("models", "differences"):
        later[part]["in_force"] = later[part].pop("popularity")
    later["baselines"] = ["in_force"]
    assert not verdict(rule(not_below="in_force"), later).passed


@pytest.mark.parametrize("bound", [{"at_least": 0.0}, {"not_below": "popularity"}])
def test_what_could_not_be_measured_fails(bound):
    found = verdict(rule(**bound), evaluation((None, None, None), None))
    assert not found.passed
    assert found.value is None
    assert "measured" in found.sentence


@pytest.mark.parametrize(("bound", "passed"), [(0.6, True), (0.5, True), (0.49, False)])
def test_at_most(bound, passed):
    found = verdict(rule("gini@10", at_most=bound))
    assert (found.passed, found.value, found.bound) == (passed, 0.5, bound)
    assert found.rule == f"two_step gini@10 at most {bound:g}"
    assert lacking(found.sentence, f"two_step gini@10 … 0.5 … at most {bound:g}") == []


def after(before, now=0.15):
    """Return an evaluation that compares the models with a release in force."""
    later = evaluation(value=now)
    later["baselines"].append("in_force")
    later["models"]["in_force"] = {"ndcg@10": estimate(before), "gini@10": estimate(0.4)}
    later["differences"]["in_force"] = {"ndcg@10": estimate(0.0, 0.0, 0.0)}
    return later


@pytest.mark.parametrize(
    ("bound", "passed", "message"),
    [
        ({"change_at_least": -0.02}, True, "-0.01 … -0.02"),
        ({"change_at_least": -0.005}, False, "-0.01 … -0.005"),
        ({"change_at_least": 0.0}, False, "-0.01 … +0"),
        ({"relative_change_at_least": -0.07}, True, "-6.25% … -7%"),
        ({"relative_change_at_least": -0.06}, False, "-6.25% … -6%"),
    ],
)
def test_change(bound, passed, message):
    found = verdict(rule(**bound), after(0.16))
    assert (found.passed, found.value, found.bound) == (passed, 0.15, 0.16)
    assert found.sentence.startswith("Passed: " if passed else "Failed: ")
    assert lacking(found.sentence, f"0.15 … in_force … 0.16 … {message}") == []


def test_change_of_a_metric_of_all_lists():
    found = verdict(rule("gini@10", change_at_least=0.05), after(0.16))
    assert found.passed
    assert found.bound == 0.4


@pytest.mark.parametrize("bound", [{"change_at_least": -0.1}, {"relative_change_at_least": -0.1}])
def test_change_without_anything_to_compare_with(bound):
    assert verdict(rule(**bound)).passed
    assert "in force" in verdict(rule(**bound)).sentence
    for now, before in ((None, 0.1), (0.1, None)):
        found = verdict(rule(**bound), after(before, now))
        assert not found.passed
        assert "measured" in found.sentence
    unmeasured = verdict(rule(**bound), evaluation((None, None, None), None))
    assert not unmeasured.passed


def test_of_nothing_there_is_no_share():
    found = verdict(rule(relative_change_at_least=-0.5), after(0.0))
    assert not found.passed
    assert lacking(found.sentence, "0 … relative … `change_at_least`") == []
    assert verdict(rule(change_at_least=-0.5), after(0.0)).passed


@pytest.mark.parametrize("bound", [{"not_below": "in_force"}, {"change_at_least": 0.0}])
def test_the_reason_for_a_missing_comparison_is_reported(bound):
    found = verdict(rule(**bound), evaluation() | {"not_compared": {"in_force": "it takes other features"}})
    assert found.passed
    assert "it takes other features" in found.sentence


def sliced(queries=40, compared=True):
    part = {"name": "user:cold", "of": "queries", "queries": queries, "metrics": {"ndcg@10": estimate(0.05)}}
    if compared:
        models = {"popularity": {"ndcg@10": estimate(0.09)}, "in_force": {"ndcg@10": estimate(0.06)}}
        part |= {"models": {"model": part["metrics"]} | models}
        part |= {"differences": {"popularity": {"ndcg@10": estimate(-0.04, -0.06, -0.02)}}}
    return after(0.16) | {"slices": [part]}


@pytest.mark.parametrize(
    ("bound", "passed"),
    [
        ({"at_least": 0.05}, True),
        ({"at_least": 0.1}, False),
        ({"at_most": 0.1}, True),
        ({"at_most": 0.01}, False),
        ({"not_below": "popularity"}, False),
        ({"change_at_least": -0.02}, True),
        ({"relative_change_at_least": -0.1}, False),
    ],
)
def test_a_rule_of_a_slice_looks_at_it_alone(bound, passed):
    found = verdict(rule(**bound, slice="user:cold"), sliced())
    assert (found.passed, found.value) == (passed, 0.05)
    assert found.rule.startswith("two_step ndcg@10 of user:cold ")


@pytest.mark.parametrize("bound", [{"at_least": 0.0}, {"at_most": 9.0}, {"not_below": "in_force"}])
def test_an_empty_or_missing_slice_fails(bound):
    for name, one in (("user:cold", sliced(queries=0)), ("gender=F", sliced())):
        found = verdict(rule(**bound, slice=name), one)
        assert not found.passed
        assert found.value is None
        assert f"of {name}" in found.rule
        assert lacking(found.sentence, f"{name} … slice") == []


def test_a_slice_that_was_not_compared_cannot_be():
    with pytest.raises(UsageError, match=facts("ndcg@10 of user:cold … comparison")):
        verdict(rule(not_below="popularity", slice="user:cold"), sliced(compared=False))


def test_which_slices_are_compared():
    wanted = [
        rule(at_least=0.1, slice="user:warm"),
        rule(not_below="popularity", slice="user:cold"),
        rule("recall@10", change_at_least=0.0, step="retrieval", slice="item:tail"),
        rule(relative_change_at_least=0.0),
    ]
    assert rules.compared_slices(wanted, "two_step") == {"user:cold"}
    assert rules.compared_slices(wanted, "retrieval") == {"item:tail"}


def test_a_verdict_a_rule_in_order_each_of_its_own_step():
    both = {"retrieval": evaluation(value=0.4), "two_step": evaluation()}
    found = rules.check([rule(at_least=0.2, step="retrieval"), rule(at_least=0.2)], both)
    assert [one.passed for one in found] == [True, False]
    assert rules.check([], both) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (rule("ndcg@7", at_least=0.1), "'ndcg@7' … ndcg@10"),
        (rule(not_below="item_knn"), "'item_knn' … baseline … popularity"),
        (rule(step="retrieval", at_least=0.1), "retrieval … evaluation … two_step"),
    ],
)
def test_a_rule_that_cannot_be_held_names_what_is_there(wrong, message):
    with pytest.raises(UsageError, match=facts(message)):
        verdict(wrong)


@pytest.mark.parametrize(("least", "passed"), [(29, True), (30, True), (31, False)])
def test_a_release_is_judged_by_enough_queries(least, passed):
    found = rules.enough_queries(least, {"queries": 99, "queries_with_relevant": 30})
    assert (found.passed, found.value, found.bound) == (passed, 30, least)
    assert ("evaluation.min_queries" in found.sentence) != passed


def test_lists_that_find_nothing_are_held_back():
    nothing = {"ndcg@10": estimate(0.0, 0.0, 0.0)}
    found = evaluation() | {
        "models": {"two_step": nothing, "popularity": nothing, "item_knn": nothing, "retrieval": nothing},
        "differences": {"popularity": nothing, "item_knn": nothing, "retrieval": nothing},
        "baselines": ["popularity", "item_knn", "retrieval"],
        "subject": "two_step",
    }
    verdicts = rules.check(Evaluation(at=(10,)).conditions, {"two_step": found})
    assert [verdict.passed for verdict in verdicts] == [False, True, True, True, True]


def test_lists_that_are_worse_than_item_knn_are_held_back():
    def row(mean):
        return {"ndcg@10": estimate(mean)}

    worse = {"ndcg@10": estimate(-0.02, -0.03, -0.01)}
    even = {"ndcg@10": estimate(0.0, -0.01, 0.01)}
    found = evaluation() | {
        "models": {"two_step": row(0.1), "popularity": row(0.1), "item_knn": row(0.12), "retrieval": row(0.1)},
        "differences": {"popularity": even, "item_knn": worse, "retrieval": even},
        "baselines": ["popularity", "item_knn", "retrieval"],
        "subject": "two_step",
    }
    verdicts = rules.check(Evaluation(at=(10,)).conditions, {"two_step": found})
    assert {verdict.rule for verdict in verdicts if not verdict.passed} == {"two_step ndcg@10 not below item_knn"}
