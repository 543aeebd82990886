"""The route that says what the served release was made from."""

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field

from serving.server import problems

if TYPE_CHECKING:
    from serving.server.app import Server


class LineageAnswer(BaseModel):
    """What a release was made from."""

    release: str
    created: str
    content_digest: str = Field(description="The digest of all files of the release.")
    roots: list[int] = Field(description="The ids of the artifacts that the release consists of.")
    artifacts: list[dict[str, Any]] = Field(description="id, type, uri, created, properties, and sources: read files.")
    executions: list[dict[str, Any]] = Field(description="id, node, started, seconds, and inputs and outputs: ids.")


def add(app: FastAPI, server: "Server") -> None:
    """Add the route that says what the served release was made from."""

    @app.get("/v1/lineage", responses=problems.NOT_FOUND)
    def lineage() -> LineageAnswer:
        """Return the executions, artifacts and source files that the served release was made from."""
        with server.current.using() as using:
            version, facts = using.version, using.facts
        recorded = facts.get("lineage")
        if not recorded:
            raise HTTPException(404, f"The manifest of the release {version} holds no lineage.")
        made = {name: recorded[name] for name in ("roots", "artifacts", "executions")}
        return LineageAnswer(release=version, created=facts["created"], content_digest=facts["content_digest"], **made)
