"""The release that is served: loaded beside the one before, warmed up, then put in its place."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import ReleaseError, StorageError, TwostepError
from core.release import reader, store
from serving import current_values, models
from serving.engine import TwoStep
from serving.experiments.settings import Arm
from serving.recommender import Recommender
from serving.requests import Request
from serving.rerank import settings as reranking
from serving.settings import ServingSettings
from serving.stores.store import Store, StoreError

log = logging.getLogger("twostep.serve")


@dataclass(frozen=True)
class Place:
    """Where releases are read from.

    Args:
      location: the folder or URI of the releases, or of one release.
      trusted: files of public keys, one of which must have signed a release; if empty, none need be signed.
      modules: the Python modules that may be imported for the feature kinds of a release.
    """

    location: str | Path
    trusted: Sequence[Path] = ()
    modules: Sequence[str] = ()


class _Loaded:
    """A recommender, with the number of calls that use it; it is closed when it is retired and no call uses it."""

    def __init__(self, recommender: Recommender, stack: contextlib.ExitStack):
        self.recommender, self.stack = recommender, stack
        self.users, self.retired = 0, False


class Current:
    """The recommender of the release in force. A thread looks for another release, and for changed items.

    A release that cannot be loaded is reported once, and the one before goes on.

    Args:
      place: where releases are read from.
      store: the store of users, items and events.
      refresh_s: the time between two looks.
      arms: the arms of an experiment whose settings are applied to the release, too.
      version: a version that is served in place of the release in force; None for this one.
    Raises:
      TwostepError: there is no release, or it cannot be loaded.
    """

    def __init__(
        self,
        place: Place,
        store_of_users: Store,
        refresh_s: float,
        arms: Sequence[Arm] = (),
        version: str | None = None,
    ):
        self._arms, self._fixed = arms, version
        self._place, self._store, self._refresh_s = place, store_of_users, refresh_s
        self._releases = None if store.is_release(place.location) else store.open_store(place.location)
        self._lock = threading.Lock()
        self._refused: str | None = None
        self.swaps, self.refusals = 0, 0
        self._loaded = self._load(version)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def version(self) -> str:
        """Return the version that is served."""
        return self._loaded.recommender.version

    def kept(self) -> list[str]:
        """Return the versions of the releases that are kept, the newest first."""
        return [self.version] if self._releases is None else self._releases.versions()

    def beside(self, version: str) -> "Current":
        """Return another release of the same folder, loaded. Raises: TwostepError if it cannot be loaded."""
        return Current(self._place, self._store, self._refresh_s, (), version)

    @contextlib.contextmanager
    def using(self, arm: str | None = None) -> Iterator[Recommender]:
        """Yield the recommender, which is not closed before the end of the block.

        Args:
          arm: the label of the arm whose settings it has; None for those of the release.
        """
        with self._using() as loaded:
            yield loaded.recommender.view(arm)

    @contextlib.contextmanager
    def _using(self) -> Iterator[_Loaded]:
        """Yield what is loaded, which is not closed before the end of the block."""
        with self._lock:
            loaded = self._loaded
            loaded.users += 1
        try:
            yield loaded
        finally:
            with self._lock:
                loaded.users -= 1
                unused = loaded.retired and not loaded.users
            if unused:
                loaded.stack.close()

    def refresh(self) -> None:
        """Put the release in force in the place of the served one if it is another, and read changed items."""
        if self._releases is not None and self._fixed is None:
            version = self._releases.current()
            if version is not None and version not in (self.version, self._refused):
                self._swap(version)
        self.refresh_items()

    def refresh_items(self) -> None:
        """Read which items were changed in the store."""
        with self._using() as loaded:
            loaded.recommender.refresh()

    def close(self) -> None:
        """End the thread, and close the recommender."""
        self._stop.set()
        self._thread.join()
        self._retire(self._loaded)

    def _swap(self, version: str) -> None:
        try:
            following = self._load(version, self._loaded.recommender)
        except (StoreError, StorageError):  # these may pass: it is loaded again at the next look
            raise
        except Exception as error:
            self._refused = version
            self.refusals += 1
            unexpected = None if isinstance(error, TwostepError) else error
            log.error("release %s is not served, %s goes on: %s", version, self.version, error, exc_info=unexpected)
            return
        with self._lock:
            before, self._loaded = self._loaded, following
        self._refused = None
        self.swaps += 1
        log.info("release %s is served, in place of %s", version, before.recommender.version)
        self._retire(before)

    def _retire(self, loaded: _Loaded) -> None:
        """Close a recommender, now or after the last call that uses it."""
        with self._lock:
            loaded.retired = True
            unused = not loaded.users
        if unused:
            loaded.stack.close()

    def _load(self, version: str | None, before: Recommender | None = None) -> _Loaded:
        """Return the recommender of a version, verified and warmed up; None for the release in force."""
        place = self._place
        with contextlib.ExitStack() as stack:
            if self._releases is None:
                folder = stack.enter_context(store.reading_copy(place.location, place.trusted))
            else:
                folder = stack.enter_context(self._releases.reading(version, place.trusted))
            engine = models.of_release(folder, place.modules, place.trusted)
            stack.callback(engine.close)
            manifest = reader.manifest_of(folder, place.trusted)
            facts = {name: manifest[name] for name in ("created", "content_digest")}
            facts |= {"metrics": manifest["facts"].get("metrics", {}), "lineage": manifest["facts"].get("lineage")}
            arms = {each.label: _of_arm(each, engine) for each in self._arms}
            read_at = current_values.read_at(manifest)
            recommender = Recommender(manifest["version"], folder, engine, self._store, facts, before, arms, read_at)
            for arm in (None, *arms):
                _warm(recommender.view(arm))
            return _Loaded(recommender, stack.pop_all())

    def _watch(self) -> None:
        while not self._stop.wait(self._refresh_s):
            try:
                self.refresh()
            except TwostepError as error:
                log.warning("the release in force or changed items could not be read: %s", error)
            except Exception:
                log.exception("the release in force could not be looked at")


def _of_arm(arm: Arm, engine: TwoStep) -> ServingSettings:
    """Return the settings of an arm. Raises: ReleaseError if the release lacks a feature that the re-ranking reads."""
    try:
        reranking.check(arm.reranking or engine.settings.reranking, engine.settings.features.item)
    except ValueError as error:
        raise ReleaseError(
            f"the arm {arm.label!r} does not fit the release: reranking.{error}. Correct the experiment"
        ) from None
    return arm.applied(engine.settings)


def _warm(recommender: Recommender) -> None:
    """Answer some requests, so that the first of a caller does not pay for the initialisation."""
    request = Request("", 10, int(time.time()))
    for batch in (1, 2, 8, 32):
        for result in recommender.recommend([request] * batch):
            if isinstance(result, Exception):
                raise result
