"""The routes that read and change users and items."""

import time
from typing import TYPE_CHECKING, Annotated

from fastapi import FastAPI, HTTPException, Query, Response
from starlette.convertors import Convertor, register_url_convertor

from serving.server import features, problems
from serving.server.messages import Id, ItemBody, UserBody
from serving.stores.store import Item

if TYPE_CHECKING:
    from serving.server.app import Server


class _Text(Convertor[str]):
    """Any text of a path; Starlette's `path` has no line breaks, which ids may have."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _Text())
Few = Annotated[int, Query(ge=1, le=1000, description="The number of entries.")]


def add(app: FastAPI, server: "Server") -> None:
    """Add the routes that read and change users and items."""

    @app.get("/v1/users")
    def some_users(k: Few = 100) -> list[str]:
        """Return the ids of some users of the release."""
        with server.current.using() as using:
            return using.some_users(k)

    @app.get("/v1/users/{user_id:text}", responses=problems.NOT_FOUND)
    def user(user_id: Id) -> dict[str, object]:
        """Return what is known of a user."""
        with server.current.using() as using:
            [found] = using.users([user_id])
        if found is None:
            raise HTTPException(404, f"There is no user {user_id!r} in the release or in the store.")
        return {"user": user_id, "features": found.features, "history": found.history, "times": found.history_time}

    @app.put("/v1/users/{user_id:text}", status_code=204)
    def put_user(user_id: Id, body: UserBody) -> Response:
        """Replace the features of a user."""
        with server.current.using() as using:
            features.check(body.features, using.user_columns())
        server.store.put_user(user_id, body.features)
        return Response(status_code=204)

    @app.delete("/v1/users/{user_id:text}")
    def erase_user(user_id: Id) -> dict[str, int]:
        """Erase the features, events and answers of a user from the store."""
        return {"erased": server.store.erase_user(user_id)}

    @app.get("/v1/items/{item_id:text}", responses=problems.NOT_FOUND)
    def item(item_id: Id) -> dict[str, object]:
        """Return what is known of an item."""
        with server.current.using() as using:
            found = using.items.item(item_id)
        if found is None:
            raise HTTPException(404, f"The release has no item {item_id!r}, and none was posted.")
        return found

    @app.put("/v1/items/{item_id:text}", status_code=204, responses=problems.CONFLICT)
    def put_item(item_id: Id, body: ItemBody) -> Response:
        """Say whether, and until when, an item is recommended; and post its features, also those of a new one."""
        if body.features is not None:
            with server.current.using() as using:
                features.check(body.features, using.items.columns(), "items")
                if using.items.full and using.items.item(item_id) is None:
                    raise HTTPException(409, "No further item can be posted before the next release.")
        posted = 0 if body.features is None else int(time.time())
        server.store.put_item(item_id, Item(body.hidden, body.expires, body.features, posted))
        server.refresh_items()
        return Response(status_code=204)

    @app.delete("/v1/items/{item_id:text}", status_code=204, responses=problems.NOT_FOUND)
    def delete_item(item_id: Id) -> Response:
        """Forget what the store knows of an item: one of the release can be recommended again, a posted one cannot."""
        if not server.store.delete_item(item_id):
            raise HTTPException(404, f"There is no item {item_id!r} in the store.")
        server.refresh_items()
        return Response(status_code=204)
