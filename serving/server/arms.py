"""The arms of an experiment in a server: which recommender answers a user, and what is logged of it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from serving.experiments import assignment
from serving.experiments.settings import Arm, Experiment
from serving.recommender import Recommender
from serving.requests import Recommendations, Request

if TYPE_CHECKING:
    from serving.server.current import Current

Answered = tuple[str, Recommendations]  # the version of the release, and the answer


class Arms:
    """The recommenders of all arms. Without an experiment all users get that of the release in force.

    Args:
      current: the release in force, with the settings of the arms that have no other release.
      experiment: the experiment; None without one.
      others: version → that release, with the settings of its arms.
    """

    def __init__(
        self, current: "Current", experiment: Experiment | None = None, others: Mapping[str, "Current"] | None = None
    ):
        self._experiment, self._current, self._others = experiment, current, dict(others or {})

    def arm(self, user_id: str) -> Arm | None:
        """Return the arm of a user; None without an experiment."""
        if self._experiment is None:
            return None
        return self._experiment.arms[assignment.arm(self._experiment.name, user_id, self._experiment.shares)]

    def facts(self, user_id: str) -> dict[str, str | float]:
        """Return what is logged of a user's arm: experiment, arm, and the propensity, which is the arm's share."""
        arm = self.arm(user_id)
        if self._experiment is None or arm is None:
            return {}
        return {"experiment": self._experiment.name, "arm": arm.label, "propensity": arm.share}

    def using(self, user_id: str) -> contextlib.AbstractContextManager[Recommender]:
        """Return a context with the recommender of a user's arm, which is not closed before the end of the block."""
        return self._using(self.arm(user_id))

    @property
    def labels(self) -> list[str]:
        """Return the label of each arm; none without an experiment."""
        return [] if self._experiment is None else list(self._experiment.labels)

    def versions(self) -> list[str]:
        """Return the versions that are loaded."""
        return [each.version for each in self._all()]

    def of_label(self, label: str) -> contextlib.AbstractContextManager[Recommender]:
        """Return a context with the recommender of an arm, which the experiment has."""
        arms = self._experiment.arms if self._experiment else ()
        return self._using(next(each for each in arms if each.label == label))

    @contextlib.contextmanager
    def of_release(self, version: str) -> Iterator[Recommender | None]:
        """Yield the recommender of a version with the settings of the release; None if it is not loaded."""
        for each in self._all():
            with each.using() as using:
                if using.version == version:
                    yield using
                    return
        yield None

    def answers(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answered | Exception]]:
        """Answer requests, those of an arm as one batch, and yield the position of each with its answer or error.

        Where an arm fails, its requests alone have the error.
        """
        arms = [self.arm(request.user_id) for request in requests]
        for label in dict.fromkeys(arm and arm.label for arm in arms):
            members = [index for index, arm in enumerate(arms) if (arm and arm.label) == label]
            waiting = set(members)
            try:
                with self._using(arms[members[0]]) as using:
                    for place, found in using.answers([requests[each] for each in members]):
                        waiting.discard(members[place])
                        yield members[place], found if isinstance(found, Exception) else (using.version, found)
            except Exception as error:
                for index in waiting:
                    yield index, error

    def without_models(self, request: Request) -> Answered | Exception:
        """Answer a request with popular items, without the models and the store."""
        with self.using(request.user_id) as using:
            found = using.without_models(request)
            return found if isinstance(found, Exception) else (using.version, found)

    def refresh(self) -> None:
        """Read what was changed of items, so that the next answer of each arm respects it."""
        for each in self._all():
            each.refresh_items()

    def close(self) -> None:
        """End the threads of all releases, and close their models."""
        for each in self._all():
            each.close()

    def _using(self, arm: Arm | None) -> contextlib.AbstractContextManager[Recommender]:
        if arm is None:
            return self._current.using()
        current = self._current if arm.release is None else self._others[arm.release]
        return current.using(arm.label if arm.changes_settings else None)

    def _all(self) -> Iterator["Current"]:
        yield self._current
        yield from self._others.values()
