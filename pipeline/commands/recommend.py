"""`twostep recommend` and `twostep similar`: one answer of the current release, in the terminal."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UsageError

if TYPE_CHECKING:
    from core.queries import Queries
    from pipeline.config import Config
    from serving.engine import TwoStep


def add_arguments(subparsers: argparse._SubParsersAction) -> None:
    """Register both commands."""
    recommend = subparsers.add_parser(
        "recommend",
        help="recommendations for one user",
        description="What the release recommends to one user, by the tables of the latest run.",
    )
    recommend.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    recommend.add_argument("--user", metavar="ID", required=True, help="a user; one that no table has counts as new")
    recommend.add_argument(
        "--history", metavar="ITEM,…", help="the items they met, oldest first, instead of those on record"
    )
    recommend.set_defaults(func=_recommend)
    similar = subparsers.add_parser(
        "similar", help="items like one item", description="The items that the release finds like one."
    )
    similar.add_argument("config", metavar="CONFIG", type=Path, help="the YAML file")
    similar.add_argument("--item", metavar="ID", required=True)
    similar.set_defaults(func=_similar)
    for parser in (recommend, similar):
        parser.add_argument("-k", type=int, default=10, help="how many (10)")
        parser.add_argument("--release", metavar="VERSION", help="instead of the current one")
        parser.add_argument("--json", action="store_true", help="print JSON")


def _recommend(arguments: argparse.Namespace) -> int:
    config, engine, serving, quiet = _load(arguments)
    _check_k(arguments.k, engine.candidates, "the candidates that the release's retriever hands to its ranker")
    with quiet:
        queries = query_of(config, engine, serving, arguments.user, arguments.history)
        rows, scores = engine.recommend(queries, arguments.k)
    kept = rows[0] >= 0
    _print(engine, serving, rows[0][kept], scores[0][kept], f"for user {arguments.user}", arguments.json)
    return 0


def _similar(arguments: argparse.Namespace) -> int:
    _, engine, serving, quiet = _load(arguments)
    _check_k(arguments.k, engine.catalogue.num_rows, "the size of the catalogue")
    with quiet:
        rows, scores = engine.similar(arguments.item, arguments.k)
    _print(engine, serving, rows, scores, f"like item {arguments.item}", arguments.json)
    return 0


def _load(arguments: argparse.Namespace) -> tuple["Config", "TwoStep", dict[str, Any], Any]:
    """The configuration, the release's models, what its manifest says of serving, and a hush for libraries."""
    from core import files, names, releases
    from pipeline import config, logs, paths

    loaded = config.load(arguments.config)
    quiet = logs.captured(paths.log_folder(loaded) / "recommend.log", arguments.verbose)
    with releases.reading(paths.releases_folder(loaded), arguments.release) as folder, quiet:
        from serving.engine import TwoStep

        engine = TwoStep.of_release(folder)
        serving = files.read_json(folder / names.MANIFEST_FILE)["facts"]["serving"]
    return loaded, engine, serving, logs.captured(paths.log_folder(loaded) / "recommend.log", arguments.verbose)


def _check_k(k: int, most: int, what: str) -> None:
    if not 1 <= k <= most:
        raise UsageError(f"-k should be from 1 to {most:,}, {what}; found {k}")


def query_of(config: "Config", engine: "TwoStep", serving: dict[str, Any], user: str, history: str | None) -> "Queries":
    """The query of one user as of the latest run's events; a new user has no features and only the history given."""
    import numpy as np
    import pyarrow as pa

    from core import names
    from core.queries import Queries
    from transform.columns import feature_types

    state = _state_of(config, user)
    columns = {names.USER_ID: pa.array([user])}
    for name, kind in feature_types(engine.features.user).items():
        columns[name] = pa.array([state.get(name) if state else None], kind)
    met = history.split(",") if history is not None else (state or {}).get(names.HISTORY, [])
    seen = met if history is not None else (state or {}).get(names.EXCLUDE, [])
    times = [] if history is not None else (state or {}).get(names.HISTORY_TIME, [])
    strings = pa.list_(pa.string())
    return Queries(
        users=pa.table(columns),
        time=np.array([int(time.time())]),
        history=pa.array([met], strings),
        seen=pa.array([seen if serving["exclude_seen"] else []], strings),
        relevant_offsets=np.zeros(2, np.int64),
        relevant_items=np.zeros(0, np.int32),
        history_time=pa.array([times], pa.list_(pa.int64())),
    )


def _state_of(config: "Config", user: str) -> dict[str, Any] | None:
    """What the latest run's EventJoiner keeps of a user."""
    import pyarrow.compute as pc

    from core import names
    from core.columns import read_arrow
    from pipeline import lineage, paths

    folder = lineage.latest_output(lineage.open_store(paths.metadata_file(config)), "EventJoiner", "examples")
    for path in sorted((folder / names.USERS_FOLDER).glob("*.arrow")):
        table = read_arrow(path)
        row = pc.index(table[names.USER_ID], user).as_py()
        if row >= 0:
            return table.slice(row, 1).to_pylist()[0]
    return None


def _print(engine: "TwoStep", serving: dict[str, Any], rows: Any, scores: Any, what: str, as_json: bool) -> None:
    from core import names

    ids = engine.catalogue[names.ITEM_ID].to_pylist()
    titles = engine.catalogue[serving["title"]].to_pylist() if serving["title"] else None
    found = [
        {"rank": place + 1, names.ITEM_ID: ids[row], "title": titles[row] if titles else None, "score": float(score)}
        for place, (row, score) in enumerate(zip(rows, scores, strict=True))
    ]
    if as_json:
        json.dump(found, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{len(found)} items {what}", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("item", justify="right")
    if titles:
        table.add_column("title")
    table.add_column("score", justify="right")
    for each in found:
        table.add_row(
            str(each["rank"]), each[names.ITEM_ID], *([each["title"] or ""] if titles else []), f"{each['score']:.3f}"
        )
    Console().print(table)
