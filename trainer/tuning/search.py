"""The search for settings: the proposal of the settings of the next trial, and the loop over trials.

Source: Srinivas et al., "Gaussian process optimization in the bandit setting", ICML 2010: the next trial has the
settings that maximise the mean plus β standard deviations of a Gaussian process. The implementation is KerasTuner's
oracle with three changes. The process has a noise term, since NDCG over some hundred queries is noisy and would
otherwise be overfitted. The maximum is searched among random points, which takes a hundredth of the time. Samples
depend only on the seed and the finished trials, so that a continued search makes the same proposals.
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
MOST_FAILURES = 5  # the number of failed trials in a row after which the search fails
_MOST_OF_A_MESSAGE = 300  # characters
_BETA = 1.0  # β, the number of standard deviations that are added to the mean
_POINTS = 4096  # the number of random points among which the maximum is searched
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_RANDOM_PER_SETTING = 2  # the number of initial random trials for each searched setting


class Proposals(keras_tuner.oracles.BayesianOptimizationOracle):
    """The proposals: the configured settings, then random ones, then those of the Gaussian process.

    Args:
      space: the search space.
      configured: searched setting → its value in the configuration.
      trials: the maximum number of trials.
      seed: the seed of all random samples.
    """

    def __init__(self, space: Space, configured: Mapping[str, Any], trials: int, seed: int):
        self.space, self.configured = space, configured
        super().__init__(
            objective=keras_tuner.Objective(OBJECTIVE, "max"),
            max_trials=trials,
            num_initial_points=1 + _RANDOM_PER_SETTING * len(space),
            beta=_BETA,
            seed=1 + seed % (2**32 - 1),  # KerasTuner treats 0 as no seed
            hyperparameters=_hyperparameters(space, configured),
            max_consecutive_failed_trials=trials + 1,
        )

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Return the values of the next trial; random values replace a proposal that an earlier trial already had."""
        if not self.trials:
            return {"status": trials.TrialStatus.RUNNING, "values": encoded(self.space, self.configured)}
        if sum(trial.score is not None for trial in self.trials.values()) >= self.num_initial_points:
            values = self._rounded(self._best_expected())
            if not self._duplicate(values):
                return {"status": trials.TrialStatus.RUNNING, "values": values}
        trial = self._random_populate_space()
        return trial | {"values": trial["values"] and self._rounded(trial["values"])}

    def _best_expected(self) -> dict[str, Any]:
        """Return the values with the highest mean plus β standard deviations among `_POINTS` random points."""
        points, losses = self._vectorize_trials()
        random = np.random.default_rng([self.seed, len(self.trials)])
        candidates = random.uniform(size=(_POINTS, points.shape[1]))
        # One thread, since the arrays are so small that more threads would take longer.
        with threadpoolctl.threadpool_limits(1):
            self.gpr.fit(points, losses)
            mean, deviation = self.gpr.predict(candidates, return_std=True)
        return self._vector_to_values(candidates[np.argmin(mean - self.beta * deviation)])

    def _make_gpr(self) -> gaussian_process.GaussianProcessRegressor:
        smooth = gaussian_process.kernels.Matern(nu=2.5, length_scale_bounds=(0.1, 10.0))
        noise = gaussian_process.kernels.WhiteKernel(0.01, (1e-4, 1.0))
        return gaussian_process.GaussianProcessRegressor(
            smooth + noise, alpha=1e-6, normalize_y=True, n_restarts_optimizer=2, random_state=self.seed
        )

    def _rounded(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values with floats rounded to three significant digits, and numbers clipped to their range."""
        values = dict(values)
        for name, dimension in self.space.items():
            if not isinstance(dimension, Choices):
                value = values[name] if is_whole(dimension, self.configured[name]) else float(f"{values[name]:.3g}")
                values[name] = type(value)(min(max(value, dimension.low), dimension.high))
        return values


def _hyperparameters(space: Space, configured: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    """Return a space as KerasTuner's hyperparameters, where the label of a choice stands for the choice."""
    parameters = keras_tuner.HyperParameters()
    for name, dimension in space.items():
        if isinstance(dimension, Choices):
            parameters.Choice(name, list(map(label, dimension.choices)))
            continue
        kind, number = (parameters.Int, int) if is_whole(dimension, configured[name]) else (parameters.Float, float)
        kind(name, number(dimension.low), number(dimension.high), sampling="log" if dimension.log else "linear")
    return parameters


class Search(base_tuner.BaseTuner):
    """The loop over trials, which reports the result of each.

    Args:
      proposals: the proposals of settings.
      settings_of: a function from the searched params to all settings of the model; it raises ValueError for invalid
        params.
      measure: a function that fits the model with settings and returns its NDCG@10 on eval.
      records: the finished trials; these are not run again.
      minutes: the total duration of trials in minutes, recorded ones included, after which no trial begins; None for
        no limit.
      directory: the folder of KerasTuner's files.
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
        """Start no further trial when the time is up."""
        self.began = time.monotonic()  # the duration of a trial includes the time to propose its settings
        if self.minutes is not None and self.spent >= 60 * self.minutes and self.oracle.trials:
            self.oracle.max_trials = len(self.oracle.trials)

    def run_trial(self, trial: Any) -> float:
        """Return the score of a trial: from the records if it is among them, else by fitting the model."""
        number, params = len(self.oracle.trials), decoded(self.proposals.space, trial.hyperparameters.values)
        try:
            settings = self.settings_of(params)
            values = settings.model_dump(mode="json")
            done = self.records.get(values)
            earlier = " earlier" if done else ""
            if done is None:
                done = Trial(number, values, self.measure(settings), time.monotonic() - self.began)
                self.records.put(done)
        except Exception as error:
            # One failed trial does not end the search, even if the memory did not suffice for these settings.
            self.failure = " ".join(f"{type(error).__name__}: {error}".split())[:_MOST_OF_A_MESSAGE]
            self.spent += time.monotonic() - self.began
            self._report(number, params, f"failed with {self.failure}")
            raise keras_tuner.errors.FailedTrialError(self.failure) from error
        finally:
            _collect_garbage()  # the model may be large, and reference cycles through its signatures keep it alive
        self.spent += done.seconds
        best = max([done.score, *(each.score for each in self.oracle.trials.values() if each.score is not None)])
        outcome = f"NDCG@10 {done.score:.4f}, best {best:.4f}, {done.seconds:.1f} s{earlier}"
        self._report(number, params, outcome + self._time_left(number))
        return done.score

    def on_trial_end(self, trial: Any) -> None:
        """Count failures in a row. Raises: ModelError after `MOST_FAILURES`."""
        super().on_trial_end(trial)
        self.failed_in_row = 0 if trial.status == trials.TrialStatus.COMPLETED else self.failed_in_row + 1
        if self.failed_in_row >= MOST_FAILURES:
            raise ModelError(f"{self.failed_in_row} trials in a row failed, the last with {self.failure}")

    def on_search_end(self) -> None:
        """Check that a trial succeeded. Raises: ModelError."""
        if all(trial.score is None for trial in self.oracle.trials.values()):
            raise ModelError(f"all trials failed, the last with {self.failure}")

    def _report(self, number: int, params: Mapping[str, Any], outcome: str) -> None:
        """Report the result of a trial."""
        settings = ", ".join(f"{name} {_short(value)}" for name, value in params.items())
        progress.report(f"{LINE}{number}/{self.oracle.max_trials}: {settings}: {outcome}")

    def _time_left(self, number: int) -> str:
        """Return the estimated duration of the remaining trials, as text."""
        left = (self.oracle.max_trials - number) * self.spent / number
        if self.minutes is not None:
            left = min(left, max(0.0, 60 * self.minutes - self.spent))
        return f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left" if left >= 1 else ""


def _short(value: Any) -> str:
    """Return a value as text, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def _collect_garbage() -> None:
    """Collect garbage, and handle stop signals only afterwards.

    The exception of a signal that arrives during a destructor would be lost, since Python ignores exceptions there.
    """
    if threading.current_thread() is not threading.main_thread():
        gc.collect()
        return
    received: list[int] = []
    handlers = {each: signal.signal(each, lambda number, _: received.append(number)) for each in _STOP_SIGNALS}
    try:
        gc.collect()
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    for number in received:
        signal.raise_signal(number)
