"""`twostep schedule`: run the pipeline on a schedule, and show the state of the schedule."""

import argparse
import json
import sys
from pathlib import Path

from core.errors import UsageError
from core.printable import shown
from pipeline.commands.arguments import add_config

_UNITS = ("systemd", "cron", "kubernetes")


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `schedule`."""
    parser = subparsers.add_parser(
        "schedule",
        help="run the pipeline on a schedule",
        description="Start `twostep run` at the times, for the new spans and on the drift that `schedule` in the "
        "configuration names, each run in a process of its own. `twostep schedule status CONFIG` prints the next "
        "times and the latest runs.",
    )
    parser.add_argument("action", nargs="?", choices=("status",), help="status: print the state of the schedule")
    add_config(parser)
    parser.add_argument("--once", action="store_true", help="run what is due now, and exit")
    parser.add_argument(
        "--resume", action="store_true", help="continue after a stop on drift; the delivery that caused it is accepted"
    )
    parser.add_argument(
        "--print",
        dest="unit",
        choices=_UNITS,
        metavar="UNIT",
        help="print a unit of systemd, cron or kubernetes that starts `--once` regularly; nothing is run",
    )
    parser.add_argument("--image", metavar="IMAGE", help="the container image, for `--print kubernetes`")
    parser.add_argument("--json", action="store_true", help="print the state as one JSON object")
    parser.set_defaults(func=schedule)


def schedule(arguments: argparse.Namespace) -> int:
    """Run the schedule, or print its state or a unit; return the exit code.

    Raises:
      UsageError: the configuration or an option is wrong, or another scheduler uses the run folder.
      HeldBackError: scheduling is stopped, because a delivery has drifted.
    """
    is_status = arguments.action == "status"
    runs = not is_status and arguments.unit is None
    for option, given, allowed in (
        ("--once", arguments.once, runs),
        ("--resume", arguments.resume, runs),
        ("--print", arguments.unit is not None, not is_status),
        ("--image", arguments.image is not None, arguments.unit == "kubernetes"),
        ("--json", arguments.json, is_status),
    ):
        if given and not allowed:
            raise UsageError(f"{option} has no meaning here; see `twostep schedule --help`. Leave it out")
    if is_status:
        _print_status(arguments.config, arguments.json)
        return 0
    if arguments.unit is not None:
        _print_unit(arguments.unit, arguments.config, arguments.image)
        return 0
    return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    """Run the schedule; return the exit code: of the last run with `--once`, or of the signal that ended it."""
    import logging

    from pipeline.schedule import service
    from pipeline.schedule.process import Signals

    logging.basicConfig(
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        level=logging.INFO,
    )
    logging.getLogger("absl").setLevel(logging.WARNING)  # ML Metadata, which logs each connection
    code = 0
    with Signals() as signals:
        with service.opened(arguments.config, signals) as scheduler:
            if arguments.resume:
                scheduler.resume()
            if arguments.once:
                code = scheduler.once()
            else:
                scheduler.forever()
        return 128 + signals.received[0] if signals.received else code


def _print_status(file: Path, as_json: bool) -> None:
    from pipeline import config
    from pipeline.config import paths
    from pipeline.schedule import process, service, status
    from pipeline.schedule.places import Places
    from pipeline.schedule.records import Records

    loaded = config.load(file)
    settings = service.required(loaded, file)
    places = Places(paths.run_folder(loaded))
    records = Records(places.records) if places.records.exists() else None
    facts = status.facts(
        loaded.name,
        settings,
        records.runs() if records is not None else [],
        records.next_fires() if records is not None else {},
        records.stopped() if records is not None else None,
        process.scheduler_id(places.lock),
    )
    print(json.dumps(facts, indent=2) if as_json else "\n".join(map(shown, status.lines(facts))))


def _print_unit(unit: str, file: Path, image: str | None) -> None:
    from pipeline import config
    from pipeline.schedule import process, service, units

    loaded = config.load(file)
    settings = service.required(loaded, file)
    command = process.command("schedule", str(file.absolute()), "--once")
    folder = process.code_root()
    if unit == "systemd":
        printed = units.systemd(loaded.name, command, folder, settings.poll_seconds)
    elif unit == "cron":
        printed = units.cron(command, folder, settings.poll_seconds)
    else:
        if image is None:
            raise UsageError("--print kubernetes requires --image IMAGE, the container image with twostep")
        variable = settings.webhook.secret_variable if settings.webhook is not None else None
        printed = units.kubernetes(loaded.name, file.name, image, settings.poll_seconds, variable)
    print(printed, end="")
