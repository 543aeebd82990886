"""Lists of other releases and arms for the same user, to compare them. They are not logged."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, Field

from core.errors import UsageError
from serving import requests
from serving.recommender import Recommender
from serving.server import problems
from serving.server.messages import RankedAnswer, RecommendAnswer, RecommendBody

if TYPE_CHECKING:
    from serving.server.app import Server
    from serving.server.current import Current

RequestOf = Callable[[Recommender, RecommendBody], requests.Request]
REFUSED = problems.NOT_FOUND | {409: problems.RESPONSES[400] | {"description": "The release is not loaded"}}


class CompareBody(RecommendBody):
    """A request for the list of another release or arm."""

    release: str | None = Field(None, description="The version of a kept release; null for that of the arm.")
    arm: str | None = Field(None, description="The label of an arm of the experiment; null for none.")


class Beside:
    """A release that is loaded beside those that are served, the last one that was compared with.

    Args:
      current: the release in force.
    """

    def __init__(self, current: "Current"):
        self._current, self._lock = current, threading.Lock()
        self._loaded: Current | None = None

    @property
    def version(self) -> str | None:
        """Return the version that is loaded; None for none."""
        return None if self._loaded is None else self._loaded.version

    @contextlib.contextmanager
    def using(self, version: str) -> Iterator[Recommender]:
        """Yield the recommender of a version, which takes the place of the one before. Raises: ReleaseError."""
        with self._lock, contextlib.ExitStack() as stack:
            loaded = self._loaded
            if loaded is None or loaded.version != version:
                self.close()
                loaded = self._loaded = self._current.beside(version)
            using, stack = stack.enter_context(loaded.using()), stack.pop_all()
        with stack:
            yield using

    def close(self) -> None:
        """Close the release that is loaded."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()


class ReleasesAnswer(BaseModel):
    """The releases and arms whose lists can be compared."""

    release: str = Field(description="The version that is served.")
    kept: list[str] = Field(description="The versions that are kept, the newest first.")
    loaded: list[str] = Field(description="The versions that are loaded, which can be compared at once.")
    arms: list[str] = Field(description="The labels of the arms of the experiment.")
    loads: bool = Field(description="Whether `POST /v1/compare` may load another version.")


def add(app: FastAPI, server: "Server", request_of: RequestOf) -> None:
    """Add the routes that list and compare releases.

    Args:
      app: the application.
      server: the server.
      request_of: returns the request of a body to a recommender.
    """

    @app.get("/v1/releases")
    def releases() -> ReleasesAnswer:
        """Return the releases and arms whose lists can be compared."""
        loaded = [*server.arms.versions(), *filter(None, [server.beside.version])]
        return ReleasesAnswer(
            release=server.current.version, kept=server.current.kept(), loaded=list(dict.fromkeys(loaded)),
            arms=server.arms.labels, loads=server.settings.may_compare,
        )  # fmt: skip

    @app.post("/v1/compare", responses=REFUSED)
    def compare(body: CompareBody, request: Request) -> RecommendAnswer:
        """Return the list that another release or arm has for a user. It is not logged."""
        with _using(server, body) as using:
            [found] = using.recommend([request_of(using, body)])
            version = using.version
        if isinstance(found, Exception):
            raise found
        return RecommendAnswer(
            request_id=request.state.request_id, release=version, arm=body.arm, user=body.user, known=found.known,
            degraded=found.degraded, items=[RankedAnswer(**vars(each)) for each in found.items],
        )  # fmt: skip


@contextlib.contextmanager
def _using(server: "Server", body: CompareBody) -> Iterator[Recommender]:
    """Yield the recommender that a body names. Raises: HTTPException."""
    if (body.release is None) == (body.arm is None):
        raise UsageError("release, arm: should be one of both. Give a version or the label of an arm")
    if body.arm is not None:
        if body.arm not in server.arms.labels:
            raise HTTPException(404, f"The experiment has no arm {body.arm!r}.")
        with server.arms.of_label(body.arm) as using:
            yield using
        return
    version = str(body.release)
    with server.arms.of_release(version) as loaded:
        if loaded is not None:
            yield loaded
            return
    if version not in server.current.kept():
        raise HTTPException(404, f"There is no release {version!r}; it may have been deleted.")
    if not server.settings.may_compare:
        raise HTTPException(
            409, f"The release {version} is not loaded. Serve it as an arm of an experiment, or set `compare` to true."
        )
    with server.beside.using(version) as using:
        yield using
