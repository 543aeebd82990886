"""`twostep recommend` and `twostep similar`: one answer of a release, in the terminal."""

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

if TYPE_CHECKING:
    import numpy as np

    from pipeline.commands.release_source import Source
    from serving.catalogue import Catalogue


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register both commands."""
    recommend = subparsers.add_parser(
        "recommend",
        help="recommendations for one user",
        description="Print what a release recommends to one user, as of its training.",
    )
    recommend.add_argument("--user", metavar="ID", required=True, help="a user; one that the release lacks is new")
    recommend.add_argument(
        "--history", metavar="ITEM,…", help="the items of their history, oldest first, instead of those on record"
    )
    recommend.set_defaults(func=_recommend)
    similar = subparsers.add_parser(
        "similar", help="items like one item", description="Print the items that a release finds most like one."
    )
    similar.add_argument("--item", metavar="ID", required=True)
    similar.set_defaults(func=_similar)
    for parser in (recommend, similar):
        parser.add_argument(
            "source", metavar="SOURCE", type=Path, help="a release, a folder of releases, or the configuration"
        )
        parser.add_argument("-k", type=int, default=10, help="how many (10)")
        parser.add_argument("--release", metavar="VERSION", help="instead of the current one")
        parser.add_argument(
            "--public-key", metavar="FILE", type=Path, help="the release should be signed with the key to this one"
        )
        parser.add_argument("--json", action="store_true", help="print JSON")


def _recommend(arguments: argparse.Namespace) -> int:
    with _release(arguments) as (folder, source):
        from serving import models, users

        engine = models.of_release(folder, source.modules, source.trusted, optimized=False)
        _check_k(arguments.k, engine.settings.candidates, "the candidates that the release's retriever returns")
        known = users.ReleaseUsers(folder / _users_folder()).get(arguments.user)
        user, strangers = known or users.User(), []
        if arguments.history is not None:
            history = [each for each in arguments.history.split(",") if each]
            strangers = [each for each in history if engine.catalogue.row(each) < 0]
            history = [each for each in history if engine.catalogue.row(each) >= 0]
            user = users.User(user.features, history, (), history)
        query = users.query(arguments.user, user, engine.settings, int(time.time()))
        ranked = engine.ranked(query)
        rows, scores = (found[0] for found in engine.rerank(query, ranked, arguments.k))
        places = [int((ranked.candidates.rows[0] == row).argmax()) for row in rows]
        steps = [
            {
                "probability": float(ranked.probabilities[0][place]),
                "retrieval_score": float(ranked.candidates.scores[0][place]),
                "retrieval_rank": place + 1,
            }
            for place in places
        ]
        items = _items(engine.catalogue, engine.settings.title, rows, scores, steps)
    answer = {
        "release": _version(folder),
        "user": arguments.user,
        "known": known is not None,
        "unknown_items": strangers,
    }
    if arguments.json:
        _print_json(answer | {"items": items})
        return 0
    if known is None:
        print(f"user {printable(arguments.user)} is new to the release: it knows no features and no history of theirs")
    if strangers:
        print(f"not in the catalogue, and left out of the history: {printable(', '.join(strangers))}")
    _print_table(items, f"for user {arguments.user}")
    return 0


def _similar(arguments: argparse.Namespace) -> int:
    with _release(arguments) as (folder, source):
        from serving import models

        settings = models.settings_of(folder, source.modules, source.trusted)
        retriever = models.retriever_of_release(folder, settings, ("similar",))
        catalogue = retriever.catalogue
        _check_k(arguments.k, len(catalogue), "the size of the catalogue")
        if catalogue.row(arguments.item) < 0:
            raise UsageError(
                f"item {arguments.item!r} is not among the {len(catalogue):,} items of the catalogue. "
                "Ids are as in the items table."
            )
        rows, scores = retriever.similar(arguments.item, arguments.k)
        items = _items(catalogue, settings.title, rows, scores, [{}] * len(rows))
    if arguments.json:
        _print_json({"release": _version(folder), "item": arguments.item, "items": items})
    else:
        _print_table(items, f"like item {arguments.item}")
    return 0


@contextlib.contextmanager
def _release(arguments: argparse.Namespace) -> Iterator[tuple[Path, "Source"]]:
    """Yield the folder of the release and what it is trusted with, with the libraries' messages out of the way."""
    import core.tf

    from core import collection
    from pipeline.commands import release_source
    from pipeline.runners import logs

    core.tf.for_answers_only()
    source = release_source.find(arguments.source, arguments.public_key)
    with contextlib.ExitStack() as stack:
        stack.enter_context(collection.postponed())
        temporary = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = stack.enter_context(release_source.reading(source, arguments.release))
        stack.enter_context(logs.captured(temporary / "log", arguments.verbose))
        yield folder, source


def _version(folder: Path) -> str:
    """Return the version of a release, whatever its folder is called."""
    from core.release import reader

    return reader.manifest_of(folder)["version"]


def _users_folder() -> str:
    from core import names

    return names.USERS_FOLDER


def _check_k(k: int, most: int, what: str) -> None:
    if not 1 <= k <= most:
        raise UsageError(f"-k should be from 1 to {most:,}, {what}; found {k}")


def _items(
    catalogue: "Catalogue", title: str | None, rows: "np.ndarray", scores: "np.ndarray", more: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the items of an answer, best first; padding is left out."""
    titles = catalogue.table[title].take(rows.clip(0)).to_pylist() if title else [None] * len(rows)
    return [
        {"rank": place + 1, "item_id": catalogue.ids[row], "title": titles[place], "score": float(scores[place])}
        | more[place]
        for place, row in enumerate(rows)
        if row >= 0
    ]


def _print_json(answer: dict[str, Any]) -> None:
    json.dump(answer, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def _print_table(items: list[dict[str, Any]], what: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    titled = any(item["title"] for item in items)
    table = Table(title=Text(f"{len(items)} items {printable(what)}"), title_justify="left")
    for heading, justify in (("", "right"), ("item", "right"), *([("title", "left")] if titled else [])):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("score", justify="right")
    for item in items:
        words = [str(item["rank"]), item["item_id"], *([item["title"] or ""] if titled else []), f"{item['score']:.3f}"]
        table.add_row(*(Text(printable(word)) for word in words))
    Console().print(table)
