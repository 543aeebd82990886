"""`twostep experiment`: what the logged answers of a server say of the arms of an experiment, and the impressions."""

import argparse
import json
import sys
from pathlib import Path

from core.errors import UsageError
from core.printable import printable
from pipeline.commands import server_store
from pipeline.commands.arguments import place

DAY_S = 86_400


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `experiment` with its subcommands."""
    parser = subparsers.add_parser(
        "experiment",
        help="the arms of an experiment compared, and the shown items as a table",
        description="Read the answers that a server has logged.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    report = actions.add_parser(
        "report",
        help="the mean reward of each arm with intervals",
        description="Print the mean reward of each arm of an experiment with 95 % intervals, and the difference to the "
        "champion. The reward of an answer is the number of its items that the user had an event with in time.",
    )
    report.add_argument(
        "--experiment", metavar="FILE", type=Path, required=True, help="the file that `serve` was given"
    )
    report.add_argument(
        "--reward-within",
        metavar="SECONDS",
        type=int,
        default=DAY_S,
        help=f"how long after an answer an event counts for it ({DAY_S})",
    )
    report.add_argument("--json", action="store_true", help="print JSON")
    report.set_defaults(func=_report)
    impressions = actions.add_parser(
        "impressions",
        help="the shown items as a table of impressions",
        description="Write the items that users were shown to a Parquet file, which `data.impressions` of a "
        "configuration can name.",
    )
    impressions.add_argument("--to", metavar="FILE", type=Path, required=True, help="the Parquet file to write")
    impressions.add_argument(
        "--since", metavar="TIMESTAMP", type=int, default=0, help="the first answers, in seconds since 1970 (0, all)"
    )
    impressions.set_defaults(func=_impressions)
    for each in (report, impressions):
        help = "the folder or URI of the releases that are served, or a configuration; needed without --store"
        each.add_argument("source", metavar="SOURCE", nargs="?", type=place, help=help)
        server_store.add_store(each)


def _report(arguments: argparse.Namespace) -> int:
    """Print the report of an experiment."""
    from pipeline.config import experiment_file
    from serving.experiments import report, rewards

    if arguments.reward_within < 0:
        raise UsageError(f"--reward-within: should be at least 0, in seconds; found {arguments.reward_within}")
    experiment = experiment_file.load(arguments.experiment)
    with server_store.opened(arguments.store, arguments.source) as store:
        log = rewards.log(store, experiment, arguments.reward_within)
    arms = report.made(log, experiment)
    champion, far = experiment.labels[experiment.champion], report.far_from_shares(arms)
    if arguments.json:
        facts = {"experiment": experiment.name, "champion": champion, "reward_within_s": arguments.reward_within}
        found = {"arms": [report.as_json(each) for each in arms], "far_from_share": far}
        print(json.dumps(facts | found, indent=2, ensure_ascii=False))
        return 0
    print(f"experiment {experiment.name}, champion {champion}, rewards within {arguments.reward_within:,} s")
    print("\n".join(report.as_text(arms)))
    if far:
        print(
            f"The users of {', '.join(far)} are too many or too few for the shares of the file, so the estimates are "
            "not to be trusted. Give the experiment another name whenever its shares change",
            file=sys.stderr,
        )
    return 0


def _impressions(arguments: argparse.Namespace) -> int:
    """Write the shown items to a Parquet file."""
    from serving.experiments import impressions

    if arguments.to.is_dir():
        raise UsageError(f"--to: {printable(str(arguments.to))} is a folder. Give the name of a file")
    with server_store.opened(arguments.store, arguments.source) as store:
        rows = impressions.write(store, arguments.to, arguments.since)
    print(f"{rows:,} impressions in {printable(str(arguments.to))}")
    return 0
