"""The files and folders of a recommender: runs, metadata, releases and tables."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.table_example_gen.sources import TableSource, folder_todo, matching
from core import files, names
from core.errors import UsageError
from core.storage import uris
from pipeline import datasets
from pipeline.config import Config
from pipeline.lineage.database import Database, Server, SQLite
from trainer.steps import REGISTRIES

if TYPE_CHECKING:
    from pipeline.sources.tables import Listing


def run_folder(config: Config) -> Path:
    """Return the folder of the runs as an absolute path, because ML Metadata records paths of artifacts below it."""
    return folder_of_runs(config.run_folder, config.name, config.folder or Path())


def folder_of_runs(run_folder: str | None, name: str, config_folder: Path) -> Path:
    """Return the folder of the runs of a recommender, independent of the working directory.

    Args:
      run_folder: the configured folder, relative to the configuration's folder. None: `runs/<name>` in the nearest of
        the configuration's folder and its parents that contains `.git` or `runs`, else in the configuration's folder.
      name: the name of the recommender.
      config_folder: the folder of the configuration.
    """
    config_folder = config_folder.absolute()
    if run_folder is not None:
        return Path(os.path.normpath(config_folder / run_folder))
    for folder in (config_folder, *config_folder.parents):
        if (folder / ".git").exists() or (folder / "runs").is_dir():
            return folder / "runs" / name
    return config_folder / "runs" / name


def metadata_database(config: Config) -> Database:
    """Return the database of ML Metadata: the configured server, or a file in the run folder."""
    server = config.metadata.postgresql or config.metadata.mysql
    if server is not None:
        return Server(server, config.folder or Path(), config.name)
    return SQLite(run_folder(config) / "metadata.sqlite")


def pipeline_root(config: Config) -> Path:
    """Return the folder of the artifacts, with one folder per node.

    A folder in it is named by the id of an execution, which is unique in one database only. So the artifacts that a
    server records have another folder than those of the file in the run folder, or of another server.
    """
    database = metadata_database(config)
    name = "pipeline" if isinstance(database, SQLite) else f"pipeline-{database.digest}"
    return run_folder(config) / name


def log_folder(config: Config) -> Path:
    """Return the folder of the logs, with one file per run."""
    return run_folder(config) / "logs"


def releases_folder(config: Config) -> str | Path:
    """Return the folder of the releases; the URI, if one is configured."""
    return config.release.folder if uris.is_uri(config.release.folder) else run_folder(config) / config.release.folder


def check_machine(config: Config) -> None:
    """Check that this machine has the programs and servers that fits of the models start. Raises: UsageError."""
    for step, registry in REGISTRIES.items():
        chosen = getattr(config, step)
        registry.check_machine(chosen.model, chosen.params)


def beam_arguments(config: Config) -> list[str]:
    """Return the arguments with which Beam runs a node. Raises: UsageError if the engine is not there."""
    folder = config.folder or Path()
    config.beam.check(folder, run_folder(config))
    return config.beam.arguments(folder)


def report_file(config: Config) -> Path:
    """Return the file of the report of the latest run."""
    return run_folder(config) / "report.html"


def tuning_folder(config: Config) -> Path:
    """Return the folder of finished trials, with one folder for each model and data."""
    return run_folder(config) / "tuning"


def tuning_report_file(config: Config, step: str) -> Path:
    """Return the file of the report of the latest search for the settings of a step."""
    return run_folder(config) / f"tuning-{step}.html"


def lineage_file(config: Config) -> Path:
    """Return the file of the drawing of the lineage of the latest release."""
    return run_folder(config) / "lineage.svg"


def data_root(config: Config, config_file: str | Path) -> str | Path:
    """Return the folder or URI that the paths of the tables are relative to."""
    if config.data.dataset is not None:
        return Path(datasets.cache_folder(config.data.dataset)).absolute()
    root = config.data.root or ""
    return root if uris.is_uri(root) else (Path(config_file).absolute().parent / root).resolve()


def table_sources(config: Config, config_file: str | Path) -> dict[str, TableSource]:
    """Return table → its files, with the selected spans; tables that are not on this machine are read into the cache.

    Raises:
      UsageError: no span is selected or the tables have different spans; see `pipeline.config.spans.choose`.
      TwostepError: a table cannot be read; see `pipeline.sources.tables.fetched`.
    """
    from pipeline.sources import tables

    return tables.fetched(config.data.locations, config.data.spans, data_root(config, config_file))


def table_files(
    config: Config, config_file: str | Path, sources: Mapping[str, TableSource] | None = None
) -> dict[str, list[Path]]:
    """Return table → its files, sorted; for dated tables the files of the selected spans.

    Args:
      config, config_file: the configuration and its file.
      sources: the result of `table_sources`, if it is known.
    Raises:
      UsageError: a table has no file, or a folder in place of a file; the message gives the remedy.
      TwostepError: as `table_sources`.
    """
    sources = table_sources(config, config_file) if sources is None else sources
    matched = {
        table: [Path(file) for pattern in source.patterns for file in matching(source.base, pattern)]
        for table, source in sources.items()
    }
    _check_found(config, config_file, matched)
    for table, found in matched.items():
        folder = next((path for path in found if path.is_dir()), None)
        if folder is not None:
            raise UsageError(f"data.{table}: {folder} is a folder. {folder_todo(str(folder))}.")
    return matched


def table_listings(config: Config, config_file: str | Path) -> "dict[str, Listing]":
    """Return table → the names of its files, without reading any.

    Raises:
      UsageError: as `table_files`.
      TwostepError: a table does not exist or may not be read; see `pipeline.sources.tables.listed`.
    """
    from pipeline.sources import tables

    found = tables.listed(config.data.locations, config.data.spans, data_root(config, config_file))
    _check_found(config, config_file, {table: each.files for table, each in found.items()})
    if are_files_here(config, config_file):
        table_files(config, config_file)
    return found


def are_files_here(config: Config, config_file: str | Path) -> bool:
    """Return whether all tables are files on this machine."""
    remote = uris.is_uri(data_root(config, config_file))
    return not remote and all(isinstance(each, str) for each in config.data.locations.values())


def _check_found(config: Config, config_file: str | Path, matched: Mapping[str, Sequence[object]]) -> None:
    """Raise UsageError if a table has no file."""
    root = data_root(config, config_file)
    missing = [f"  data.{table}: {root}/{config.data.paths[table]}" for table, found in matched.items() if not found]
    if missing:
        if config.data.dataset is not None:
            todo = f"Fetch the dataset first: twostep data get {config.data.dataset}"
        else:
            todo = "Put the files there, or correct `data.root` and the tables' `path`."
            if not matched.get(names.USERS, True):
                todo += " Where there is no table of users, set `data.users: null`."
        raise UsageError("no file matches:\n" + "\n".join(missing) + f"\n{todo}")


def signing_key(config: Config, config_file: str | Path) -> Path | None:
    """Return the file of the key that signs releases. Raises: UsageError if it is missing."""
    if config.release.signing_key is None:
        return None
    return _key_file(config.release.signing_key, config_file, "release.signing_key")


def key_digests(key_files: Iterable[str]) -> dict[str, str]:
    """Return file → SHA-256 of each key file, which changes if its key is replaced; empty names are skipped."""
    return {file: files.sha256(file) for file in key_files if file}


def check_keys(config: Config, config_file: str | Path) -> None:
    """Check that the signing key is among the trusted keys. Raises: UsageError, ReleaseError."""
    private, public = signing_key(config, config_file), trusted_keys(config, config_file)
    if private is None or not public:
        return
    from core.release import signing

    if not signing.is_signed(b"probe", signing.sign(b"probe", private), public):
        raise UsageError(
            "release.trusted_keys: none of them is the public key of release.signing_key, so a release that a run "
            "makes could not be loaded"
        )


def trusted_keys(config: Config, config_file: str | Path) -> list[Path]:
    """Return the files of the trusted public keys. Raises: UsageError if one is missing."""
    return [_key_file(key, config_file, "release.trusted_keys") for key in config.release.trusted_keys]


def _key_file(name: str, config_file: str | Path, key: str) -> Path:
    path = Path(config_file).absolute().parent / name
    if not path.is_file():
        raise UsageError(f"{key}: {path} is not a file. `twostep release keys FOLDER` makes a pair of keys")
    return path


def serving_folder(config: Config) -> Path:
    """Return the folder of the pushed models, as TensorFlow Serving expects them: `<name>/<version>/`."""
    return run_folder(config) / "serving"


def schema_files(config: Config, config_file: str | Path) -> dict[str, Path]:
    """Return table -> its frozen schema; empty where schemas are inferred.

    Raises:
      UsageError: `data.schema_folder` is set, and a table's schema is not in it or cannot be read.
    """
    if config.data.schema_folder is None:
        return {}
    folder = Path(config_file).absolute().parent / config.data.schema_folder
    found = {table: folder / f"{table}.pbtxt" for table in config.data.tables}
    for file in found.values():
        check_schema(file)
    return found


def frozen_schemas(config: Config, config_file: str | Path) -> dict[str, str]:
    """Copy the frozen schema of each table to a folder named by its digest; return table -> copy.

    TFX's cache compares the path of a schema and not its content, so a changed schema needs another path.

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


def check_schema(file: Path) -> None:
    """Raise UsageError if a frozen schema is missing or cannot be read."""
    if not file.is_file():
        raise UsageError(
            f"data.schema_folder: {file} is missing. Freeze it with `twostep data freeze`, or remove the key."
        )
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(file.read_text(encoding="utf-8"), schema_pb2.Schema())
        found = "" if schema.feature else "it lists no column"
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        found = str(error)[:200]
    if found:
        raise UsageError(
            f"data.schema_folder: {file} should hold a schema of TensorFlow Metadata as text; {found}. Freeze it again "
            "with `twostep data freeze`, or remove the key."
        )


def check_run_folder(folder: Path) -> None:
    """Check that a run folder is writable, without creating it.

    Raises:
      UsageError: the run folder or its nearest existing parent is a file or is not writable.
    """
    existing = next(each for each in (folder, *folder.parents) if each.exists() or each.is_symlink())
    if not existing.is_dir():
        raise UsageError(f"run_folder: {existing} is a file where a folder should be. Set another `run_folder`.")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UsageError(
            f"run_folder: {existing} is not writable. Change its permissions, or set another `run_folder`."
        )
