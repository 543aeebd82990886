"""The search for the settings of a model: the order of trials, failed trials, and resuming from records."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from facts import lacking
from pydantic import Field

from core import names, progress
from core.errors import ModelError
from core.examples import shard_path, write_examples
from core.query_settings import QuerySettings, WindowSettings
from core.settings import Settings
from trainer.retrieval.registry import MODELS as RETRIEVAL
from trainer.retrieval.validation import Validation
from trainer.step_settings import RankingStepSettings, RetrievalStepSettings, TunerSettings, custom_config
from trainer.steps import REGISTRIES
from trainer.tuning import space
from trainer.tuning.records import Records
from trainer.tuning.search import MOST_FAILURES, Proposals, Search
from trainer.tuning.space import among, between
from trainer.tuning.tuner_fn import tuner_fn
from transform.features import Features


class Model(Settings):
    """Settings whose best values are size 30, rate 0.3 and kind b."""

    size: int = Field(8, ge=1, json_schema_extra=between(4, 64, log=True))
    rate: float = Field(0.02, gt=0, json_schema_extra=between(0.01, 1, log=True))
    kind: str = Field("a", json_schema_extra=among("a", "b", "c"))


def score(settings: Model) -> float:
    away = np.log(settings.size / 30) ** 2 + np.log(settings.rate / 0.3) ** 2 / 4
    return float(np.exp(-away) * {"a": 0.5, "b": 0.6, "c": 0.4}[settings.kind])


class Run:
    """A search over `Model`; `measured` holds the settings that were measured, `said` the progress reports."""

    def __init__(self, folder, records="records", trials=12, seed=3, minutes=None, measure=score, changes=()):
        self.measured, self.said = [], []
        found = space.resolve(Model(), dict(changes))

        def counted(settings: Model) -> float:
            self.measured.append(settings)
            return measure(settings)

        self.search = Search(
            Proposals(found, {name: getattr(Model(), name) for name in found}, trials, seed),
            settings_of=lambda params: Model(**params),
            measure=counted,
            records=Records(folder / records),
            minutes=minutes,
            directory=str(folder / "work"),
        )

    def go(self) -> "Run":
        with progress.listening(self.said.append):
            self.search.search()
        return self

    def order(self) -> list[tuple[dict, float | None]]:
        trials = sorted(self.search.oracle.trials.values(), key=lambda trial: trial.trial_id)
        return [(trial.hyperparameters.values, trial.score) for trial in trials]


def test_the_configured_settings_come_first_and_nothing_comes_twice(tmp_path):
    run = Run(tmp_path, trials=30).go()
    assert run.measured[0] == Model()
    assert len(run.measured) == 30
    assert len({settings.model_dump_json() for settings in run.measured}) == 30
    for settings in run.measured:
        assert 4 <= settings.size <= 64
        assert 0.01 <= settings.rate <= 1
        assert settings.rate == float(f"{settings.rate:.3g}")
    assert run.said[0].startswith("trial 1/30: size 8, rate 0.02, kind a: NDCG@10 0.")


def test_what_is_known_leads_to_the_best(tmp_path):
    run = Run(tmp_path, trials=30).go()
    scores = [value for _, value in run.order()]
    assert max(scores) > 0.57 > max(scores[:7])
    assert np.mean(scores[10:]) > 2 * np.mean(scores[:7])


def test_one_seed_gives_one_search(tmp_path):
    first, again = (Run(tmp_path / name, trials=12).go().order() for name in ("first", "again"))
    other = Run(tmp_path / "other", trials=12, seed=4).go().order()
    assert first == again
    assert first[0] == other[0]
    assert first[1] != other[1]


def test_a_search_that_was_stopped_goes_on_to_the_same_end(tmp_path):
    whole = Run(tmp_path / "whole").go()

    def stopping(settings: Model) -> float:
        if len(stopped.measured) == 10:  # after the random trials
            raise KeyboardInterrupt
        return score(settings)

    stopped = Run(tmp_path / "stopped", measure=stopping)
    with pytest.raises(KeyboardInterrupt):
        stopped.go()
    assert len(Records(tmp_path / "stopped" / "records").all()) == 9
    resumed = Run(tmp_path / "stopped").go()
    assert resumed.order() == whole.order()
    assert resumed.measured == whole.measured[9:]
    assert " s earlier" in resumed.said[0]
    assert " s earlier" not in resumed.said[-1]


def test_more_trials_begin_with_those_of_a_shorter_search(tmp_path):
    short = Run(tmp_path, trials=9).go()
    longer = Run(tmp_path, trials=12).go()
    assert longer.order()[:9] == short.order()
    assert len(longer.measured) == 3


def test_a_small_space_ends_when_all_of_it_was_tried(tmp_path):
    run = Run(tmp_path, trials=20, changes={"size": None, "rate": None}).go()
    assert {settings.kind for settings in run.measured} == {"a", "b", "c"}
    assert len(run.measured) == 3


def test_a_failed_trial_is_reported_and_the_search_continues(tmp_path):
    def failing(settings: Model) -> float:
        if settings.kind == "c":
            raise MemoryError("no room\nfor it")
        return score(settings)

    run = Run(tmp_path, measure=failing).go()
    failed = [line for line in run.said if "failed" in line]
    assert 0 < len(failed) < 12
    assert lacking(failed[0], "kind c … MemoryError: no room for it") == []
    assert len(run.order()) == 12
    assert {trial.params["kind"] for trial in Records(tmp_path / "records").all()} <= {"a", "b"}


def test_failures_that_do_not_end_end_the_search(tmp_path):
    def failing(settings: Model) -> float:
        if settings != Model():
            raise ValueError("never")
        return score(settings)

    with pytest.raises(ModelError, match=rf"\b{MOST_FAILURES} trials.*ValueError: never"):
        Run(tmp_path, measure=failing).go()

    def broken(settings: Model) -> float:
        raise ValueError("never")

    with pytest.raises(ModelError, match=r"all trials.*ValueError: never"):
        Run(tmp_path / "all", measure=broken, trials=2).go()


def test_no_trial_begins_when_the_time_is_up(tmp_path):
    assert len(Run(tmp_path, minutes=1e-9).go().order()) == 1


# ---- searches over registered models ----


@pytest.fixture(scope="module")
def without_test(world, tmp_path_factory):
    """Return the joined events with an unreadable test split."""
    uri = tmp_path_factory.mktemp("tuning") / "events"
    shutil.copytree(world.events.uri, uri)
    shutil.rmtree(uri / f"Split-{names.TEST}")
    return uri


def arguments(world, uri, folder, step, model, params, changes):
    """Return the arguments that TFX passes to `tuner_fn`."""
    found = space.resolve(REGISTRIES[step].check(model, params), changes)
    common = {"model": model, "params": params, "features": world.features, "seed": world.seed}
    queries = QuerySettings(unit="user", exclude_seen=True, in_time=True)
    windows = WindowSettings(count=0, of_each_user=True)
    of_step = {
        "retrieval": RetrievalStepSettings(**common, queries=queries, max_queries=10_000, windows=windows),
        "ranking": RankingStepSettings(**common, signals=()),
    }[step]
    settings = TunerSettings(
        step=step,
        **{step: of_step},
        space={name: each.model_dump(mode="json") for name, each in found.items()},
        trials=3,
        minutes=None,
        folder=None,
    )
    return SimpleNamespace(
        train_files=[f"{uri}/Split-{names.TRAIN}/*"],
        transform_graph_path=str(world.transform_folder),
        working_dir=str(folder),
        custom_config=custom_config(settings, code=""),
    )


def scores(tuner):
    tuner.search()
    trials = sorted(tuner.oracle.trials.values(), key=lambda trial: trial.trial_id)
    assert [trial.status for trial in trials] == ["COMPLETED"] * 3, [trial.message for trial in trials]
    return [trial.score for trial in trials]


@pytest.mark.parametrize(
    ("model", "params", "changes"),
    [
        ("ials", {"factors": 4, "iterations": 2}, {"factors": [4, 8]}),
        ("two_tower", {"epochs": 1}, {"hidden": [[], [8]]}),
    ],
)
def test_a_retrieval_model_is_judged_as_its_early_fit_is_and_test_is_never_read(
    world, without_test, tmp_path, model, params, changes
):
    result = tuner_fn(arguments(world, without_test, tmp_path, "retrieval", model, params, changes))
    found = scores(result.tuner)
    # The trainer gets features sorted by name, and the initial weights depend on the order of the features.
    features = Features.model_validate_json(world.features.canonical_json())
    data = replace(world.retrieval_data(), features=features)
    early = RETRIEVAL[model].load()(RETRIEVAL.check(model, params), data, world.seed)
    assert found[0] == pytest.approx(Validation(early, data, 10).ndcg(), abs=1e-6)
    assert max(found) > min(found)


def test_a_ranking_model_is_judged_on_the_eval_lists(world, tmp_path):
    lists, uri = world.lists[0], str(tmp_path / "lists")
    write_examples(lists.slice(0, 30), shard_path(uri, names.TRAIN, 0, 1))
    write_examples(lists.slice(30), shard_path(uri, names.EVAL, 0, 1))
    params = {"epochs": 4, "batch_size": 4, "learning_rate": 0.01}
    changes = {"batch_size": None, "dropout": [0.1, 0.4]}
    result = tuner_fn(arguments(world, uri, tmp_path, "ranking", "mlp", params, changes))
    assert all(0 < value <= 1 for value in scores(result.tuner))
