"""What a recipe says, and how it becomes a folder: fetch, check, convert, and move into place whole."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import files, names
from core.errors import DataError, TwostepError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

DATASET_FILE = "dataset.json"
TERMS_FILE = "TERMS.txt"


@dataclass(frozen=True)
class Recipe:
    """One dataset.

    Args:
      name: what users call it.
      has: its columns, for people.
      terms: its terms of use.
      terms_in_short: the same in a line.
      files: the source's files -> their SHA-256.
      tables: paths of those files, in that order -> a table each of `names.TABLES`.
      rows: how many rows each table has.
      requirement: the pinned package whose wheel is the source; None where the user brings the files.
      version: raised when `tables` makes other tables from the same files, so that a cached folder is made anew.
    """

    name: str
    has: str
    terms: str
    terms_in_short: str
    files: Mapping[str, str]
    tables: Callable[..., "dict[str, pa.Table]"]
    rows: Mapping[str, int]
    requirement: str | None = None
    version: int = 1

    @property
    def size(self) -> str:
        """Its size, for people."""
        users, items, events = (self.rows[table] for table in (names.USERS, names.ITEMS, names.INTERACTIONS))
        return f"{users:,} users, {items:,} items, {events:,} interactions"

    @property
    def made_from(self) -> dict[str, Any]:
        """What decides the tables; a folder made from anything else is out of date."""
        return {"name": self.name, "version": self.version, "source": dict(self.files)}


def make(recipe: Recipe, folder: Path, source: Path | None, say: Callable[[str], object]) -> Path:
    """`folder` with the recipe's tables; returns at once when they are there and whole. See `datasets.get`."""
    if is_whole(recipe, folder):
        return folder
    if folder.exists():
        say(f"{folder} is damaged or out of date; making it anew")
    with tempfile.TemporaryDirectory(prefix="twostep-") as work:
        paths = _given(recipe, source) if source else _fetched(recipe, Path(work), say)
        _check(recipe, paths)
        say(f"converting {recipe.name}")
        tables = recipe.tables(*paths)
    rows = {name: table.num_rows for name, table in tables.items()}
    if rows != dict(recipe.rows):
        raise TwostepError(
            f"{recipe.name}: should have {dict(recipe.rows)} rows, made {rows}. This is a fault of its recipe."
        )
    try:
        _write(recipe, folder, tables)
    except OSError as error:
        raise TwostepError(f"{folder}: cannot be written: {error}. Free some space, or set TWOSTEP_CACHE.") from error
    say(f"{recipe.name} is in {folder}: {recipe.size}")
    return folder


def is_whole(recipe: Recipe, folder: Path) -> bool:
    """Whether `folder` was made by this very recipe and each file has its size; reads no table."""
    try:
        told = files.read_json(folder / DATASET_FILE)
        whole = {file: (folder / file).stat().st_size for file in told["files"]}
        return told["made_from"] == recipe.made_from and whole == {k: v["bytes"] for k, v in told["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _given(recipe: Recipe, source: Path) -> list[Path]:
    wanted = list(recipe.files)
    paths = [source] if source.is_file() and len(wanted) == 1 else [source / name for name in wanted]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise UsageError(f"--from {source}: should be a folder with {_and(wanted)}; there is no {_and(missing)}.")
    return paths


def _fetched(recipe: Recipe, work: Path, say: Callable[[str], object]) -> list[Path]:
    wanted = list(recipe.files)
    if recipe.requirement is None:
        raise UsageError(
            f"{recipe.name} is in no package: put {_and(wanted)} in a folder and give it with --from FOLDER."
        )
    say(f"fetching {recipe.requirement}")
    pinned = work / "pinned.txt"
    pinned.write_text(" ".join([recipe.requirement, *(f"--hash=sha256:{value}" for value in recipe.files.values())]))
    # pip alone knows this machine's index, proxy and certificates.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
    ]
    command += ["--only-binary", ":all:", "--require-hashes", "--requirement", str(pinned), "--dest", str(work)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        told = "\n  ".join([line for line in done.stderr.splitlines() if line.strip()][-6:])
        raise TwostepError(
            f"could not fetch {recipe.requirement}. Check the network (the index, proxy and certificates are pip's own "
            f"settings) and try again; or get {_and(wanted)} on another machine and give it with --from PATH.\n  {told}"
        )
    return _given(recipe, work)


def _check(recipe: Recipe, paths: list[Path]) -> None:
    for path, expected in zip(paths, recipe.files.values(), strict=True):
        found = files.sha256(path)
        if found != expected:
            raise DataError(
                str(path), "SHA-256", f"is {found}, where {recipe.name} needs {expected}",
                "It is another version of the file, or damaged; fetch it again.",
            )  # fmt: skip


def _write(recipe: Recipe, folder: Path, tables: "dict[str, pa.Table]") -> None:
    import pyarrow.parquet as pq

    with files.replacing_folder(folder) as partial:
        for name, table in tables.items():
            pq.write_table(table, partial / f"{name}.parquet")
        (partial / TERMS_FILE).write_text(recipe.terms + "\n", encoding="utf-8")
        digests = files.folder_digests(partial)
        whole = {file: {"bytes": (partial / file).stat().st_size, "sha256": digest} for file, digest in digests.items()}
        files.write_json(
            partial / DATASET_FILE,
            {"made_from": recipe.made_from, "name": recipe.name, "rows": dict(recipe.rows), "files": whole},
        )


def _and(words: list[str]) -> str:
    return " and ".join(words)
