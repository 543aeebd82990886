"""The routes that read logged answers, and make them again."""

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from serving import replay
from serving.server import problems

if TYPE_CHECKING:
    from serving.server.app import Server


class LoggedAnswer(BaseModel):
    """An answer that was given."""

    request_id: str
    user: str
    timestamp: int = Field(description="When it was made, in seconds since 1970-01-01 UTC.")
    release: str
    items: list[str] = Field(description="The ids of the items, best first.")
    detail: dict[str, Any] = Field(description="k and offset of the request, how it was degraded, and the arm.")
    replayable: bool = Field(description="Whether its inputs are kept, so that it can be made again.")


def add(app: FastAPI, server: "Server") -> None:
    """Add the routes that read logged answers, and make them again."""
    refused = problems.NOT_FOUND | {409: problems.RESPONSES[400] | {"description": "It cannot be made again here"}}

    @app.get("/v1/answers/{request_id}", responses=problems.NOT_FOUND)
    def answer(request_id: str) -> LoggedAnswer:
        """Return a logged answer."""
        found = server.store.answer(request_id)
        if found is None:
            raise HTTPException(404, f"There is no answer {request_id!r} in the store.")
        values = {name: value for name, value in vars(found).items() if name != "user_id"}
        kept = server.store.inputs(request_id) is not None
        return LoggedAnswer(user=found.user_id, replayable=kept, **values)

    @app.post("/v1/answers/{request_id}/replay", responses=refused)
    def replayed(request_id: str) -> replay.Replayed:
        """Make a logged answer again, without what happened since, and compare both."""
        try:
            logged = replay.read(server.store, request_id)
        except replay.NotKeptError as error:
            raise HTTPException(404, str(error)) from None
        with server.arms.of_release(logged.answer.release) as using:
            if using is None:
                raise HTTPException(
                    409,
                    f"The release {logged.answer.release} is not loaded. Make the answer again with "
                    f"`twostep replay SOURCE {request_id}`.",
                )
            return logged.again(using)
