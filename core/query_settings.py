"""The settings of queries and of training windows, as the DAG, the trainers and the components share them."""

from typing import Literal

from pydantic import Field

from core.settings import Settings


class QuerySettings(Settings):
    """The settings of the queries of a split; see `core.queries.build`."""

    unit: Literal["user", "event"] = Field(description="Whether a query stands for a user or for an event.")
    exclude_seen: bool = Field(description="Whether items of earlier events are left out of the lists.")
    in_time: bool = Field(description="Whether the events of a user in one split all precede those in the next.")


class WindowSettings(Settings):
    """The settings of the windows of train before eval; see `core.windows.earlier_windows`."""

    count: int = Field(ge=0, description="The number of windows.")
    of_each_user: bool = Field(
        description="Whether a window holds as many events of a user as eval does; if not, it is as long in time."
    )
