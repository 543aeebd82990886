"""Where everything of a recommender lies: its runs, its metadata, its releases, its tables."""

import os
import re
from pathlib import Path

from core import files
from core.errors import UsageError
from pipeline import datasets
from pipeline.config import Config


def run_folder(config: Config) -> Path:
    """The folder of all that runs leave behind; absolute, because ML Metadata keeps the paths below it."""
    return folder_of_runs(config.run_folder, config.name, config.folder or Path())


def folder_of_runs(run_folder: str | None, name: str, config_folder: Path) -> Path:
    """Return the folder of a recommender's runs, the same wherever a command is started.

    Args:
      run_folder: as configured; a relative one starts from the configuration's folder. None for the default, which is
        `runs/<name>` in the nearest folder, from the configuration's upwards, that holds `.git` or a folder `runs`;
        where there is none, in the configuration's folder.
      name: of the recommender.
      config_folder: the folder that the configuration lies in.
    """
    config_folder = config_folder.absolute()
    if run_folder is not None:
        return Path(os.path.normpath(config_folder / run_folder))
    for folder in (config_folder, *config_folder.parents):
        if (folder / ".git").exists() or (folder / "runs").is_dir():
            return folder / "runs" / name
    return config_folder / "runs" / name


def metadata_file(config: Config) -> Path:
    """The SQLite store of ML Metadata."""
    return run_folder(config) / "metadata.sqlite"


def pipeline_root(config: Config) -> Path:
    """The folder of the artifacts, one folder a node."""
    return run_folder(config) / "pipeline"


def log_folder(config: Config) -> Path:
    """The folder of the logs, one file a run."""
    return run_folder(config) / "logs"


def releases_folder(config: Config) -> Path:
    """The folder of the releases, which a server reads."""
    return run_folder(config) / config.release.folder


def report_file(config: Config) -> Path:
    """The report of the latest run."""
    return run_folder(config) / "report.html"


def tuning_folder(config: Config) -> Path:
    """The folder of finished trials, one folder for each model and data that was searched."""
    return run_folder(config) / "tuning"


def tuning_report_file(config: Config, step: str) -> Path:
    """The report of the latest search for a step's settings."""
    return run_folder(config) / f"tuning-{step}.html"


def lineage_file(config: Config) -> Path:
    """The drawing of the latest release's lineage."""
    return run_folder(config) / "lineage.svg"


def data_root(config: Config, config_file: str | Path) -> Path:
    """The folder that the tables' paths start from."""
    if config.data.dataset is not None:
        return Path(datasets.cache_folder(config.data.dataset)).absolute()
    return (Path(config_file).absolute().parent / (config.data.root or "")).resolve()


def table_files(config: Config, config_file: str | Path) -> dict[str, list[Path]]:
    """Table -> the files that its pattern matches, sorted.

    Raises:
      UsageError: a table has none; the message says how to get them.
    """
    root = data_root(config, config_file)
    patterns = {table: getattr(config.data, table).path for table in config.data.tables}
    matched = {table: sorted(root.glob(_as_glob(pattern))) for table, pattern in patterns.items()}
    missing = [f"  data.{table}: {root / patterns[table]}" for table, found in matched.items() if not found]
    if missing:
        if config.data.dataset is not None:
            todo = f"Fetch the dataset first: twostep data get {config.data.dataset}"
        else:
            todo = "Put the files there, or correct `data.root` and the tables' `path`."
        raise UsageError("no file matches:\n" + "\n".join(missing) + f"\n{todo}")
    return matched


def _as_glob(pattern: str) -> str:
    """A TFX input pattern as a glob: `{SPAN}`, `{SPAN:3}`, `{YYYY}` and the like stand for digits."""
    return re.sub(r"\{[A-Z]+(:\d+)?\}", "[0-9]*", pattern)


def serving_folder(config: Config) -> Path:
    """The folder of the pushed models, as TensorFlow Serving expects them: `<name>/<version>/`."""
    return run_folder(config) / "serving"


def schema_files(config: Config, config_file: str | Path) -> dict[str, Path]:
    """Return table -> its frozen schema; empty where schemas are inferred.

    Raises:
      UsageError: `data.schema_folder` is set and a table's schema is not in it.
    """
    if config.data.schema_folder is None:
        return {}
    folder = Path(config_file).absolute().parent / config.data.schema_folder
    found = {table: folder / f"{table}.pbtxt" for table in config.data.tables}
    for file in found.values():
        if not file.is_file():
            raise UsageError(
                f"data.schema_folder: {file} is missing. Freeze it with `twostep data freeze`, or remove the key."
            )
    return found


def frozen_schemas(config: Config, config_file: str | Path) -> dict[str, str]:
    """Table -> its frozen schema, as a copy under its digest: TFX's cache sees a path, never what stands in the file.

    Raises:
      UsageError: `data.schema_folder` is set and a table's schema is not in it.
    """
    copies = {}
    for table, frozen in schema_files(config, config_file).items():
        copy = run_folder(config) / "schemas" / files.sha256(frozen)[:16] / frozen.name
        if not copy.is_file():
            with files.replacing(copy) as partial:
                partial.write_bytes(frozen.read_bytes())
        copies[table] = str(copy)
    return copies
