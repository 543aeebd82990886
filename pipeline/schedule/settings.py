"""The settings of `twostep schedule`."""

import ipaddress
import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from core.settings import Settings


class Cron(Settings):
    """Times at which a run is started."""

    expression: str = Field(
        description="The times as in a crontab: minute, hour, day of the month, month, weekday (0 and 7 are Sunday)."
    )
    timezone: str = Field("UTC", description="The time zone of the times, such as `Europe/Berlin`.")

    @model_validator(mode="after")
    def _fires(self) -> "Cron":
        from pipeline.schedule.cron import trigger

        trigger(self.expression, self.timezone)
        return self


class OnDrift(Settings):
    """The action on the drift of a delivery, which is measured before a run trains on it."""

    action: Literal["run", "stop"] = Field(
        description="The action on a drift beyond `excess`: `run`, a run trains on a new span only if it has drifted; "
        "or `stop`, no run trains on the delivery, and scheduling stops until `twostep schedule CONFIG --resume`."
    )
    excess: float = Field(
        1.0,
        ge=0.01,
        le=1_000_000,
        description="The multiple of a bound of `drift` above which a delivery has drifted.",
    )


class Retries(Settings):
    """Repeated runs after a failure (exit code 1) or a kill; wrong use and a release held back are not repeated."""

    attempts: int = Field(3, ge=1, le=100, description="The maximum number of runs, the first included.")
    first_wait_seconds: float = Field(
        60.0,
        ge=0,
        le=86_400,
        description="The seconds before the first repeated run; each later wait is twice as long.",
    )
    max_wait_seconds: float = Field(
        3600.0, ge=0, le=86_400, description="The longest wait before a repeated run, in seconds."
    )


class Webhook(Settings):
    """An address to which each failed, killed, held-back, missed or refused run is reported."""

    url: str = Field(
        description="The address, which gets a POST request with JSON: https, or http on this machine (loopback)."
    )
    secret_variable: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="The environment variable with the value of the header `Authorization`, such as `Bearer …`.",
    )
    timeout_seconds: float = Field(10.0, gt=0, le=300, description="The longest wait for the address, in seconds.")

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise ValueError(f"should be an address such as https://example.org/hook: {error}") from None
        if re.search(r"[\s\x00-\x1f\x7f]", url) or parts.username is not None:
            raise ValueError("should be an address without spaces, user name and password")
        if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
            raise ValueError("should begin with https://, or with http:// and a host of this machine (loopback)")
        return url


class Schedule(Settings):
    """When `twostep schedule` starts runs, and what it does when they fail."""

    cron: Cron | None = Field(None, description="The times at which runs are started.")
    new_span: bool = Field(
        False,
        description="Whether a run is started when `data.spans` selects a span, or a version of one, that no run has "
        "read.",
    )
    drift: OnDrift | None = Field(
        None, description="The action on the drift of a delivery, which is measured before a run trains on it."
    )
    poll_seconds: float = Field(
        300.0, ge=0.1, le=86_400, description="The seconds between two searches for new spans and runs that are due."
    )
    missed: Literal["once", "skip"] = Field(
        "once",
        description="The action on times of `cron` at which no run could be started: `once`, one run as soon as "
        "possible for all of them; or `skip`.",
    )
    grace_seconds: int = Field(
        60,
        ge=1,
        le=86_400,
        description="With `missed: skip`, the seconds after a time of `cron` in which its run may still be started.",
    )
    retries: Retries = Field(default=Retries(), description="Repeated runs after a failure.")
    webhook: Webhook | None = Field(
        None, description="The address to which runs that failed, or were held back, are reported."
    )

    @property
    def polls(self) -> bool:
        """Return whether new spans are searched for."""
        return self.new_span or (self.drift is not None and self.drift.action == "run")

    @model_validator(mode="after")
    def _something_starts_runs(self) -> "Schedule":
        if self.cron is None and not self.polls:
            raise ValueError("should have `cron`, `new_span: true` or `drift: {action: run}`, which start runs")
        if self.new_span and self.drift is not None and self.drift.action == "run":
            raise ValueError(
                "should have either `new_span`, which starts a run for each new span, or `drift: {action: run}`, which "
                "starts one only if the span has drifted"
            )
        return self

    def check(self, dated: bool, stops: bool) -> None:
        """Check the settings against other sections of the configuration.

        Args:
          dated: whether the path of a table marks spans.
          stops: whether the action of `drift` is `stop`.

        Raises:
          ValueError: a trigger cannot work; the message begins with its key.
        """
        if self.polls and not dated:
            key = "new_span" if self.new_span else "drift.action"
            raise ValueError(f"{key}: requires a table whose path marks spans, such as `events-{{SPAN}}.parquet`")
        if self.drift is not None and stops:
            raise ValueError(
                "drift: requires `drift.action: report`: with `stop`, a run ends with an error before its drift is "
                "recorded"
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
