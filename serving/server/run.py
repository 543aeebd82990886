"""The process of the server."""

import signal
import socket
from collections.abc import Sequence

import sqlalchemy
import uvicorn

from core import garbage
from core.errors import ReleaseError, UsageError
from core.release import store as releases
from serving.experiments.settings import Experiment
from serving.server import connection
from serving.server.app import Server, application
from serving.server.arms import Arms
from serving.server.current import Current, Place
from serving.server.settings import ServerSettings
from serving.stores.sql import SqlStore
from serving.stores.store import Store

IDLE_S = 75  # how long an idle connection is kept: longer than the 60 s of usual proxies, which reuse connections
GRACE_S = 10  # how long requests may go on after the process was told to end


def loaded(
    place: Place,
    store_url: sqlalchemy.URL,
    settings: ServerSettings,
    experiment: Experiment | None = None,
    deletes: bool = True,
    cache: str | None = None,
) -> Server:
    """Return a server whose release is loaded.

    Args:
      place: where releases are read from.
      store_url: the URL of the database.
      settings: the settings.
      experiment: the experiment; None without one.
      deletes: as for `serving.server.app.Server`.
      cache: the URL of a Redis before the database; None for none.
    Raises:
      UsageError: an arm names a release that there is not.
      TwostepError: there is no release, or it cannot be used.
    """
    if not releases.is_release(place.location):
        releases.open_store(place.location).manifest(None, place.trusted)  # before anything is made beside the releases
    others = _other_releases(place, experiment)
    if cache is None:
        return _server(place, SqlStore(store_url), settings, experiment, others, deletes)
    from serving.stores.cached import CachedStore

    store = CachedStore(store_url, cache)
    server = _server(place, store, settings, experiment, others, deletes)
    store.count = server.metrics.cache
    return server


def _server(
    place: Place,
    store: Store,
    settings: ServerSettings,
    experiment: Experiment | None,
    others: Sequence[str],
    deletes: bool,
) -> Server:
    """Return a server whose releases are loaded, those that arms name among them."""
    with garbage.postponed():
        if experiment is None:
            return Server(Current(place, store, settings.refresh_s), store, settings, deletes=deletes)
        changed = [each for each in experiment.arms if each.changes_settings]
        own = {version: [each for each in changed if each.release == version] for version in (None, *others)}
        current = Current(place, store, settings.refresh_s, own[None])
        fixed = {each: Current(place, store, settings.refresh_s, own[each], each) for each in others}
        return Server(current, store, settings, Arms(current, experiment, fixed), deletes)


def serve(server: Server, listening: socket.socket) -> None:
    """Answer requests until SIGINT or SIGTERM."""
    settings = server.settings

    async def tick() -> None:
        server.metrics.release(server.current)

    config = uvicorn.Config(
        application(server),
        http=connection.protocol(connection.allowed(settings.max_connections), settings.read_s),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=IDLE_S,
        callback_notify=tick,
        timeout_notify=1,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends in order at these signals, and then raises them again, which would end the process by a signal.
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listening])


def _other_releases(place: Place, experiment: Experiment | None) -> list[str]:
    """Return the versions of the releases that arms name, each once. Raises: UsageError."""
    found: list[str] = []
    for number, arm in enumerate(experiment.arms if experiment else ()):
        if arm.release is None or arm.release in found:
            continue
        if releases.is_release(place.location):
            raise UsageError(
                f"arms.{number}.release: needs a folder of releases; {place.location} is one release. Give its parent"
            )
        try:
            releases.open_store(place.location).manifest(arm.release, place.trusted)
        except ReleaseError as error:
            raise UsageError(f"arms.{number}.release: {error}") from None
        found.append(arm.release)
    return found
