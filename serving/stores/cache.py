"""Texts by key in a Redis, which readers fill and writers delete. No database here.

A key holds one of three things: an entry, which begins with its mark; the lease of a reader, who may replace it by an
entry; or the number of writers who are changing what the entry is made of. The last two are the same in all versions.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis

TTL_S = 300  # how long an entry lives
LEASE_S = 5  # how long a reader may take to fill an entry
BLOCK_S = 30  # how long a writer keeps readers from filling an entry, if it never says that it is done
READ_S, WRITE_S = 0.1, 1.0  # how long Redis may say nothing to a reader and to a writer

# MGET is used for one key, since GET fails if the key holds something else than a text.
_TAKE = """
local found = {}
for i, key in ipairs(KEYS) do
  local held = redis.call('MGET', key)[1]
  if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then
    found[i] = held
  elseif held and (string.sub(held, 1, 6) == 'lease:' or string.match(held, '^%d+$')) then
    found[i] = ''
  else
    redis.pcall('SET', key, ARGV[2], 'PX', ARGV[3])
    found[i] = false
  end
end
return found
"""
_FILL = """
local refused = 0
for i, key in ipairs(KEYS) do
  if redis.call('MGET', key)[1] == ARGV[1] then
    if redis.pcall('SET', key, ARGV[i + 2], 'PX', ARGV[2]).err then refused = refused + 1 end
  end
end
return refused
"""
# Without memory for its number a writer still deletes the entry.
_BLOCK = """
for _, key in ipairs(KEYS) do
  local held = redis.call('MGET', key)[1]
  local writers = held and string.match(held, '^%d+$') and tonumber(held) or 0
  if redis.pcall('SET', key, writers + 1, 'PX', ARGV[1]).err then redis.call('DEL', key) end
end
return 1
"""
_RELEASE = """
for _, key in ipairs(KEYS) do
  local held = redis.call('MGET', key)[1]
  local writers = held and string.match(held, '^%d+$') and tonumber(held) or 0
  if writers < 2 or type(redis.pcall('DECR', key)) == 'table' then redis.call('DEL', key) end
end
return 1
"""


class CacheError(Exception):
    """A Redis that cannot be reached, is too slow, or refuses a command."""


@dataclass(frozen=True)
class Taken:
    """What a reader got.

    Args:
      run: the process of Redis that answered.
      found: key → its entry, without the mark.
      missing: the keys that the reader may fill.
      lease: by what Redis knows this.
    """

    run: str
    found: Mapping[str, bytes]
    missing: frozenset[str]
    lease: str


class Cache:
    """The entries in a Redis. It may be used by several threads, and is reached at the first use.

    Args:
      url: the URL, such as `redis://:PASSWORD@HOST:6379/0`, or `rediss://` for TLS.
    """

    def __init__(self, url: str):
        self._readers, self._writers = _pool(url, READ_S), _pool(url, WRITE_S)

    def take(self, keys: Sequence[str], mark: str) -> Taken:
        """Return the entries with a mark, and let the caller fill those that no other reader or writer holds.

        Raises: CacheError.
        """
        lease = f"lease:{uuid.uuid4().hex}"
        held, run = _run(self._readers, _TAKE, keys, mark, lease, LEASE_S * 1000)
        found = {key: text[len(mark) :] for key, text in zip(keys, held, strict=True) if text}
        missing = frozenset(key for key, text in zip(keys, held, strict=True) if text is None)
        return Taken(run, found, missing, lease)

    def fill(self, taken: Taken, mark: str, entries: Mapping[str, bytes]) -> int:
        """Write entries in place of the leases that are still there; return how many Redis had no memory for.

        Raises: CacheError.
        """
        texts = [mark.encode() + each for each in entries.values()]
        return _run(self._readers, _FILL, list(entries), taken.lease, int(TTL_S * 1000), *texts)[0]

    def block(self, keys: Sequence[str]) -> str:
        """Delete entries and leases, let nobody fill them, and return the process that answered. Raises: CacheError."""
        return _run(self._writers, _BLOCK, keys, int(BLOCK_S * 1000))[1]

    def release(self, keys: Sequence[str]) -> str:
        """Delete entries and leases, let readers fill them if no other writer keeps them from it, and return the
        process that answered. Raises: CacheError.
        """
        return _run(self._writers, _RELEASE, keys)[1]

    def run(self) -> str:
        """Return the process that answers. Raises: CacheError."""
        return _run(self._readers, "return 1", [])[1]

    def close(self) -> None:
        """Close all connections."""
        self._readers.disconnect()
        self._writers.disconnect()


def is_url(text: str) -> bool:
    """Return whether a text is the URL of a Redis: of TCP, with no other options than those of TLS."""
    try:
        parts = urlsplit(text)
        options = all(name.startswith("ssl_") for name, _ in parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        if parts.scheme not in ("redis", "rediss") or not (parts.hostname and options):
            return False
        if parts.port == 0 or not re.fullmatch(r"/?\d{0,5}", parts.path):
            return False
        _pool(text, READ_S).make_connection()  # connects at its first use
    except (ValueError, TypeError, redis.RedisError):
        return False
    return True


def _pool(url: str, seconds: float) -> redis.ConnectionPool:
    """Return a pool of connections on which Redis may say nothing for some seconds."""
    # A command is never sent again: its first copy may still be carried out, after the next command of this process.
    return redis.ConnectionPool.from_url(
        url, protocol=2, socket_timeout=seconds, socket_connect_timeout=seconds, driver_info=None,
        redis_connect_func=_begin, max_connections=10_000,
    )  # fmt: skip


def _begin(connection: Any) -> None:
    """Begin a connection, and remember the process at its other end: each start of Redis has another id."""
    connection.on_connect()
    connection.send_command("INFO", "server")
    found = re.search(rb"run_id:(\w+)", connection.read_response())
    if found is None:
        raise redis.ConnectionError("INFO has no run_id")
    connection.run = found[1].decode()


def _run(pool: redis.ConnectionPool, script: str, keys: Sequence[str], *arguments: object) -> tuple[Any, str]:
    """Run a script, and return its answer and the process that answered. Raises: CacheError."""
    try:
        connection: Any = pool.get_connection()
        try:
            names = [key.encode("utf-8", "surrogatepass") for key in keys]
            connection.send_command("EVAL", script, len(names), *names, *arguments)
            return connection.read_response(), connection.run
        except BaseException:
            connection.disconnect()  # its answer may still come, and would be taken for that of the next command
            raise
        finally:
            pool.release(connection)
    except (redis.RedisError, OSError) as error:
        raise CacheError(str(error) or type(error).__name__) from error
