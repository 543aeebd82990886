"""Public datasets as canonical tables in a cache folder; one module per recipe, without heavy imports.

The folder of a dataset holds `interactions.parquet`, `users.parquet` and `items.parquet` with the columns of
`core.names`, `TERMS.txt`, and `dataset.json` with the numbers of rows, sizes and digests, by which a later call checks
that the folder is complete.
"""

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.caches import cache_folder
from core.errors import UsageError

if TYPE_CHECKING:
    from pipeline.datasets.recipe import Recipe

# The module of a recipe is the name of the dataset with underscores.
NAMES: tuple[str, ...] = ("movielens-100k", "movielens-small", "complete-journey", "gowalla")


@dataclass(frozen=True)
class Description:
    """A dataset as `twostep data list` prints it."""

    name: str
    size: str
    columns: str
    terms: str
    is_cached: bool


def find_recipe(name: str) -> "Recipe":
    """Return the recipe of a dataset. Raises: UsageError, with the known names."""
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise UsageError(f"dataset should be one of {', '.join(NAMES)}; found {name!r}.{hint}")
    recipe: Recipe = importlib.import_module(f"pipeline.datasets.{name.replace('-', '_')}").RECIPE
    return recipe


def get(name: str, source: Path | None = None, log: Callable[[str], object] = print) -> Path:
    """Return the folder of a dataset; download and convert it first if it is not complete in the cache.

    Args:
      name: one of `NAMES`.
      source: the downloaded source, as a file or its folder; None to download it.
      log: called with each line of progress, and with the terms of use.

    Raises:
      UsageError: there is no such dataset, or its `source` is missing.
      DataError: the files of the source are not those that the recipe expects.
      TwostepError: the source could not be downloaded, or the cache cannot be written.
    """
    from pipeline.datasets.recipe import make

    recipe = find_recipe(name)
    folder = make(recipe, cache_folder(name), source, log)
    log(f"terms of use of {name}:\n{recipe.terms}")
    return folder


def describe() -> list[Description]:
    """Return the description of every dataset."""
    from pipeline.datasets.recipe import is_complete

    recipes = [find_recipe(name) for name in NAMES]
    return [
        Description(each.name, each.size, each.columns, each.short_terms, is_complete(each, cache_folder(each.name)))
        for each in recipes
    ]
