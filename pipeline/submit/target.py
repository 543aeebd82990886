"""What an orchestrator does for `twostep submit`, whichever it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pipeline.submit.job import Job

Phase = Literal["waiting", "running", "succeeded", "failed", "cancelled"]
ENDED: tuple[Phase, ...] = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Run:
    """A submitted run: its id, and the page that shows it."""

    id: str
    link: str


@dataclass(frozen=True)
class RunState:
    """The state of a run.

    Args:
      phase: the phase of the whole run.
      tasks: the name of each task that has begun → its phase.
      error: what failed, in the orchestrator's words; empty if nothing has.
      held_back: why nothing was released although the run succeeded; empty if unknown or released.
    """

    phase: Phase
    tasks: Mapping[str, Phase] = field(default_factory=dict)
    error: str = ""
    held_back: str = ""


@dataclass(frozen=True)
class Schedule:
    """A schedule of runs: its id, the digest of its content (empty if not made here), and the page that shows it."""

    id: str
    digest: str
    paused: bool
    link: str


class Target(Protocol):
    """An orchestrator. All methods raise SubmissionError, with what to do, within a bounded time."""

    def submit(self, job: Job) -> Run:
        """Start one run."""

    def state(self, run: Run) -> RunState:
        """Return the present state of a run."""

    def digest(self, job: Job, cron: str) -> str:
        """Return the digest of the schedule of a job; equal digests are equal schedules."""

    def schedules(self, name: str) -> list[Schedule]:
        """Return the schedules of a name, the newest first."""

    def create_schedule(self, job: Job, cron: str, paused: bool) -> Schedule:
        """Create a schedule of one run at a time, which does not catch up on missed runs."""

    def pause(self, schedule: Schedule) -> None:
        """Stop a schedule from starting runs."""

    def resume(self, schedule: Schedule) -> None:
        """Let a paused schedule start runs again."""

    def delete(self, schedule: Schedule) -> None:
        """Delete a schedule; its runs stay."""
