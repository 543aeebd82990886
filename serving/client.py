"""A typed client of the server."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from core.errors import TwostepError
from serving.server.messages import (
    BatchAnswer,
    EventsAnswer,
    ExplainAnswer,
    Problem,
    RankAnswer,
    RecommendAnswer,
    SimilarAnswer,
)

SECONDS = 10.0


class ServerError(TwostepError):
    """An answer that is a problem; `status` is the code of HTTP, `problem` what the server said."""

    def __init__(self, problem: Problem):
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.status, self.problem = problem.status, problem


class Client:
    """A client, which keeps its connections open until it is closed.

    Args:
      url: the URL of the server, such as http://127.0.0.1:8080.
      token: the server's token, if it asks for one.
      seconds: how long a request may take.

    All methods raise ServerError for an answer that is a problem, and httpx.TransportError without an answer.
    """

    def __init__(self, url: str, token: str | None = None, seconds: float = SECONDS):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=seconds)

    def recommend(self, user: str, k: int = 10, **options: Any) -> RecommendAnswer:
        """Return the best items for a user; `options` are the other keys of `POST /v1/recommend`."""
        return RecommendAnswer.model_validate(self._post("/v1/recommend", {"user": user, "k": k} | options))

    def recommend_batch(self, requests: Sequence[Mapping[str, Any]]) -> list[RecommendAnswer]:
        """Return the answers to several requests, each with the keys of `POST /v1/recommend`."""
        answer = self._post("/v1/recommend/batch", {"requests": [dict(each) for each in requests]})
        return BatchAnswer.model_validate(answer).answers

    def rank(self, user: str, items: Sequence[str], **options: Any) -> RankAnswer:
        """Return given items in the order for a user."""
        return RankAnswer.model_validate(self._post("/v1/rank", {"user": user, "items": list(items)} | options))

    def explain(self, user: str, k: int = 10, **options: Any) -> ExplainAnswer:
        """Return what the list for a user is made of; `options` as for `recommend`."""
        return ExplainAnswer.model_validate(self._post("/v1/explain", {"user": user, "k": k} | options))

    def similar(self, item: str, k: int = 10, **options: Any) -> SimilarAnswer:
        """Return the items most similar to an item."""
        return SimilarAnswer.model_validate(self._post("/v1/similar", {"item": item, "k": k} | options))

    def add_events(self, events: Sequence[Mapping[str, Any]]) -> EventsAnswer:
        """Add events, each with the keys of `POST /v1/events`."""
        return EventsAnswer.model_validate(self._post("/v1/events", {"events": [dict(each) for each in events]}))

    def user(self, user: str) -> dict[str, Any]:
        """Return what the server knows of a user."""
        return self._call("GET", "/v1/users", user)

    def put_user(self, user: str, features: Mapping[str, Any]) -> None:
        """Replace the features of a user."""
        self._call("PUT", "/v1/users", user, {"features": dict(features)})

    def erase_user(self, user: str) -> int:
        """Erase all that the store has of a user, and return the number of rows."""
        return self._call("DELETE", "/v1/users", user)["erased"]

    def item(self, item: str) -> dict[str, Any]:
        """Return what the server knows of an item."""
        return self._call("GET", "/v1/items", item)

    def put_item(self, item: str, **values: Any) -> None:
        """Replace what the store has of an item: `hidden`, `expires`, and the `features` of a new one."""
        self._call("PUT", "/v1/items", item, values)

    def delete_item(self, item: str) -> None:
        """Delete what the store has of an item."""
        self._call("DELETE", "/v1/items", item)

    def answer(self, request_id: str) -> dict[str, Any]:
        """Return a logged answer."""
        return self._call("GET", "/v1/answers", request_id)

    def replay(self, request_id: str) -> dict[str, Any]:
        """Return a logged answer beside the one that is made again from its inputs."""
        return self._answer(self._http.post(f"/v1/answers/{quote(request_id, safe='')}/replay"))

    def popular(self, k: int = 10) -> list[dict[str, Any]]:
        """Return the items with the most events before the release."""
        return self._answer(self._http.get("/v1/popular", params={"k": k}))

    def release(self) -> dict[str, Any]:
        """Return the release that is served."""
        return self._answer(self._http.get("/v1/release"))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._answer(self._http.post(path, json=body))

    def _call(self, method: str, path: str, key: str, body: dict[str, Any] | None = None) -> Any:
        return self._answer(self._http.request(method, f"{path}/{quote(key, safe='')}", json=body))

    @staticmethod
    def _answer(response: httpx.Response) -> Any:
        """Return the body of an answer. Raises: ServerError."""
        if response.is_success:
            return response.json() if response.content else None
        try:
            problem = Problem.model_validate_json(response.content)
        except ValueError:
            problem = Problem(title="No answer of the server", status=response.status_code, detail=response.text[:300])
        raise ServerError(problem)
