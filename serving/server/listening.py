"""The sockets that a server listens on."""

import socket

from core.errors import UsageError

BACKLOG = 2048


def alone(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address, for one process. Raises: UsageError."""
    return _listening(_bound(host, port))


def reserved(host: str, port: int) -> socket.socket:
    """Return a socket that keeps an address for workers, and does not listen itself. Raises: UsageError."""
    bound = _bound(host, port)
    # Set now and not before the address was bound: then another server of the same account could bind it too.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return bound


def of_worker(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a reserved address; the kernel spreads connections among those of all workers."""
    return _listening(_bound(host, port, socket.SO_REUSEPORT))


def url(host: str, port: int) -> str:
    """Return the URL of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(host: str, port: int, *options: int) -> socket.socket:
    """Return a socket with an address. Raises: UsageError."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        return bound
    except OSError as error:
        bound.close()
        raise UsageError(f"--host {host} --port {port}: cannot be listened on: {error.strerror or error}") from error


def _listening(bound: socket.socket) -> socket.socket:
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        bound.close()
        raise UsageError(f"--host {host} --port {port}: cannot be listened on: {error.strerror}") from error
    # asyncio sets it only for sockets that it makes itself. Without it an answer waits 40 ms for the caller's ACK.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return bound
