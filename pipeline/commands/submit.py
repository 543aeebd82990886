"""`twostep submit`: run the pipeline on Kubeflow Pipelines or Vertex AI, once or on a schedule."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import garbage
from core.errors import UsageError
from core.printable import printable

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.submit.target import Target

_TARGETS = ("kubeflow", "vertex")


def add_arguments(subparsers: Any) -> None:
    """Add the command `submit`."""
    parser = subparsers.add_parser(
        "submit",
        help="run the pipeline on Kubeflow Pipelines or Vertex AI",
        description="Run the pipeline on Kubeflow Pipelines or Vertex AI, once or on a schedule. The settings are the "
        "keys `submit.kubeflow` and `submit.vertex` of the configuration. Each action on a schedule can be repeated.",
    )
    parser.add_argument(
        "source", metavar="CONFIG", type=Path, help="the configuration, or a specification that `compile` wrote"
    )
    parser.add_argument("--to", choices=_TARGETS, required=True, help="the orchestrator")
    parser.add_argument(
        "--config", metavar="CONFIG", type=Path, help="the configuration with the settings, beside a specification"
    )
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="the value of a parameter of the pipeline; lists and objects as JSON. May be repeated",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--wait", action="store_true", help="follow the run; the exit code is that of the run")
    action.add_argument(
        "--schedule", metavar="CRON", help="run at these times instead: minute, hour, day, month, weekday"
    )
    for change, text in (
        ("pause", "pause the schedule"),
        ("resume", "resume the schedule, without the runs that it missed"),
        ("delete", "delete the schedule; its runs stay"),
    ):
        action.add_argument(f"--{change}", dest="change", action="store_const", const=change, help=text)
    parser.add_argument(
        "--timezone", metavar="ZONE", help="the time zone of the schedule on Vertex, such as Europe/Rome; default UTC"
    )
    parser.set_defaults(func=lambda arguments: submit(arguments) if arguments.change is None else _change(arguments))


def submit(arguments: argparse.Namespace) -> int:
    """Submit a run, or act on the schedule; print the links.

    Raises:
      UsageError: an argument, the configuration or the specification is wrong.
      SubmissionError: the orchestrator refused, cannot be reached, or the run failed.
      HeldBackError: a rule held back the release.
    """
    from pipeline.runners.compiled import specification_file
    from pipeline.submit import cron, fingerprints, job, schedules, waiting

    expression = None if arguments.schedule is None else cron.check(arguments.schedule)
    if arguments.timezone is not None:
        expression = f"TZ={_zone(arguments)} {expression}"
    config, config_file, specification, platform = _read(arguments)
    name = config.name if specification is None else specification["pipelineInfo"]["name"]
    if specification is not None:  # a wrong value is found before the orchestrator is asked
        specification_file.parse_parameters(specification, arguments.parameter)
    target = _target(arguments.to, config)  # before the pipeline is compiled, which takes longer
    if specification is None:
        specification, platform = _compiled(config, config_file, arguments)
    values = specification_file.parse_parameters(specification, arguments.parameter)
    if expression is None:
        specification, values = fingerprints.added(
            specification, values, lambda text: print(printable(f"twostep: {text}"), file=sys.stderr)
        )
    wanted = job.Job(name, specification, values, platform)
    if expression is not None:
        schedule, outcome = schedules.put(target, wanted, expression)
        print(printable(f"{outcome}{' (paused)' if schedule.paused else ''} {schedule.link}"))
        return 0
    run = target.submit(wanted)
    print(printable(run.link), flush=True)
    if arguments.wait:
        waiting.follow(target, run, lambda line: print(line, flush=True))
    return 0


def _compiled(
    config: "Config", config_file: Path, arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the specification of a configuration's pipeline, and that of the platform if there is one.

    Without `-v` the libraries print nothing.
    """
    from pipeline.runners import logs

    with tempfile.TemporaryDirectory() as folder, logs.captured(Path(folder, "log"), arguments.verbose):
        with garbage.postponed():
            from pipeline.runners.compiled import keys, specification
        spec = specification.compile_(config, config_file, arguments.to)
        return spec, keys.platform(config, spec)


def _change(arguments: argparse.Namespace) -> int:
    """Pause, resume or delete the schedule, and print its link; see `submit`."""
    from pipeline.submit import schedules

    for option, given in (("--parameter", arguments.parameter), ("--timezone", arguments.timezone)):
        if given:
            raise UsageError(f"{option}: has no meaning with --{arguments.change}; remove it")
    act, done = {
        "pause": (schedules.pause, "paused"),
        "resume": (schedules.resume, "resumed"),
        "delete": (schedules.delete, "deleted"),
    }[arguments.change]
    config, _, specification, _ = _read(arguments)
    name = config.name if specification is None else specification["pipelineInfo"]["name"]
    found = act(_target(arguments.to, config), name)
    print("\n".join(printable(f"{done} {each.link}") for each in found) or f"{name}: there is no schedule")
    return 0


def _zone(arguments: argparse.Namespace) -> str:
    """Return the time zone of `--timezone`. Raises: UsageError where it has no effect."""
    from pipeline.submit import cron

    if arguments.schedule is None:
        raise UsageError("--timezone: needs --schedule")
    if arguments.to == "kubeflow":
        raise UsageError(
            "--timezone: Kubeflow has one time zone for all schedules, the variable CRON_SCHEDULE_TIMEZONE of its "
            "ml-pipeline-scheduledworkflow; remove the option"
        )
    return cron.check_zone(arguments.timezone)


def _read(
    arguments: argparse.Namespace,
) -> tuple["Config", Path, dict[str, Any] | None, dict[str, Any] | None]:
    """Return the configuration, its file, and the specifications if they were given. Raises: UsageError."""
    from pipeline import config
    from pipeline.runners.compiled import specification_file

    found = specification_file.read(arguments.source)
    if found is None:
        if arguments.config is not None:
            raise UsageError(f"--config: {arguments.source} is no compiled specification. Give one configuration only")
        return config.load(arguments.source), arguments.source, None, None
    specification, platform = found
    specification_file.check(specification, str(arguments.source))
    if arguments.config is None:
        raise UsageError(
            f"{arguments.source}: is a specification, which has no settings of an orchestrator. Add `--config CONFIG`, "
            "the configuration with the key `submit`"
        )
    return config.load(arguments.config), arguments.config, specification, platform


def _target(name: str, config: "Config") -> "Target":
    """Return the orchestrator. Raises: UsageError if it has no settings; SubmissionError."""
    folder = config.folder or Path()
    if name == "kubeflow":
        if config.submit.kubeflow is None:
            raise UsageError("submit.kubeflow: is missing. `twostep config explain submit.kubeflow` lists its keys")
        from pipeline.submit.kubeflow import KubeflowTarget

        return KubeflowTarget(config.submit.kubeflow, folder)
    if config.submit.vertex is None:
        raise UsageError("submit.vertex: is missing. `twostep config explain submit.vertex` lists its keys")
    from pipeline.submit.vertex import VertexTarget

    return VertexTarget(config.submit.vertex, folder)
