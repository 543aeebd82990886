"""`twostep run --compiled`: run a compiled specification on this machine, as a cluster would."""

import argparse
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.config import Config
    from pipeline.runners.compiled.launcher import Artifact, Bucket

COUNT = 2  # tasks side by side by default; each needs the memory of TensorFlow and TFX
_STAND_IN = "s3://twostep"  # the URI of the folder that stands for a bucket


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `twostep run` for compiled specifications."""
    group = parser.add_argument_group("compiled specifications")
    group.add_argument(
        "--compiled",
        type=Path,
        metavar="SPEC",
        help="run a specification that `twostep compile` wrote, task by task as a cluster does; nothing comes from the "
        "cache",
    )
    group.add_argument(
        "--store",
        metavar="URI",
        help="the bucket of artifacts, releases and pushed models, such as s3://bucket/shop. Default: a folder in the "
        "run folder stands for it",
    )
    group.add_argument(
        "--as",
        dest="as_",
        choices=("kubeflow", "vertex"),
        help="how tasks get their inputs. Default: as on the platform that the specification was compiled for",
    )
    group.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="the value of a runtime parameter of the specification; may be repeated",
    )


def check(arguments: argparse.Namespace) -> None:
    """Check options that need or exclude `--compiled`. Raises: UsageError."""
    if arguments.compiled is None and (arguments.store or arguments.as_ or arguments.parameter):
        raise UsageError("--store, --as and --parameter need --compiled SPEC")
    if arguments.compiled is not None and (arguments.until or arguments.dry_run):
        raise UsageError("--compiled runs all tasks; omit --until and --dry-run")


def run(
    config: "Config",
    arguments: argparse.Namespace,
    run_id: str,
    console: "Console",
    raise_if_stopped: Callable[[], None],
    answer: dict[str, Any],
) -> None:
    """Run a specification, print its summary, and add the results to `answer`.

    Raises:
      UsageError: the specification cannot be read, or a parameter is wrong.
      HeldBackError: a rule held back the release.
      TwostepError: a task failed.
    """
    from pipeline.config import paths
    from pipeline.report import summary
    from pipeline.runners.compiled import execution
    from pipeline.runners.compiled.launcher import Bucket
    from pipeline.runners.compiled.specification_file import parse_parameters
    from pipeline.runners.progress import Progress

    spec = execution.read(arguments.compiled)
    target = arguments.as_ or execution.target_of(spec)
    folder = paths.run_folder(config) / "compiled"
    stand_in = folder / "store"
    if arguments.store is None and target == "kubeflow" and execution.uses_engine(spec):
        raise UsageError(
            "--store: is missing; workers of Beam read and write the bucket of this specification, which no folder can "
            "stand for. Name one, such as --store s3://bucket/shop"
        )
    if arguments.store is not None:
        bucket = Bucket(arguments.store.rstrip("/"), arguments.store.rstrip("/"))
    else:
        bucket = Bucket(_STAND_IN if target == "kubeflow" else str(stand_in), str(stand_in))
    root = arguments.store.rstrip("/") if arguments.store is not None else str(folder)
    values = execution.default_values(spec) | {
        "data": str(paths.data_root(config, arguments.config)),
        "releases": f"{root}/releases",
        "serving": f"{root}/serving",
        **_keys(config, arguments.config),
        **parse_parameters(spec, arguments.parameter),
    }
    progress = Progress(console)
    count = arguments.workers or min(COUNT, len(os.sched_getaffinity(0)))
    try:
        made = execution.run(spec, values, bucket, target, folder / "runs" / run_id, progress, count, raise_if_stopped)
        outcome = BucketOutcome(made, bucket, folder / "read")
        answer |= summary.facts(outcome, progress.results)
        summary.show(config, arguments.config, outcome, progress.results, console, in_force(values["releases"]))
        for kept in (folder / "runs", stand_in / "pipeline" / config.name):
            collect(kept, config.keep_runs)
    finally:
        shutil.rmtree(folder / "read", ignore_errors=True)
        answer["nodes"] = [
            {"node": each.node, "state": each.state, "seconds": round(each.seconds, 3)} for each in progress.results
        ]


def _keys(config: "Config", config_file: Path) -> dict[str, str]:
    """Return the folder of the key that signs releases as the parameter `keys`, if this machine has the key."""
    key = config.release.signing_key
    file = None if key is None else config_file.absolute().parent / key
    return {} if file is None or not file.is_file() else {"keys": str(file.parent)}


def collect(folder: Path, keep: int) -> None:
    """Delete the folders of all runs but the latest `keep`, whose names sort by time."""
    runs = sorted(path for path in folder.glob("*") if path.is_dir())
    for path in runs[:-keep]:
        shutil.rmtree(path)


def in_force(releases: str) -> str | None:
    """Return the version of the release in force in a folder or bucket."""
    from core.release.store import open_store

    return open_store(releases).current()


class BucketOutcome:
    """The output artifacts of a run in a bucket; see `pipeline.runners.outcome.Outcome`.

    Args:
      made: task → key → artifact.
      bucket: the bucket.
      folder: a folder for the files that are read.
    """

    def __init__(self, made: "Mapping[str, Mapping[str, Artifact]]", bucket: "Bucket", folder: Path):
        self._made, self._bucket, self._folder = made, bucket, folder

    def folder(self, node: str, output: str) -> Path:
        """Return a folder with the files of an output."""
        folder = self._folder / node / output
        if not folder.is_dir():
            self._bucket.storage(self._made[node][output]["uri"]).download("", folder)
        return folder

    def properties(self, node: str, output: str) -> dict[str, Any]:
        """Return the metadata of an output."""
        return dict(self._made[node][output]["metadata"])
