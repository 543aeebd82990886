"""The folder for what can be fetched again: public datasets, tables, and local copies of releases."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return the folder `name` in `$TWOSTEP_CACHE`, else `$XDG_CACHE_HOME/twostep`, else `~/.cache/twostep`."""
    if cache := os.environ.get("TWOSTEP_CACHE"):
        return Path(cache) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twostep" / name
