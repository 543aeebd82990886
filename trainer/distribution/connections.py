"""The check that all machines reach each other. No TensorFlow here.

TensorFlow waits without an end for a machine that it cannot reach, and then even ignores SIGTERM. So each machine first
listens on its own port and connects to those of all others.
"""

import contextlib
import socket
import time
from collections.abc import Sequence

from core.errors import ModelError

POLL_S = 0.2
REPLY_S = 10  # how long a connection may take to say which call it belongs to


def check(machine: int, machines: Sequence[str], call: str, seconds: float) -> None:
    """Wait until this machine has connected to all others, and they to it.

    Args:
      machine: the number of this machine.
      machines: the machines, as `host:port`.
      call: the id of the call, which connections send.
      seconds: how long to wait.

    Raises:
      ModelError: a machine cannot be reached, or this machine's port is in use.
    """
    end = time.monotonic() + seconds
    port = int(machines[machine].rpartition(":")[2])
    try:
        server = _server(port, len(machines))
    except OSError as error:
        raise ModelError(
            f"training.machines: the port of {machines[machine]} cannot be opened: {error.strerror}. End the program "
            "that uses it, or choose another port"
        ) from error
    with contextlib.ExitStack() as stack, server:
        waiting = {number: each for number, each in enumerate(machines) if number != machine}
        expected = {f"{call} {number}" for number in waiting}
        while waiting or expected:
            for number, address in list(waiting.items()):
                connection = _connected(address)
                if connection is not None:
                    stack.enter_context(connection).sendall(f"{call} {machine}\n".encode())
                    del waiting[number]
            if expected:
                expected.discard(_received(server))
            if time.monotonic() > end:
                missing = sorted({*waiting.values(), *(machines[int(each.split()[1])] for each in expected)})
                raise ModelError(
                    f"training.machines: no connection in {seconds:.0f} s between {machines[machine]} and "
                    f"{', '.join(missing)}. Every machine must reach every other one at its address: check the names, "
                    "the ports and the firewall"
                )


def _server(port: int, backlog: int) -> socket.socket:
    """Return a socket that listens on all addresses of this machine, of IPv6 too where the machine has it."""
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):  # IPv6 may be switched off; a port in use fails below too
            return socket.create_server(("", port), family=socket.AF_INET6, backlog=backlog, dualstack_ipv6=True)
    return socket.create_server(("", port), backlog=backlog)


def _connected(address: str) -> socket.socket | None:
    """Return a connection to a machine; None if there is none now."""
    host, _, port = address.rpartition(":")
    try:
        return socket.create_connection((host.strip("[]"), int(port)), timeout=1)
    except OSError:
        return None


def _received(server: socket.socket) -> str:
    """Return the line that the next connection sends, empty if there is none in `POLL_S`."""
    server.settimeout(POLL_S)
    try:
        connection, _ = server.accept()
    except TimeoutError:
        return ""
    with connection:
        connection.settimeout(REPLY_S)
        try:
            return connection.makefile(encoding="utf-8").readline(100).strip()
        except (OSError, UnicodeDecodeError):
            return ""
