"""Two fits side by side: one makes its choices by validation, and the other follows them."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from core import names
from core.errors import ModelError
from trainer.registry import Entry
from trainer.retrieval import fitting
from trainer.retrieval.choices import Choices
from trainer.retrieval.counts import popularity
from trainer.retrieval.counts.settings import PopularitySettings
from trainer.retrieval.inference import retrieve
from trainer.retrieval.registry import MODELS
from trainer.retrieval.two_tower import epochs
from trainer.retrieval.two_tower.settings import TwoTowerSettings

SEED = 7
TWO_TOWER = {"epochs": 4, "patience": 1, "dim": 8, "learning_rate": 0.02, "batch_size": 64}
MEMBERS = {label: {"model": "two_tower", **TWO_TOWER, "dim": dim} for label, dim in (("wide", 8), ("narrow", 4))}
PARAMS = {"two_tower": TWO_TOWER, "fusion": {"models": MEMBERS | {"ease": {}}, "learn_weights": True}, "ease": {}}


@pytest.fixture(scope="module")
def data(world):
    """Return the data of the first and of the later fit."""
    return world.retrieval_data(), world.events.data([names.TRAIN, names.EVAL], None)


# With two cores the fit that follows runs ahead for one two-tower, and waits for a fusion of two.
@pytest.mark.parametrize(("model", "cores"), [("two_tower", 2), ("fusion", 2), ("ease", 2), ("ease", 1)])
def test_the_later_model_is_that_of_a_fit_with_the_chosen_settings(world, data, model, cores, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    seen = []
    later = fitting.fit_both(model, MODELS.check(model, PARAMS[model]), *data, SEED, seen.append)
    [first] = seen
    alone = fitting.fit(model, first.settings, data[1], SEED)
    assert later.settings == first.settings == alone.settings
    assert answers(later, world) == answers(alone, world)


def test_a_fit_does_not_depend_on_another_that_begins_beside_it(data):
    settings, begun = TwoTowerSettings(**TWO_TOWER | {"epochs": 2, "dropout": 0.5}), threading.Event()
    other = threading.Thread(target=lambda: begun.wait() and fitting.fit("two_tower", settings, data[1], SEED))

    class Late(Choices):
        """Choices for which a fit asks after its first epoch; the other fit then begins and ends."""

        def known(self):
            begun.set()
            other.join()
            return super().known()

    alone = fitting.fit("two_tower", settings, data[1], SEED)
    choices = Late(ahead=True)
    choices.publish(settings)
    other.start()
    beside = fitting.fit("two_tower", settings, replace(data[1], choices=choices), SEED)
    np.testing.assert_array_equal(beside.embeddings.numpy(), alone.embeddings.numpy())


def answers(model, world):
    """Return the lists of some users by the signature `retrieve`."""
    queries = world.query_set([names.TRAIN], names.EVAL)
    return retrieve(model.signatures()["retrieve"], queries, world.features.user, 20, 10).rows.tolist()


class DaysSettings(PopularitySettings):
    """Popularity of a number of days that validation chooses."""


def fit_days(settings, data, seed):
    """Fit popularity; choose 300 days if there are validation queries."""
    if data.validation is not None:
        settings = settings.model_copy(update={"window_days": 300})
    return popularity.fit(settings, data, seed)


def test_a_model_that_knows_nothing_of_the_other_fit_gets_its_choices(data, monkeypatch):
    entry = Entry("days", f"{fit_days.__module__}:fit_days", DaysSettings, {"events"})
    monkeypatch.setitem(MODELS.entries, "days", entry)
    monkeypatch.setitem(sys.modules, fit_days.__module__, sys.modules[__name__])
    seen = []
    later = fitting.fit_both("days", DaysSettings(), *data, SEED, seen.append)
    assert later.settings == seen[0].settings == DaysSettings(window_days=300)


def test_a_failure_is_known_to_all_members():
    choices = Choices(ahead=True)
    before, ended = choices.member("a"), choices.member("b")
    ended.publish(TwoTowerSettings(epochs=3))
    choices.fail(ModelError("no queries"))
    for each in (choices, before, choices.member("c")):
        with pytest.raises(ModelError, match="no queries"):
            each.settings()
    assert ended.settings().epochs == 3


@pytest.mark.parametrize("cores", [1, 2])
def test_an_error_of_the_first_fit_ends_both(data, cores, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))
    first, later = data
    nothing = replace(first, validation=first.validation.take(np.arange(0)))
    before = threading.active_count()
    with pytest.raises(ModelError, match="relevant items"):
        fitting.fit_both("two_tower", TwoTowerSettings(**TWO_TOWER), nothing, later, SEED, lambda model: None)
    assert threading.active_count() == before


# ---- the epoch that is kept ----


class Fit:
    """A layer with one weight, the number of the latest epoch, and a fit that may follow another one."""

    def __init__(self, n_epochs):
        self.towers = tf.keras.layers.Dense(1, use_bias=False)
        self.towers.build([None, 1])
        self.choices = Choices(ahead=True)
        self.kept = epochs.ChosenEpoch(self.towers, n_epochs, self.choices)
        self.made = 0

    def choose(self, epoch):
        self.choices.publish(TwoTowerSettings(epochs=epoch))

    def run(self, n_epochs, known_after=None, epoch=None):
        """Make up to `n_epochs`, and return the weight that is kept; `epoch` is chosen after `known_after` epochs."""
        for number in range(1, n_epochs + 1):
            self.made = number
            self.towers.set_weights([np.array([[number]], np.float32)])
            self.kept.update(number, 0.0)
            if number == known_after:
                self.choose(epoch)
            if self.kept.is_past(number):
                break
        self.kept.restore()
        return float(self.towers.get_weights()[0][0, 0])


@pytest.mark.parametrize(("known_after", "made"), [(2, 4), (4, 4), (6, 6)])
def test_the_chosen_epoch_is_kept_however_far_the_fit_is(known_after, made):
    fit = Fit(9)
    assert fit.run(9, known_after, epoch=4) == 4
    assert fit.made == made
    assert [row["epoch"] for row in fit.kept.curve] == [1, 2, 3, 4]


def test_a_fit_that_has_made_all_epochs_waits():
    fit = Fit(3)
    threading.Timer(0.05, fit.choose, [2]).start()
    assert fit.run(3) == 2


def test_a_fit_with_large_weights_waits_before_its_second_epoch(monkeypatch):
    monkeypatch.setattr(epochs, "MOST_BYTES", 4)
    fit = Fit(9)
    threading.Timer(0.05, fit.choose, [2]).start()
    assert fit.run(9) == 2
    assert fit.made == 2
    assert list(fit.kept.weights) == [2]
