"""A lock in a database of PostgreSQL, under which one process at a time creates types of ML Metadata.

It is an advisory lock of a connection of its own. The server releases it when the connection ends, also with a process
that is killed.
"""

import contextlib
import re
import ssl
from collections.abc import Iterator
from typing import Any

from core.errors import TwostepError
from core.printable import one_line

_KEY = 0x74776F7374657074  # any number that the processes agree on; the lock belongs to the database
_SECONDS = 60  # for the connection, and for the wait for other processes, which hold the lock for some seconds


@contextlib.contextmanager
def held(connection: Any) -> Iterator[None]:
    """Hold the lock of a database in the block.

    Args:
      connection: the field `postgresql` of a ConnectionConfig of ML Metadata.
    Raises:
      TwostepError: the database cannot be reached, or another process holds the lock for too long.
    """
    from pg8000 import dbapi

    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(contextlib.closing(_connected(connection)))
            opened.autocommit = True
            cursor = opened.cursor()
            cursor.execute(f"SET lock_timeout = '{_SECONDS}s'")
            cursor.execute("SELECT pg_advisory_lock(%s)", (_KEY,))
        except (dbapi.Error, OSError) as error:
            raise TwostepError(
                f"metadata.postgresql: {connection.host}:{connection.port}: the types of ML Metadata could not be "
                f"locked: {one_line(error, 300)}. Run again when other runs have started"
            ) from error
        yield


def _connected(connection: Any) -> Any:
    """Return a connection with the encryption that `sslmode` asks for, as libpq understands it."""
    from pg8000 import dbapi

    mode = connection.ssloption.sslmode
    arguments = {
        "host": connection.host,
        "port": int(connection.port),
        "database": connection.dbname,
        "user": connection.user,
        "password": _unquoted(connection.password) or None,
        "timeout": _SECONDS + 10,
    }
    if mode == "disable":
        return dbapi.connect(**arguments, ssl_context=None)
    try:
        return dbapi.connect(**arguments, ssl_context=_context(mode, _unquoted(connection.ssloption.sslrootcert)))
    except dbapi.InterfaceError as error:
        if mode not in ("allow", "prefer") or "SSL" not in str(error):
            raise
    return dbapi.connect(**arguments, ssl_context=None)


def _context(mode: str, authority: str) -> ssl.SSLContext:
    """Return what is checked of the server's certificate: its signature if there is an authority, and its host."""
    context = ssl.create_default_context(cafile=authority or None)
    context.check_hostname = mode == "verify-full"
    if not authority or mode in ("allow", "prefer"):
        context.verify_mode = ssl.CERT_NONE
    return context


def _unquoted(value: str) -> str:
    """Return a value from the form in which `pipeline.lineage.database` writes it into a connection string."""
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith("'") else value
