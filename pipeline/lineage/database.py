"""The database of ML Metadata, as one value: an SQLite file of one run folder, or a server that pipelines share.

This module imports ML Metadata when a database is opened, but neither TensorFlow nor TFX.
"""

import contextlib
import hashlib
import itertools
import os
import random
import re
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.errors import UsageError
from core.printable import one_line
from pipeline.config.metadata import PASSWORD, MySQL, PostgreSQL

_SECONDS = 10  # for a server to accept a connection
_TRIES = 20  # to open a database that another process creates or locks


@dataclass(frozen=True)
class SQLite:
    """An SQLite file, which holds the records of one run folder.

    Args:
      file: the file.
    """

    file: Path
    pipeline: None = None  # all records are meant

    def __str__(self) -> str:
        return str(self.file)

    def exists(self) -> bool:
        """Return whether a run may be recorded."""
        return self.file.is_file()

    def message(self) -> Any:
        """Return the ConnectionConfig of ML Metadata, which creates the file."""
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        message = mlmd.ConnectionConfig()
        message.sqlite.filename_uri = str(self.file)
        message.sqlite.connection_mode = mlmd.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        return message

    def check(self, deep: bool = False) -> None:
        """Check that the file, if it exists, is intact and of ML Metadata, whose errors do not name the file.

        Args:
          deep: whether to check every page of the file.

        Raises:
          UsageError: the file is damaged or was written by another program.
        """
        file = self.file
        if not file.exists() or (file.is_file() and file.stat().st_size == 0):
            return
        damage = _damage(file, deep) if file.is_file() else "is not a file"
        if damage:
            raise UsageError(
                f"{file}: {damage}; it should be the SQLite file of ML Metadata. Restore a copy of it, or move it "
                "away: the next run then starts without cache and lineage; releases are kept"
            )

    def open(self) -> Any:
        """Return the `ml_metadata.MetadataStore`.

        Raises:
          UsageError: the file does not exist, is damaged, or was written by another program.
        """
        if not self.exists():
            raise UsageError(f"{self}: no such file, so no run is recorded. Run the pipeline first: twostep run CONFIG")
        self.check()
        import ml_metadata

        return ml_metadata.MetadataStore(self.message())


@dataclass(frozen=True)
class Server:
    """A database in a server, which holds the records of several pipelines.

    Args:
      settings: the configured server.
      folder: the folder that the files in the settings are relative to.
      pipeline: the name of the pipeline whose records are meant.
    """

    settings: PostgreSQL | MySQL
    folder: Path
    pipeline: str

    def __str__(self) -> str:
        settings = self.settings
        return f"{self._kind}://{settings.user}@{settings.host}:{settings.port}/{settings.database}"

    @property
    def digest(self) -> str:
        """Return eight hex digits that tell this database from others."""
        settings = self.settings
        place = f"{self._kind}://{settings.host}:{settings.port}/{settings.database}"
        return hashlib.sha256(place.encode()).hexdigest()[:8]

    @property
    def _kind(self) -> str:
        return type(self.settings).__name__.lower()

    def exists(self) -> bool:
        """Return whether a run may be recorded."""
        return True

    def message(self) -> Any:
        """Return the ConnectionConfig of ML Metadata, with the password; it creates the database and the tables.

        Raises:
          UsageError: the file of the password or of the certificates cannot be read.
        """
        from ml_metadata.proto import metadata_store_pb2 as mlmd

        settings, message = self.settings, mlmd.ConnectionConfig()
        password, authority = self._password(), self._file("ca_file", settings.ca_file)
        if isinstance(settings, PostgreSQL):
            server = message.postgresql
            server.host, server.port, server.dbname = settings.host, str(settings.port), settings.database
            server.user = settings.user
            if password:
                server.password = _quoted(password)
            server.ssloption.sslmode = settings.ssl_mode
            if authority is not None:
                server.ssloption.sslrootcert = _quoted(str(authority))
        else:
            other = message.mysql
            other.host, other.port, other.database = settings.host, settings.port, settings.database
            other.user, other.password = settings.user, password
            if authority is not None:
                other.ssl_options.ca = str(authority)
                other.ssl_options.verify_server_cert = settings.verify_server
        return message

    def check(self, deep: bool = False) -> None:
        """Check that the server accepts the connection; create the database and its tables if they are missing.

        Raises:
          UsageError: it does not answer, or refuses the user, the password or the database.
        """
        self.open()

    def open(self) -> Any:
        """Return the `ml_metadata.MetadataStore`. Raises: UsageError, see `check`."""
        message = self.message()
        try:
            socket.create_connection((self.settings.host, self.settings.port), _SECONDS).close()
        except OSError as error:
            raise UsageError(
                f"metadata.{self._kind}: {self.settings.host}:{self.settings.port} does not answer ({error}). Start "
                "the server, or correct `host` and `port`"
            ) from None
        with _captured() as output:
            try:
                return store_of(message)
            except RuntimeError as error:
                output.seek(0)
                reasons = re.findall(r"(?:FATAL|ERROR): +(.+)", output.read().decode(errors="replace")) or [str(error)]
        raise UsageError(
            f"metadata.{self._kind}: {self} cannot be opened: {one_line(reasons[-1], 300)}. Check `user`, `database` "
            f"and the password, in `password_file` or {PASSWORD}; the user must be allowed to create a missing database"
        )

    def _password(self) -> str:
        """Return the password; empty for none. Raises: UsageError."""
        if self.settings.password_file is None:
            return os.environ.get(PASSWORD, "")
        file = self.folder / Path(self.settings.password_file).expanduser()
        key = f"metadata.{self._kind}.password_file"
        try:
            password = file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "is not text"
            raise UsageError(f"{key}: {file}: {why}. Write the password into this file, or name another") from None
        if not password or "\n" in password:
            raise UsageError(f"{key}: {file}: should hold one password on one line; it does not")
        return password

    def _file(self, key: str, name: str | None) -> Path | None:
        """Return the path of a configured file. Raises: UsageError if it is missing."""
        if name is None:
            return None
        file = (self.folder / Path(name).expanduser()).absolute()
        if not file.is_file():
            raise UsageError(f"metadata.{self._kind}.{key}: {file} is not a file. Correct the path")
        return file


Database = SQLite | Server


@contextlib.contextmanager
def _captured() -> Iterator[IO[bytes]]:
    """Yield a file with what this process writes to stderr in the block: ML Metadata's lines on each connection."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as output:
        os.dup2(output.fileno(), 2)
        try:
            yield output
        finally:
            os.dup2(before, 2)
            os.close(before)


def store_of(message: Any) -> Any:
    """Return the `ml_metadata.MetadataStore` of a ConnectionConfig. Raises: RuntimeError if it cannot be opened."""
    import ml_metadata

    from pipeline.lineage.postgresql import Store

    kind = Store if message.HasField("postgresql") else ml_metadata.MetadataStore
    for attempt in itertools.count(1):
        try:
            return kind(message)
        except RuntimeError as error:
            # Another process creates the tables or writes at this moment, which a new attempt mends.
            if attempt == _TRIES or not any(word in str(error) for word in ("already exists", "concurrent", "locked")):
                raise
            time.sleep(random.uniform(0.1, 1))
    return None


def _quoted(value: str) -> str:
    """Return a value of a connection string of PostgreSQL, into which ML Metadata copies it unchanged."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _damage(file: Path, deep: bool) -> str:
    """Return a description of the damage of an SQLite file; empty for an intact file."""
    try:
        # Open for writing, so that SQLite rolls back unfinished writes of a killed run.
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if tables and not {"MLMDEnv", "Artifact", "Execution"} <= tables:
                return f"is an SQLite file of another program, with the tables {', '.join(sorted(tables)[:3])}"
            [(state,)] = database.execute("PRAGMA quick_check(1)").fetchall() if deep else [("ok",)]
    except sqlite3.Error as error:
        # A run in progress locks the file at times, which is not damage.
        return "" if "locked" in str(error) else f"is damaged ({error})"
    return "" if state == "ok" else f"is damaged ({state.splitlines()[-1]})"
