"""`twostep train`: train with the runs of another machine."""

import argparse

from core.errors import UsageError
from core.printable import shown
from pipeline.commands.arguments import add_config

POLL_S = 0.2


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `train`."""
    parser = subparsers.add_parser(
        "train",
        help="train with the runs of another machine",
        description="Wait for `twostep run CONFIG` on the first of `training.machines`, and train with it as another "
        "one, until it is interrupted. All machines share the run folder.",
    )
    add_config(parser)
    parser.add_argument(
        "--machine", type=int, required=True, metavar="NUMBER", help="the number of this machine, from 1"
    )
    parser.set_defaults(func=train)


def train(arguments: argparse.Namespace) -> int:
    """Train with each run, until SIGINT or SIGTERM. Raises: UsageError."""
    from core import node_ids
    from pipeline import config
    from pipeline.config import paths
    from pipeline.schedule.process import Signals
    from trainer.distribution import machines
    from trainer.distribution.follower import Follower

    loaded, machine = config.load(arguments.config), arguments.machine
    others = len(loaded.training.machines) - 1
    if others < 1:
        raise UsageError(
            f"{arguments.config}: training.machines: should name the machines that train together; found none. Add "
            "`training: {machines: [HOST:PORT, HOST:PORT]}`"
        )
    if not 1 <= machine <= others:
        raise UsageError(
            f"--machine: should be from 1 to {others}, a position in `training.machines`; found {machine}. The first "
            "machine, 0, makes the run"
        )
    root = paths.pipeline_root(loaded)
    calls = [machines.folder(root / node_ids.trainer(step)) / machines.CALL for step in ("retrieval", "ranking")]
    print(shown(f"machine {machine} waits for a run in {paths.run_folder(loaded)}"), flush=True)
    follower = Follower(machine)
    with Signals() as signals:
        try:
            while not signals.received:
                follower.follow(machines.latest(calls))
                signals.sleep(POLL_S)
        finally:
            follower.end()
        return 128 + signals.received[0]
