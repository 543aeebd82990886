"""`twostep recommend` and `twostep similar`: recommendations and similar items of a release."""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UsageError
from core.printable import printable
from pipeline.commands.arguments import add_place, add_public_key

if TYPE_CHECKING:
    import numpy as np

    from pipeline.commands.release_source import Source
    from serving.catalogue import Catalogue


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Add the commands `recommend` and `similar`."""
    recommend = subparsers.add_parser(
        "recommend",
        help="recommendations for one user",
        description="Print the recommendations of a release for one user, based on the user's events in the release.",
    )
    recommend.add_argument(
        "--user", metavar="ID", required=True, help="the id of a user; a user outside the release has no history"
    )
    recommend.add_argument(
        "--history",
        metavar="ITEM,…",
        help="ids of the user's latest items, oldest first, in place of the history in the release",
    )
    recommend.set_defaults(func=_recommend)
    similar = subparsers.add_parser(
        "similar", help="items similar to one item", description="Print the items of a release most similar to an item."
    )
    similar.add_argument("--item", metavar="ID", required=True, help="the id of an item")
    similar.set_defaults(func=_similar)
    for parser in (recommend, similar):
        add_place(parser, "source", "the folder or URI of a release or of releases, or a configuration")
        parser.add_argument("-k", type=int, default=10, help="the number of items (10)")
        parser.add_argument("--release", metavar="VERSION", help="the version; by default the release in force")
        add_public_key(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")


def _recommend(arguments: argparse.Namespace) -> int:
    """Print recommendations for one user."""
    with _release(arguments) as (folder, source):
        from serving import models, users

        engine = models.of_release(folder, source.modules, source.trusted, optimized=False)
        _check_k(arguments.k, engine.settings.candidates, "the number of candidates of the release")
        stored = users.ReleaseUsers(folder / _users_folder()).get(arguments.user)
        user, unknown_items = stored or users.User(), []
        if arguments.history is not None:
            history = [each for each in arguments.history.split(",") if each]
            unknown_items = [each for each in history if engine.catalogue.row(each) < 0]
            history = [each for each in history if engine.catalogue.row(each) >= 0]
            user = users.User(user.features, history, (), history)
        query = users.query(arguments.user, user, engine.settings, int(time.time()))
        ranked = engine.ranked(query)
        rows, scores = (each[0] for each in engine.rerank(query, ranked, arguments.k))
        ranks = [int((ranked.candidates.rows[0] == row).argmax()) for row in rows]
        steps = [
            {
                "probability": float(ranked.probabilities[0][rank]),
                "retrieval_score": float(ranked.candidates.scores[0][rank]),
                "retrieval_rank": rank + 1,
            }
            for rank in ranks
        ]
        items = _items(engine.catalogue, engine.settings.title, rows, scores, steps)
    answer = {
        "release": _version(folder),
        "user": arguments.user,
        "known": stored is not None,
        "unknown_items": unknown_items,
    }
    if arguments.json:
        _print_json(answer | {"items": items})
        return 0
    if stored is None:
        print(f"user {printable(arguments.user)} is not in the release: no features and no history")
    if unknown_items:
        print(f"items of --history that are not in the catalogue, left out: {printable(', '.join(unknown_items))}")
    _print_table(items, f"for user {arguments.user}")
    return 0


def _similar(arguments: argparse.Namespace) -> int:
    """Print the items similar to one item."""
    with _release(arguments) as (folder, source):
        from serving import models

        settings = models.settings_of(folder, source.modules, source.trusted)
        retriever = models.retriever_of_release(folder, settings, ("similar",))
        catalogue = retriever.catalogue
        _check_k(arguments.k, len(catalogue), "the size of the catalogue")
        if catalogue.row(arguments.item) < 0:
            raise UsageError(
                f"item {arguments.item!r} is not in the catalogue of {len(catalogue):,} items. "
                "Give an id of the items table."
            )
        rows, scores = retriever.similar(arguments.item, arguments.k)
        items = _items(catalogue, settings.title, rows, scores, [{}] * len(rows))
    if arguments.json:
        _print_json({"release": _version(folder), "item": arguments.item, "items": items})
    else:
        _print_table(items, f"similar to item {arguments.item}")
    return 0


@contextlib.contextmanager
def _release(arguments: argparse.Namespace) -> Iterator[tuple[Path, "Source"]]:
    """Yield the folder of the release and its source, with the messages of libraries suppressed."""
    import core.tf

    from core import garbage
    from pipeline.commands import release_source
    from pipeline.runners import logs

    core.tf.without_training()
    source = release_source.find(arguments.source, arguments.public_key)
    with contextlib.ExitStack() as stack:
        stack.enter_context(garbage.postponed())
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = stack.enter_context(release_source.reading(source, arguments.release))
        stack.enter_context(logs.captured(temporary / "log", arguments.verbose))
        yield folder, source


def _version(folder: Path) -> str:
    """Return the version of a release from its manifest."""
    from core.release import reader

    return reader.manifest_of(folder)["version"]


def _users_folder() -> str:
    """Return the name of the folder of users in a release."""
    from core import names

    return names.USERS_FOLDER


def _check_k(k: int, largest: int, what: str) -> None:
    """Check that k is from 1 to `largest`; `what` describes this number in the error. Raises: UsageError."""
    if not 1 <= k <= largest:
        raise UsageError(f"-k should be from 1 to {largest:,}, {what}; found {k}")


def _items(
    catalogue: "Catalogue", title: str | None, rows: "np.ndarray", scores: "np.ndarray", more: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return one JSON object per item of the list, best first, without padding.

    Args:
      catalogue: the catalogue of the release.
      title: the column of titles; None if there is none.
      rows: [K] item rows, best first, padded with -1.
      scores: [K] the score of each item.
      more: further keys of the object of each item.
    """
    titles = catalogue.table[title].take(rows.clip(0)).to_pylist() if title else [None] * len(rows)
    return [
        {"rank": index + 1, "item_id": catalogue.ids[row], "title": titles[index], "score": float(scores[index])}
        | more[index]
        for index, row in enumerate(rows)
        if row >= 0
    ]


def _print_json(answer: dict[str, Any]) -> None:
    """Print a JSON object."""
    json.dump(answer, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _print_table(items: list[dict[str, Any]], what: str) -> None:
    """Print items as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    titled = any(item["title"] for item in items)
    table = Table(title=Text(f"{len(items)} items {printable(what)}"), title_justify="left")
    for heading, justify in (("", "right"), ("item", "right"), *([("title", "left")] if titled else [])):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("score", justify="right")
    for item in items:
        cells = [str(item["rank"]), item["item_id"], *([item["title"] or ""] if titled else []), f"{item['score']:.3f}"]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console().print(table)
