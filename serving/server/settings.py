"""The settings of the server."""

import math

from pydantic import Field, model_validator

from core.settings import Settings

# The variable of the environment with the folder in which workers add up their metrics. The library `prometheus_client`
# reads it when it is imported.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
LEAST_TOKEN = 16
RATE = 1000.0  # the requests of a caller per second, unless the settings say it
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ServerSettings(Settings):
    """The settings of a server of a release."""

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="The port to listen on; 0 for any free one.")
    token: str | None = Field(
        None, description="The token that requests must carry, of at least 16 characters.", repr=False
    )
    workers: int = Field(1, ge=1, le=256, description="The number of processes that answer.")
    batch: int = Field(32, ge=1, le=256, description="The maximum number of queries that are answered as one batch.")
    wait_ms: float = Field(
        1.0, ge=0, le=100, description="How long a query waits for others, so that they are answered as one batch."
    )
    budget_ms: float = Field(
        200.0,
        gt=0,
        le=60_000,
        description="How long an answer may take, in milliseconds, before it is made in less time.",
    )
    refresh_s: float = Field(
        2.0, gt=0, le=3600, description="The time between two looks at the release in force and at changed items."
    )
    keep_answers_days: float = Field(
        30.0, ge=0, le=36_500, description="The days after which a logged answer is deleted; 0 to keep all."
    )
    keep_replay_hours: float = Field(
        24.0,
        ge=0,
        le=24 * 365,
        description="The hours in which an answer can be made again from its request id; 0 for never.",
    )
    compare: bool | None = Field(
        None,
        description="Whether `POST /v1/compare` may load a kept release beside those that are served, which takes "
        "memory. By default on the loopback.",
    )
    max_body: int = Field(1_000_000, ge=1000, description="The maximum size of a request, in bytes.")
    read_s: float = Field(10.0, gt=0, le=600, description="The seconds in which a request must arrive.")
    requests_per_s: float | None = Field(
        None,
        ge=0,
        description="The requests per second of a caller, which is a token or, without one, an address; 0 for any "
        "number. By default 1,000, and any number on the loopback.",
    )
    burst: int = Field(2000, ge=1, description="The requests of a caller at once, with `requests_per_s`.")
    max_connections: int = Field(
        16_000, ge=1, description="The number of open connections, if the process may open as many files."
    )
    max_requests: int = Field(
        2000, ge=1, description="The number of requests in progress from which others are refused."
    )
    max_waiting: int = Field(
        1000, ge=1, description="The number of waiting queries from which others are answered with popular items."
    )

    @property
    def may_compare(self) -> bool:
        """Return whether another release may be loaded to be compared with."""
        return self.host in LOOPBACK if self.compare is None else self.compare

    @property
    def rate(self) -> float | None:
        """Return the requests of a caller per second; None for any number."""
        if self.requests_per_s is None:
            return None if self.host in LOOPBACK else RATE
        return self.requests_per_s or None

    def of_worker(self) -> "ServerSettings":
        """Return the settings of each of the workers: its share of the rate of a caller."""
        share = {} if self.rate is None else {"requests_per_s": self.rate / self.workers}
        share["burst"] = math.ceil(self.burst / self.workers)
        return self.model_copy(update=share)

    @model_validator(mode="after")
    def _is_safe(self) -> "ServerSettings":
        """Check the token, which a server that others reach needs. Raises: ValueError."""
        # Checked here, since the error of a constraint would show the token.
        if self.token is not None and len(self.token) < LEAST_TOKEN:
            raise ValueError(f"the token should have at least {LEAST_TOKEN} characters; found {len(self.token)}")
        if self.host not in LOOPBACK and self.token is None:
            raise ValueError(f"a server on {self.host} can be reached by others, so it needs a token")
        return self
