"""The settings of queries and of training windows, shared by the DAG, the trainers and the components."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class QuerySettings(Settings):
    """The settings of the queries of a split; see `core.queries.build`."""

    unit: Literal["user", "event"] = Field(description="The unit of a query: one per user, or one per event.")
    exclude_seen: bool = Field(description="Whether seen items are excluded from lists and from relevant items.")
    in_time: bool = Field(
        description="Whether each user's events in train precede those in eval, and these precede those in test."
    )


class WindowSettings(Settings):
    """The settings of the windows of train before eval; see `core.windows.earlier_windows`."""

    count: int = Field(ge=0, description="The number of windows.")
    of_each_user: bool = Field(
        description="Whether a window has as many events of each user as eval has; if false, it is a time range as "
        "long as that of eval, the same for all users."
    )
