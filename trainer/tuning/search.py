"""The search itself: which settings to try next, and the loop over trials.

Source: Srinivas et al., "Gaussian process optimization in the bandit setting", ICML 2010: the next trial is where the
mean and β deviations of what a Gaussian process knows are highest. It is KerasTuner's oracle with three things changed:
the process reckons with noise, since NDCG over some hundred queries is noisy and would else be learnt by heart; the
highest is looked for among random points, a hundredth of the work; and what is drawn depends on the seed and
the trials so far alone, so that a search that goes on takes the same way.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import gc
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import numpy as np
import threadpoolctl
from keras_tuner.engine import base_tuner
from keras_tuner.engine import trial as trials
from sklearn import gaussian_process

from core import progress
from core.errors import ModelError
from core.settings import Settings
from trainer.tuning.records import LINE, Records, Trial
from trainer.tuning.space import Choices, Space, decoded, encoded, is_whole, label

OBJECTIVE = "ndcg@10"
MOST_FAILURES = 5  # in a row: then it is no matter of settings
_MOST_OF_A_MESSAGE = 300  # characters
_BETA = 1.0  # deviations
_POINTS = 4096  # among which the next trial is chosen
_REQUESTS = (signal.SIGINT, signal.SIGTERM)  # to stop
_RANDOM_PER_SETTING = 2  # random trials for each setting searched, before what is known of them leads


class Proposals(keras_tuner.oracles.BayesianOptimizationOracle):
    """The configured settings first, then random ones, then those of which a Gaussian process expects most.

    Args:
      space: what may be tried.
      configured: setting → the value that the search starts from.
      trials: the most trials.
      seed: of what is drawn.
    """

    def __init__(self, space: Space, configured: Mapping[str, Any], trials: int, seed: int):
        self.space, self.configured = space, configured
        super().__init__(
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            max_trials=trials,
            num_initial_points=1 + _RANDOM_PER_SETTING * len(space),
            beta=_BETA,
            seed=1 + seed % (2**32 - 1),  # 0 would be taken for none
            hyperparameters=_hyperparameters(space, configured),
            max_consecutive_failed_trials=trials + 1,
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The values of the next trial, none tried before."""
        if not self.trials:
            return {"status": trials.TrialStatus.RUNNING, "values": encoded(self.space, self.configured)}
        if sum(trial.score is not None for trial in self.trials.values()) >= self.num_initial_points:
            values = self._rounded(self._most_expected())
            if not self._duplicate(values):
                return {"status": trials.TrialStatus.RUNNING, "values": values}
        found = self._random_populate_space()
        return found | {"values": found["values"] and self._rounded(found["values"])}

    def _most_expected(self) -> dict[str, Any]:
        points, losses = self._vectorize_trials()
        random = np.random.default_rng([self.seed, len(self.trials)])
        tried = random.uniform(size=(_POINTS, points.shape[1]))
        # Of so few numbers threads make more work than they take.
        with threadpoolctl.threadpool_limits(1):
            self.gpr.fit(points, losses)
            mean, deviation = self.gpr.predict(tried, return_std=True)
        return self._vector_to_values(tried[np.argmin(mean - self.beta * deviation)])

    def _make_gpr(self) -> gaussian_process.GaussianProcessRegressor:
        smooth = gaussian_process.kernels.Matern(nu=2.5, length_scale_bounds=(0.1, 10.0))
        noise = gaussian_process.kernels.WhiteKernel(0.01, (1e-4, 1.0))
        return gaussian_process.GaussianProcessRegressor(
            smooth + noise, alpha=1e-6, normalize_y=True, n_restarts_optimizer=2, random_state=self.seed
        )

    def _rounded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers to three digits, which is all that a search of this kind can tell apart, and within their range."""
        values = dict(values)
        for name, dimension in self.space.items():
            if not isinstance(dimension, Choices):
                value = values[name] if is_whole(dimension, self.configured[name]) else float(f"{values[name]:.3g}")
                values[name] = type(value)(min(max(value, dimension.low), dimension.high))
        return values


def _hyperparameters(space: Space, configured: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    """KerasTuner's form of a space; a choice is its label."""
    found = keras_tuner.HyperParameters()
    for name, dimension in space.items():
        if isinstance(dimension, Choices):
            found.Choice(name, list(map(label, dimension.choices)))
            continue
        kind, number = (found.Int, int) if is_whole(dimension, configured[name]) else (found.Float, float)
        kind(name, number(dimension.low), number(dimension.high), sampling="log" if dimension.log else "linear")
    return found


class Search(base_tuner.BaseTuner):
    """Runs the trials one after the other and says what came of each.

    Args:
      proposals: what to try.
      settings_of: the params that vary → all settings of the model. Raises: ValueError.
      measure: settings → NDCG@10 on eval.
      records: where finished trials are kept; one that is there already is not run again.
      minutes: no further trial begins once trials, those of the records too, have taken this long; None for no limit.
      directory: for what KerasTuner writes.
    """

    def __init__(
        self,
        proposals: Proposals,
        settings_of: Callable[[dict[str, Any]], Settings],
        measure: Callable[[Settings], float],
        records: Records,
        minutes: float | None,
        directory: str,
    ):
        super().__init__(proposals, directory=directory, project_name="search", overwrite=True)
        proposals.verbose = 0
        self.proposals, self.settings_of, self.measure, self.records = proposals, settings_of, measure, records
        self.minutes, self.spent, self.began = minutes, 0.0, 0.0
        self.failed_in_row, self.failure = 0, ""

    def pre_create_trial(self) -> None:
        """Let there be no further trial where the time is up."""
        self.began = time.monotonic()  # working out what to try next takes its time too
        if self.minutes is not None and self.spent >= 60 * self.minutes and self.oracle.trials:
            self.oracle.max_trials = len(self.oracle.trials)

    def run_trial(self, trial: Any) -> float:
        """The score of a trial, from the records where it was finished before."""
        number, params = len(self.oracle.trials), decoded(self.proposals.space, trial.hyperparameters.values)
        try:
            settings = self.settings_of(params)
            told = settings.model_dump(mode="json")
            done = self.records.get(told)
            earlier = " earlier" if done else ""
            if done is None:
                done = Trial(number, told, self.measure(settings), time.monotonic() - self.began)
                self.records.put(done)
        except Exception as error:
            # Whatever the model could not do with these settings, memory too, is no reason not to try others.
            self.failure = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_OF_A_MESSAGE]
            self.spent += time.monotonic() - self.began
            self._say(number, params, f"failed with {self.failure}")
            raise keras_tuner.errors.FailedTrialError(self.failure) from error
        finally:
            _free()  # a model refers to itself through its signatures, and may be large
        self.spent += done.seconds
        best = max([done.score, *(each.score for each in self.oracle.trials.values() if each.score is not None)])
        outcome = f"NDCG@10 {done.score:.4f}, best {best:.4f}, {done.seconds:.1f} s{earlier}"
        self._say(number, params, outcome + self._time_left(number))
        return done.score

    def on_trial_end(self, trial: Any) -> None:
        """Raises: ModelError where nothing but failures is to be expected."""
        super().on_trial_end(trial)
        self.failed_in_row = 0 if trial.status == trials.TrialStatus.COMPLETED else self.failed_in_row + 1
        if self.failed_in_row >= MOST_FAILURES:
            raise ModelError(f"{self.failed_in_row} trials failed one after the other, the last with {self.failure}")

    def on_search_end(self) -> None:
        """Raises: ModelError where there is no best trial."""
        if all(trial.score is None for trial in self.oracle.trials.values()):
            raise ModelError(f"every trial failed, the last with {self.failure}")

    def _say(self, number: int, params: Mapping[str, Any], outcome: str) -> None:
        told = ", ".join(f"{name} {_short(value)}" for name, value in params.items())
        progress.report(f"{LINE}{number}/{self.oracle.max_trials}: {told}: {outcome}")

    def _time_left(self, number: int) -> str:
        """What the trials to come will take, going by those so far."""
        left = (self.oracle.max_trials - number) * self.spent / number
        if self.minutes is not None:
            left = min(left, max(0.0, 60 * self.minutes - self.spent))
        return f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left" if left >= 1 else ""


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def _free() -> None:
    """Collect garbage; a request to stop is heard after it, since an exception in a destructor would be lost."""
    if threading.current_thread() is not threading.main_thread():
        gc.collect()
        return
    heard: list[int] = []
    usual = {each: signal.signal(each, lambda number, _: heard.append(number)) for each in _REQUESTS}
    try:
        gc.collect()
    finally:
        for each, handler in usual.items():
            signal.signal(each, handler)
    for number in heard:
        signal.raise_signal(number)
