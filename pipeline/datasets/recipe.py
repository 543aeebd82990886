"""Recipes of datasets: how a dataset is downloaded, checked, converted, and written atomically to a folder."""

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
    """The recipe of a dataset.

    Args:
      name: the name of the dataset.
      columns: the columns other than ids and timestamps, as text for `twostep data list`.
      terms: the terms of use.
      short_terms: the terms of use in a few words.
      files: file of the source → its SHA-256.
      tables: a function from the paths of `files`, in the same order, to a table for each of `names.TABLES`.
      rows: table → its number of rows.
      requirement: the pinned package whose wheel is the source; None if the user provides the files.
      version: the version of `tables`; increase it when the result for the same files changes, so that cached folders
        are made again.
    """

    name: str
    columns: str
    terms: str
    short_terms: str
    files: Mapping[str, str]
    tables: Callable[..., "dict[str, pa.Table]"]
    rows: Mapping[str, int]
    requirement: str | None = None
    version: int = 1

    @property
    def size(self) -> str:
        """Return the size as text."""
        users, items, events = (self.rows[table] for table in (names.USERS, names.ITEMS, names.INTERACTIONS))
        return f"{users:,} users, {items:,} items, {events:,} interactions"

    @property
    def made_from(self) -> dict[str, Any]:
        """Return the name, version and digests of the recipe; a cached folder with other values is outdated."""
        return {"name": self.name, "version": self.version, "source": dict(self.files)}


def make(recipe: Recipe, folder: Path, source: Path | None, log: Callable[[str], object]) -> Path:
    """Write the tables of a recipe to `folder` unless it is complete, and return it; see `datasets.get`."""
    if is_complete(recipe, folder):
        return folder
    if folder.exists():
        log(f"{folder} is damaged or outdated; making it again")
    with tempfile.TemporaryDirectory(prefix="twostep-") as work:
        paths = _source_files(recipe, source) if source else _download(recipe, Path(work), log)
        _check(recipe, paths)
        log(f"converting {recipe.name}")
        tables = recipe.tables(*paths)
    rows = {name: table.num_rows for name, table in tables.items()}
    if rows != dict(recipe.rows):
        raise TwostepError(
            f"{recipe.name}: should have {dict(recipe.rows)} rows; found {rows}. This is an error of its recipe"
        )
    try:
        _write(recipe, folder, tables)
    except OSError as error:
        raise TwostepError(f"{folder}: cannot be written: {error}. Free some space, or set TWOSTEP_CACHE") from error
    log(f"{recipe.name} is in {folder}: {recipe.size}")
    return folder


def is_complete(recipe: Recipe, folder: Path) -> bool:
    """Return whether `folder` was made by this recipe and each file has the recorded size; reads no table."""
    try:
        recorded = files.read_json(folder / DATASET_FILE)
        sizes = {file: (folder / file).stat().st_size for file in recorded["files"]}
        expected = {file: each["bytes"] for file, each in recorded["files"].items()}
        return recorded["made_from"] == recipe.made_from and sizes == expected
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _source_files(recipe: Recipe, source: Path) -> list[Path]:
    """Return the paths of the files of a source. Raises: UsageError if one is missing."""
    names_ = list(recipe.files)
    paths = [source] if source.is_file() and len(names_) == 1 else [source / name for name in names_]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise UsageError(f"--from {source}: should be a folder with {_and(names_)}; missing: {_and(missing)}")
    return paths


def _download(recipe: Recipe, work: Path, log: Callable[[str], object]) -> list[Path]:
    """Download the package of a recipe with pip and return its file. Raises: UsageError, TwostepError."""
    names_ = list(recipe.files)
    if recipe.requirement is None:
        raise UsageError(
            f"{recipe.name} is not in a package. Put {_and(names_)} in a folder and give it with --from FOLDER"
        )
    log(f"downloading {recipe.requirement}")
    pinned = work / "pinned.txt"
    pinned.write_text(" ".join([recipe.requirement, *(f"--hash=sha256:{value}" for value in recipe.files.values())]))
    # Download with pip, which is configured with the index, proxy and certificates of this machine.
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
        details = "\n  ".join([line for line in done.stderr.splitlines() if line.strip()][-6:])
        raise TwostepError(
            f"could not download {recipe.requirement}. Check the network and pip's settings (index, proxy, "
            f"certificates), or download {_and(names_)} on another machine and give it with --from PATH.\n  {details}"
        )
    return _source_files(recipe, work)


def _check(recipe: Recipe, paths: list[Path]) -> None:
    """Check the digests of the files of a source. Raises: DataError."""
    for path, expected in zip(paths, recipe.files.values(), strict=True):
        digest = files.sha256(path)
        if digest != expected:
            raise DataError(
                str(path), "SHA-256", f"is {digest}; {recipe.name} needs {expected}",
                "The file is another version or damaged. Download it again",
            )  # fmt: skip


def _write(recipe: Recipe, folder: Path, tables: "dict[str, pa.Table]") -> None:
    """Write the folder of a dataset atomically."""
    import pyarrow.parquet as pq

    with files.replacing_folder(folder) as partial:
        for name, table in tables.items():
            pq.write_table(table, partial / f"{name}.parquet")
        (partial / TERMS_FILE).write_text(recipe.terms + "\n", encoding="utf-8")
        digests = files.folder_digests(partial)
        written = {
            file: {"bytes": (partial / file).stat().st_size, "sha256": digest} for file, digest in digests.items()
        }
        files.write_json(
            partial / DATASET_FILE,
            {"made_from": recipe.made_from, "name": recipe.name, "rows": dict(recipe.rows), "files": written},
        )


def _and(words: list[str]) -> str:
    """Return words joined by `and`."""
    return " and ".join(words)
