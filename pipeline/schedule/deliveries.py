"""The delivery that a configuration selects now."""

import hashlib
import os
from pathlib import Path

from pipeline.config import Config, paths
from pipeline.config.data import is_dated
from pipeline.schedule.records import Delivery


def selected(config: Config, config_file: Path) -> Delivery:
    """Return the files that the configuration selects now.

    A span is known by the name of its files, wherever they are, so a replaced file is no new delivery. It changes the
    signature: a file counts as changed if its size or its time of change differs, or in a bucket its content. The time
    is compared for equality only.

    Raises:
      UsageError: a table has no file, or lacks a span that another table has.
    """
    sources = paths.table_sources(config, config_file)
    dated = [table for table in sources if is_dated(config.data.paths[table]) and sources[table].spans]
    digest = hashlib.sha256(config_file.read_bytes())
    for table, files in sorted(paths.table_files(config, config_file).items()):
        for file in files:
            status = os.stat(file)
            digest.update(f"{table}\0{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    spans = sources[dated[0]].spans if dated else ()
    patterns = sorted({f"{table}: {pattern}" for table in dated for pattern in sources[table].delivered})
    return Delivery(spans, tuple(patterns), digest.hexdigest())
