"""Following a run to its end, with one line for each change."""

import time
from collections.abc import Callable

from core.errors import HeldBackError, OrchestratorUnreachableError, SubmissionError
from core.printable import printable
from pipeline.submit.target import ENDED, Run, RunState, Target

FIRST_S, LONGEST_S, FACTOR = 0.5, 15.0, 1.5  # seconds between two requests: the first, the longest, the growth
PATIENCE_S = 300.0  # seconds without an answer after which the wait ends


def follow(target: Target, run: Run, say: Callable[[str], None]) -> None:
    """Wait for the end of a run and report each change of its state to `say`.

    An orchestrator that does not answer for less than PATIENCE_S is asked again.

    Raises:
      SubmissionError: the run failed or was cancelled, or its state cannot be read; the message has the link.
      HeldBackError: the run succeeded, and a rule held back its release.
      KeyboardInterrupt: the user ended the wait.
    """
    try:
        _follow(target, run, say)
    except KeyboardInterrupt:
        say("the wait has ended; the run goes on")
        raise


def _follow(target: Target, run: Run, say: Callable[[str], None]) -> None:
    """Wait for the end of a run; see `follow`."""
    pause, before, answered = FIRST_S, "", time.monotonic()
    while True:
        try:
            state = target.state(run)
            answered = time.monotonic()
        except OrchestratorUnreachableError as error:
            if time.monotonic() - answered > PATIENCE_S:
                raise SubmissionError(f"{error}\nThe run may go on: {run.link}") from None
            state = None
        except SubmissionError as error:
            raise SubmissionError(f"{error}\nThe run may go on: {run.link}") from None
        line = "no answer; asking again" if state is None else described(state)
        if line != before:
            say(line)
            before = line
        if state is not None and state.phase in ENDED:
            _raise_unless_released(state, run)
            return
        time.sleep(pause)
        pause = min(pause * FACTOR, LONGEST_S)


def described(state: RunState) -> str:
    """Return the state of a run on one line: its phase, how many tasks have ended, and those that run."""
    ended = sum(phase in ENDED for phase in state.tasks.values())
    running = [name for name, phase in state.tasks.items() if phase == "running"]
    parts: list[str] = [state.phase]
    if state.tasks:
        parts.append(f"{ended} of {len(state.tasks)} started tasks have ended")
    if running and state.phase not in ENDED:
        parts.append(f"running: {', '.join(sorted(running))}")
    return printable("; ".join(parts))


def _raise_unless_released(state: RunState, run: Run) -> None:
    if state.phase == "cancelled":
        raise SubmissionError(f"the run was cancelled: {run.link}")
    if state.phase == "failed":
        raise SubmissionError(f"the run failed: {state.error or 'no reason was given'}\n{run.link}")
    if state.held_back:
        raise HeldBackError(f"nothing was released: {state.held_back}\n{run.link}")
