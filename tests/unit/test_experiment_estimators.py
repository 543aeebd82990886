"""The estimators of experiments: their intervals by simulation, and the split of users."""

import numpy as np
import pytest

from serving.experiments import assignment
from serving.experiments.estimators import ESTIMATORS, Log, doubly_robust, ips, on_arm_mean, snips

LOGS, USERS = 200, 3000
TRUTH = (1.0, 1.3)  # the mean rewards of the simulated arms


def simulated(seed):
    """Return a log whose propensities of arm 1 are skewed, from 0.04 to 0.8, and depend on what rewards depend on."""
    chance = np.random.default_rng(seed)
    feature, own = chance.normal(size=(2, USERS))
    propensity = np.clip(0.12 * np.exp(feature), 0.04, 0.8)
    arm = (chance.random(USERS) < propensity).astype(int)
    answers = 1 + chance.poisson(2, USERS)
    user = np.repeat(np.arange(USERS), answers)
    means = np.array(TRUTH)[arm] + 0.6 * feature * (1 + arm) + 0.8 * own
    reward = means[user] + chance.exponential(size=len(user)) - 1
    taken = np.where(arm == 1, propensity, 1 - propensity)
    noise = chance.normal(size=len(user))
    return Log(user, arm[user], taken[user], reward, np.column_stack([feature[user], noise]))


@pytest.fixture(scope="module")
def logs():
    return [simulated(seed) for seed in range(LOGS)]


def coverage(estimates, truth):
    return np.mean([low <= truth <= high for low, high in (each.interval for each in estimates)])


@pytest.mark.parametrize("estimator", [ips, snips, doubly_robust])
def test_the_interval_covers_the_truth(logs, estimator):
    first, second = ([estimator(log, arm) for log in logs] for arm in (0, 1))
    assert 0.93 <= coverage(first, TRUTH[0]) <= 0.99
    assert 0.93 <= coverage(second, TRUTH[1]) <= 0.99
    differences = [after.minus(before) for before, after in zip(first, second, strict=True)]
    assert 0.93 <= coverage(differences, TRUTH[1] - TRUTH[0]) <= 0.99


def test_the_mean_of_the_arms_own_answers_is_biased_where_propensities_depend_on_users(logs):
    assert coverage([on_arm_mean(log, 1) for log in logs], TRUTH[1]) < 0.1


@pytest.mark.parametrize("estimator", [ips, snips, doubly_robust])
def test_answers_taken_as_independent_make_the_interval_too_narrow(logs, estimator):
    alone = [Log(np.arange(len(log)), log.arm, log.propensity, log.reward, log.features) for log in logs]
    assert coverage([estimator(log, 1) for log in alone], TRUTH[1]) < 0.9


def test_the_reward_model_narrows_the_interval(logs):
    errors = {name: np.mean([each(log, 1).error for log in logs[:20]]) for name, each in ESTIMATORS.items()}
    assert errors["dr"] < 0.9 * min(errors["ips"], errors["snips"])


def test_estimates_by_hand():
    user, arm = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 0])
    log = Log(user, arm, np.array([0.5, 0.5, 0.5, 0.25]), np.array([1.0, 2.0, 5.0, 3.0]), np.zeros((4, 1)))
    assert ips(log, 0).value == pytest.approx((2 + 4 + 12) / 4)
    assert snips(log, 0).value == pytest.approx(18 / 8)
    assert on_arm_mean(log, 0).value == pytest.approx(2)
    # by users: (1 - 2) + (2 - 2), none, and 3 - 2, over 3 answers; 3 users
    assert on_arm_mean(log, 0).influence == pytest.approx([-1 / 3, 0, 1 / 3])
    assert on_arm_mean(log, 0).error == pytest.approx(np.sqrt(3 / 2 * 2 / 9))
    difference = ips(log, 0).minus(ips(log, 1))
    assert difference.value == pytest.approx(4.5 - 2.5)
    # 4 times what each user contributes: 6 - 2 * 4.5 less -2 * 2.5, -4.5 less 10 - 2.5, and 12 - 4.5 less -2.5
    assert difference.influence * 4 == pytest.approx([2, -12, 10])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_arm_without_answers_has_no_estimate(name):
    log = Log(np.array([0, 1]), np.zeros(2, int), np.full(2, 0.5), np.ones(2), np.zeros((2, 1)))
    assert np.isnan(ESTIMATORS[name](log, 1).value)
    assert np.isnan(ESTIMATORS[name](log, 1).interval).all()
    [low, high] = ESTIMATORS[name](log, 0).interval
    assert low <= high


# ---- the split of users ----


def test_the_arm_of_a_user_never_changes():
    shares = (0.2, 0.5, 0.3)
    assert [assignment.arm("prices", user, shares) for user in ("1", "2", "3", "Ζ\U0001f600", "")] == [1, 1, 1, 2, 1]
    assert assignment.position("prices", "1") == pytest.approx(0.6011222671981006, abs=1e-15)


def test_arms_have_their_shares_and_experiments_are_independent():
    users, shares = [f"user {number}" for number in range(20_000)], (0.1, 0.6, 0.3)
    first = np.array([assignment.arm("first", user, shares) for user in users])
    second = np.array([assignment.arm("second", user, shares) for user in users])
    assert np.bincount(first, minlength=3) / len(users) == pytest.approx(shares, abs=0.015)
    both = np.histogram2d(first, second, bins=3)[0] / len(users)
    assert both == pytest.approx(np.outer(shares, shares), abs=0.015)


def test_a_larger_share_moves_users_into_the_arm_only():
    users = [f"user {number}" for number in range(2000)]
    before, after = ([assignment.arm("e", user, (share, 1 - share)) for user in users] for share in (0.3, 0.5))
    assert all(new == 0 for old, new in zip(before, after, strict=True) if old == 0)
