"""Public datasets as canonical tables in a cache folder; one module a recipe, nothing heavy imported here.

A folder of the cache holds `interactions.parquet`, `users.parquet` and `items.parquet` with the columns of
`core.names`, `TERMS.txt`, and `dataset.json` with the rows, sizes and digests that say whether it is whole.
"""

import difflib
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError

if TYPE_CHECKING:
    from pipeline.datasets.recipe import Recipe

# The module of a recipe is its name with underscores.
NAMES: tuple[str, ...] = ("movielens-100k", "movielens-small", "complete-journey", "gowalla")


@dataclass(frozen=True)
class Description:
    """A line of `twostep data list`."""

    name: str
    size: str
    has: str
    terms: str
    here: bool


def cache_folder(name: str) -> Path:
    """Where dataset `name` lies: below `$TWOSTEP_CACHE`, else `$XDG_CACHE_HOME/twostep`, else `~/.cache/twostep`."""
    if cache := os.environ.get("TWOSTEP_CACHE"):
        return Path(cache) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twostep" / name


def find_recipe(name: str) -> "Recipe":
    """The recipe of dataset `name`. Raises: UsageError, with the known names."""
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise UsageError(f"dataset should be one of {', '.join(NAMES)}; found {name!r}.{hint}")
    found: Recipe = importlib.import_module(f"pipeline.datasets.{name.replace('-', '_')}").RECIPE
    return found


def get(name: str, source: Path | None = None, say: Callable[[str], object] = print) -> Path:
    """The folder of dataset `name`, fetched and converted first unless it is there and whole.

    Args:
      name: one of `NAMES`.
      source: where the source lies already: the fetched file itself, or the folder it lies in.
      say: takes a line about what is being done, and the terms of use.

    Raises:
      UsageError: no such dataset, or it needs a `source` that is missing.
      DataError: the source is not the one that the recipe is for.
      TwostepError: it could not be fetched, or the cache cannot be written.
    """
    from pipeline.datasets.recipe import make

    wanted = find_recipe(name)
    folder = make(wanted, cache_folder(name), source, say)
    say(f"terms of use of {name}:\n{wanted.terms}")
    return folder


def describe() -> list[Description]:
    """Every dataset, and whether it is here."""
    from pipeline.datasets.recipe import is_whole

    recipes = [find_recipe(name) for name in NAMES]
    return [
        Description(each.name, each.size, each.has, each.terms_in_short, is_whole(each, cache_folder(each.name)))
        for each in recipes
    ]
