"""`twostep replay`: an answer of a server made again, from what was logged of it."""

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.printable import printable
from pipeline.commands import server_store
from pipeline.commands.arguments import add_place, add_public_key

if TYPE_CHECKING:
    from pipeline.commands.release_source import Source
    from serving.replay import Replayed


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the command `replay`."""
    parser = subparsers.add_parser(
        "replay",
        help="an answer of a server made again",
        description="Make a logged answer again with the release, the user and the items as they were then, and print "
        "both lists. The exit code is 0 if they are equal, else 1.",
    )
    add_place(parser, "source", "the folder or URI of the releases, or a configuration")
    parser.add_argument("request_id", metavar="REQUEST_ID", help="the `request_id` of the answer")
    server_store.add_store(parser)
    add_public_key(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(func=_replay)


def _replay(arguments: argparse.Namespace) -> int:
    """Print a logged answer and the one that is made again."""
    import core.tf

    from core import garbage
    from core.release import reader
    from pipeline.commands import release_source
    from pipeline.runners import logs
    from serving import replay

    core.tf.without_training()
    source = release_source.find(arguments.source, arguments.public_key)
    with contextlib.ExitStack() as stack:
        stack.enter_context(garbage.postponed())
        store = stack.enter_context(server_store.opened(arguments.store, arguments.source))
        logged = replay.read(store, arguments.request_id)
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = stack.enter_context(_reading(source, logged.answer.release))
        stack.enter_context(logs.captured(temporary / "log", arguments.verbose))
        from serving import current_values, models
        from serving.recommender import Recommender

        engine = models.of_release(folder, source.modules, source.trusted)
        stack.callback(engine.close)
        read_at = current_values.read_at(reader.manifest_of(folder, source.trusted))
        found = logged.again(Recommender(logged.answer.release, folder, engine, store, {}, read_at=read_at))
    if arguments.json:
        sys.stdout.write(found.model_dump_json(indent=2) + "\n")
    else:
        _print(found)
    return 0 if found.equal else 1


@contextlib.contextmanager
def _reading(source: "Source", version: str) -> Iterator[Path]:
    """Yield the folder of a release. Raises: UsageError if the source is another release."""
    from core.release import reader, store
    from pipeline.commands import release_source

    one = store.is_release(source.location)
    with release_source.reading(source, None if one else version) as folder:
        if one and (found := reader.manifest_of(folder, source.trusted)["version"]) != version:
            raise UsageError(f"{source.location} is the release {found}; {version} made the answer. Give its parent")
        yield folder


def _print(found: "Replayed") -> None:
    """Print both lists as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    state = f", degraded: {found.degraded}" if found.degraded else ""
    title = f"request {found.request_id}, user {printable(found.user)}, release {found.release}{state}"
    table = Table(title=Text(title), title_justify="left")
    for heading in ("", "then", "score", "now", "score", ""):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for place, each in enumerate(found.items, 1):
        scores = ["" if score is None else f"{score:.5f}" for score in (each.then_score, each.now_score)]
        mark = "" if each.equal else "differs"
        cells = [str(place), each.then or "", scores[0], each.now or "", scores[1], mark]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)
    different = sum(not each.equal for each in found.items)
    print("equal" if found.equal else f"{different} of {len(found.items)} positions differ")
