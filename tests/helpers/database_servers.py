"""A real server of PostgreSQL on a free port of the loopback interface, from the system's binaries."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

USER = "postgres"
# With all that a connection string gives a meaning to.
PASSWORD = "p\"w' \\d ="


@dataclass(frozen=True)
class Server:
    """A running server of PostgreSQL.

    Args:
      port: its port on 127.0.0.1.
      binaries: the folder of `psql`.
    """

    port: int
    binaries: Path

    def ask(self, statement: str, database: str = "postgres") -> list[str]:
        """Run an SQL statement; return the lines of the answer."""
        command = [self.binaries / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-tA", "-c", statement]
        environment = os.environ | {"PGPASSWORD": PASSWORD}
        done = subprocess.run([*command, database], env=environment, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()


def binaries() -> Path:
    """Return the folder of the programs of PostgreSQL. Raises: RuntimeError if it is not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        raise RuntimeError("initdb: not found. Install PostgreSQL, for example with `apt-get install postgresql`")
    return folders[-1]


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """Run a server in the block, in a temporary folder."""
    # Not in a folder of pytest, into which no other account may go.
    with tempfile.TemporaryDirectory(prefix="twostep-postgresql-") as temporary:
        yield from _running(Path(temporary))


def _running(folder: Path) -> Iterator[Server]:
    programs, user = binaries(), _account()
    password = folder / "password"
    password.write_text(PASSWORD + "\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    if user is not None:  # the server refuses to run as root
        for place in (folder, password):
            os.chown(place, user.pw_uid, user.pw_gid)
    data = folder / "data"
    identity = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    options = f"-p {port} -k {folder} -h 127.0.0.1"
    for command in (
        ["initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8"],
        ["pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", "start"],
    ):
        subprocess.run(
            [programs / command[0], *command[1:]], check=True, cwd=folder, stdout=subprocess.DEVNULL, **identity
        )
    try:
        yield Server(port, programs)
    finally:
        subprocess.run(
            [programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"],
            check=True, cwd=folder, stdout=subprocess.DEVNULL, **identity,
        )  # fmt: skip


def _account() -> pwd.struct_passwd | None:
    """Return the account that the server runs as, if these tests run as root."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None
