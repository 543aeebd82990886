"""A real server of PostgreSQL on a free port of the loopback interface, from the system's binaries."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
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
      data: the folder of its files.
      control: calls `pg_ctl` with arguments.
    """

    port: int
    binaries: Path
    data: Path
    control: Callable[..., None]

    def stop(self) -> None:
        """Stop the server at once, as at a loss of power."""
        self.control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start the server again."""
        self.control("start")

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Let the server and all its connections say nothing in the block, while they stay open."""
        parent = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        children = [int(each) for each in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
        for each in (parent, *children):
            os.kill(each, signal.SIGSTOP)
        try:
            yield
        finally:
            for each in (*children, parent):
                os.kill(each, signal.SIGCONT)

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

    def call(program: str, *arguments: object) -> None:
        subprocess.run([programs / program, *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL, **identity)

    def control(*arguments: object) -> None:
        call("pg_ctl", "-D", data, "-o", options, "-w", "-l", folder / "log", *arguments)

    call("initdb", "-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password}", "-E", "UTF8")
    control("start")
    try:
        yield Server(port, programs, data, control)
    finally:
        control("-m", "immediate", "stop")


def _account() -> pwd.struct_passwd | None:
    """Return the account that the server runs as, if these tests run as root."""
    return pwd.getpwnam("postgres") if os.geteuid() == 0 else None
