"""The runs of a schedule as typed records, in one SQLite file in the run folder, beside the jobs of APScheduler."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from core.errors import TwostepError

Trigger = Literal["cron", "new_span", "drift"]
Kind = Literal["train", "measure"]
State = Literal[
    "waiting",
    "running",
    "released",
    "unchanged",
    "held_back",
    "measured",
    "skipped",
    "drifted",
    "failed",
    "killed",
    "refused",
    "stopped",
    "missed",
]
STOPPED = "stopped"  # the key of the reason for which scheduling is stopped
_BUSY_S = 30.0  # the wait for another process that writes to the file


@dataclass(frozen=True)
class Delivery:
    """The files that the configuration selects.

    Args:
      spans: the selected spans as in the file names, oldest first.
      files: the pattern of each selected span of each dated table, with its version; empty if no path marks spans.
      signature: a digest of the configuration and of the name, size and time of change of every selected file.
    """

    spans: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    signature: str = ""


@dataclass(frozen=True)
class Run:
    """One process that was started, is to be started, or was missed.

    Args:
      trigger: what asked for it.
      fire: identifies what the trigger reacted to: the time of `cron`, or the delivery of `new_span` and `drift`.
      kind: `train`, or `measure`: only up to the drift of the delivery.
      attempt: counts the processes for the same fire and kind, from 1.
      state: `waiting` until `due`; `running`; or the result. `released`: a new release was made; `unchanged`: the
        release in force is already of these tables and settings; `held_back`: a rule held back the release;
        `measured`: the drift is accepted, and a run trains on the delivery; `skipped`: the drift is too small to
        train; `drifted`: it is beyond the bound; `failed`: exit code 1; `killed`: ended by a signal; `refused`: exit
        code 2, nothing was run; `stopped`: ended with the scheduler; `missed`: a time of `cron` that was too long ago.
      reason: why it was started or skipped, or the error.
      due, created, started, ended: seconds since 1970-01-01 UTC, for readers; none decides which data is read.
      number: the number of the record, from 1; 0 for one that is not stored yet.
      run_id, exit_code, release: of `twostep run`; None if it has none.
      in_force: the release in force before it started.
    """

    trigger: Trigger
    fire: str
    kind: Kind
    due: float
    created: float
    attempt: int = 1
    state: State = "waiting"
    reason: str = ""
    delivery: Delivery = field(default_factory=Delivery)
    started: float | None = None
    ended: float | None = None
    run_id: str | None = None
    exit_code: int | None = None
    release: str | None = None
    in_force: str | None = None
    number: int = 0


class Records:
    """The SQLite file of a schedule.

    Attributes:
      engine: the SQLAlchemy engine, which the job store of APScheduler uses as well.
    """

    def __init__(self, file: Path):
        import sqlalchemy as sa

        self.file = file
        self.engine = sa.create_engine(f"sqlite:///{file}", connect_args={"timeout": _BUSY_S})
        columns = sa.MetaData()
        self._runs = sa.Table(
            "runs",
            columns,
            sa.Column("number", sa.Integer, primary_key=True),
            *(sa.Column(name, sa.Text, nullable=False) for name in ("trigger", "fire", "kind", "state", "reason")),
            sa.Column("attempt", sa.Integer, nullable=False),
            sa.Column("delivery", sa.Text, nullable=False),
            *(sa.Column(name, sa.Float, nullable=name in ("started", "ended")) for name in _TIMES),
            sa.Column("exit_code", sa.Integer),
            *(sa.Column(name, sa.Text) for name in ("run_id", "release", "in_force")),
            sa.UniqueConstraint("fire", "kind", "attempt"),  # no fire is used twice
        )
        self._facts = sa.Table(
            "facts", columns, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
        )
        with self.errors():
            columns.create_all(self.engine)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise a TwostepError that names the file for an error of SQLite."""
        import sqlalchemy as sa

        try:
            yield
        except sa.exc.IntegrityError:
            raise
        except sa.exc.DBAPIError as error:
            raise TwostepError(
                f"{self.file}: should be the SQLite file of `twostep schedule`: {error.orig}. Free some space if the "
                "disk is full; if the file is damaged, restore a copy of it or move it away: every selected span then "
                "counts as new"
            ) from None

    def runs(self) -> list[Run]:
        """Return all records, oldest first."""
        import sqlalchemy as sa

        with self.errors(), self.engine.begin() as connection:
            rows = connection.execute(sa.select(self._runs).order_by(self._runs.c.number)).mappings().all()
        return [_run(dict(row)) for row in rows]

    def add(self, run: Run) -> Run | None:
        """Store a new record and return it with its number; None if one with its fire, kind and attempt exists."""
        import sqlalchemy as sa

        try:
            with self.errors(), self.engine.begin() as connection:
                result = connection.execute(sa.insert(self._runs).values(**_row(run)))
        except sa.exc.IntegrityError:
            return None
        return replace(run, number=_key(result))

    def update(self, run: Run, **changes: Any) -> Run:
        """Store changes of a record and return it."""
        import sqlalchemy as sa

        changed = replace(run, **changes)
        with self.errors(), self.engine.begin() as connection:
            connection.execute(sa.update(self._runs).where(self._runs.c.number == run.number).values(**_row(changed)))
        return changed

    def finish(self, run: Run, following: Run | None, stop: str | None, **changes: Any) -> tuple[Run, Run | None]:
        """Store the result of a run, the run that follows it, and why scheduling stops, all or none of them."""
        import sqlalchemy as sa

        changed = replace(run, **changes)
        with self.errors(), self.engine.begin() as connection:
            connection.execute(sa.update(self._runs).where(self._runs.c.number == run.number).values(**_row(changed)))
            if stop is not None:
                connection.execute(sa.delete(self._facts).where(self._facts.c.key == STOPPED))
                connection.execute(sa.insert(self._facts).values(key=STOPPED, value=stop))
            if following is not None:
                result = connection.execute(sa.insert(self._runs).values(**_row(following)))
                following = replace(following, number=_key(result))
        return changed, following

    def stopped(self) -> str | None:
        """Return the reason for which scheduling is stopped; None if it is not."""
        import sqlalchemy as sa

        with self.errors(), self.engine.begin() as connection:
            return connection.execute(sa.select(self._facts.c.value).where(self._facts.c.key == STOPPED)).scalar()

    def resume(self, following: Run | None) -> None:
        """Delete the reason for which scheduling is stopped, and store a run that follows."""
        import sqlalchemy as sa

        with self.errors(), self.engine.begin() as connection:
            connection.execute(sa.delete(self._facts).where(self._facts.c.key == STOPPED))
            if following is not None:
                connection.execute(sa.insert(self._runs).values(**_row(following)))

    def next_fires(self) -> dict[str, float]:
        """Return the id of each job of APScheduler → its next time in seconds since 1970-01-01 UTC."""
        import sqlalchemy as sa

        with self.errors(), self.engine.begin() as connection:
            if not sa.inspect(connection).has_table("apscheduler_jobs"):
                return {}
            rows = connection.execute(sa.text("SELECT id, next_run_time FROM apscheduler_jobs")).all()
        return {row.id: row.next_run_time for row in rows if row.next_run_time is not None}


_TIMES = ("due", "created", "started", "ended")


def _key(result: Any) -> int:
    """Return the number of the record that was inserted."""
    return result.inserted_primary_key[0]


def _row(run: Run) -> dict[str, Any]:
    values = {each.name: getattr(run, each.name) for each in fields(run) if each.name != "number"}
    return values | {"delivery": json.dumps(asdict(run.delivery))}


def _run(row: dict[str, Any]) -> Run:
    values = json.loads(row.pop("delivery"))
    delivery = Delivery(tuple(values["spans"]), tuple(values["files"]), values["signature"])
    return Run(delivery=delivery, **row)
