"""The call by which a trainer asks other machines to train with it, and their answers. No TensorFlow here.

All machines share the run folder. The trainer writes a call into the folder of its node; `twostep train` on each other
machine finds the call, answers it, and runs the same fit on the same data. See docs/training.md.
"""

import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from core import progress
from core.errors import ModelError
from core.files import read_json, write_json
from core.settings import Settings
from trainer.distribution.settings import Training

FOLDER, CALL = "machines", "call.json"
POLL_S = 0.2
REPORT_S = 10  # between two reports that a machine is missing


class Arguments(Settings):
    """The arguments of a `run_fn` that another machine needs: a part of TFX's `FnArgs`, and where outputs go.

    Args:
      machine: the number of the machine that calls the function.
      call: the id of the call that the machine answers.
    """

    train_files: list[str]
    transform_graph_path: str
    base_model: str | None
    custom_config: dict[str, Any]
    serving_model_dir: str = ""
    model_run_dir: str = ""
    machine: int = 0
    call: str = ""


class Call(Settings):
    """A call to train: the step, and the arguments of its `run_fn`."""

    id: str
    step: Literal["retrieval", "ranking"]
    arguments: Arguments


class Answer(Settings):
    """The answer of a machine to the call with an id: it is able to train, or why it is not."""

    id: str
    error: str | None = None


def folder(node_folder: str | Path) -> Path:
    """Return the folder of the calls of a node, given the folder of the artifacts of the node."""
    return Path(node_folder) / FOLDER


def latest(calls: Iterable[Path]) -> tuple[Path, Call] | None:
    """Return the file and the content of the call that is in one of the files; None without a call."""
    for file in calls:
        try:
            return file, Call.model_validate(read_json(file))
        except FileNotFoundError:
            continue
    return None


def answer(call_file: Path, machine: int, call: Call, error: str | None = None) -> None:
    """Answer a call as a machine."""
    write_json(_answer_file(call_file, machine), Answer(id=call.id, error=error).model_dump())


def call(step: Literal["retrieval", "ranking"], fn_args: Any, training: Training) -> tuple[Path, str]:
    """Call the other machines, wait for their answers; return the file of the call, to be deleted, and its id.

    Raises:
      ModelError: a machine does not answer in time, or cannot train.
    """
    file = folder(Path(fn_args.model_run_dir).parents[1]) / CALL
    fields = {name: getattr(fn_args, name) for name in ("transform_graph_path", "base_model", "custom_config")}
    arguments = Arguments(train_files=list(fn_args.train_files), **fields)
    made = Call(id=uuid.uuid4().hex, step=step, arguments=arguments)
    write_json(file, made.model_dump())
    try:
        _wait(file, made, training)
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return file, made.id


def _wait(file: Path, made: Call, training: Training) -> None:
    """Wait until all other machines have answered. Raises: ModelError."""
    begun, reported = time.monotonic(), 0.0
    missing = set(range(1, len(training.machines)))
    while missing:
        for machine in sorted(missing):
            given = _answered(_answer_file(file, machine), made)
            if given is None:
                continue
            if given.error is not None:
                raise ModelError(f"training.machines: {training.machines[machine]} cannot train: {given.error}")
            missing.remove(machine)
        waited = time.monotonic() - begun
        names = ", ".join(f"{training.machines[each]} (--machine {each})" for each in sorted(missing))
        if missing and waited > 60 * training.wait_minutes:
            raise ModelError(
                f"training.machines: no answer in {training.wait_minutes:g} minutes from {names}. Start `twostep train "
                f"CONFIG --machine NUMBER` there, with the run folder on a file system that all machines share at the "
                "same path, and run again"
            )
        if missing and waited >= reported:
            progress.report(f"waiting for {names}: twostep train")
            reported = waited + REPORT_S
        if missing:
            time.sleep(POLL_S)


def _answer_file(call_file: Path, machine: int) -> Path:
    return call_file.with_name(f"{machine}.json")


def _answered(file: Path, made: Call) -> Answer | None:
    try:
        given = Answer.model_validate(read_json(file))
    except FileNotFoundError:
        return None
    return given if given.id == made.id else None
