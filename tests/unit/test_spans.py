"""The choice of deliveries: the same spans for all tables whose paths mark spans, in their newest versions."""

import datetime
from pathlib import Path

import pytest
from facts import facts, lacking

from components.table_example_gen.sources import TableSource, fingerprint, matching
from core.errors import DataError, UsageError
from pipeline.config import spans
from pipeline.config.data import Data, Spans


def deliver(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


def choose(folder: Path, paths: dict[str, str], **which) -> dict[str, TableSource]:
    return spans.choose(paths, Spans(**which), str(folder), matching)


EVENTS, USERS = "events/{SPAN}/*.csv", "users-{SPAN:3}.csv"


def test_the_newest_span_is_read_of_all_tables(tmp_path):
    deliver(tmp_path, "events/9/a.csv", "events/10/a.csv", "events/10/b.csv", "users-009.csv", "users-010.csv", "i.csv")
    sources = choose(tmp_path, {"interactions": EVENTS, "users": USERS, "items": "i.csv"})
    assert sources == {
        "interactions": TableSource(str(tmp_path), ("events/10/*.csv",), ("10",), 10),
        "users": TableSource(str(tmp_path), ("users-010.csv",), ("010",), 10),
        "items": TableSource(str(tmp_path), ("i.csv",)),
    }
    assert [Path(file).name for file in sources["interactions"].files()] == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("which", "chosen"),
    [({"newest": 2}, ("3", "7")), ({"newest": 9}, ("1", "3", "7")), ({"first": 1, "last": 6}, ("1", "3"))],
)
def test_several_spans_are_read_together(tmp_path, which, chosen):
    deliver(tmp_path, *(f"events/{span}/a.csv" for span in (1, 3, 7)))
    source = choose(tmp_path, {"interactions": EVENTS}, **which)["interactions"]
    assert source.spans == chosen
    assert source.patterns == tuple(f"events/{span}/*.csv" for span in chosen)
    assert source.span == int(chosen[-1])
    assert len(source.files()) == len(chosen)


def test_a_table_that_lacks_a_span_that_another_has_is_an_error(tmp_path):
    deliver(tmp_path, "events/1/a.csv", "events/2/a.csv", "users-001.csv", "i.csv")
    paths = {"interactions": EVENTS, "users": USERS, "items": "i.csv"}
    with pytest.raises(UsageError) as caught:
        choose(tmp_path, paths)
    assert lacking(str(caught.value), "data.users: … span 2 … data.interactions") == []
    assert "data.items" not in str(caught.value)
    assert choose(tmp_path, paths, first=1, last=1)["users"].patterns == ("users-001.csv",)


def test_of_a_span_the_newest_version_is_read(tmp_path):
    deliver(tmp_path, *(f"events/{name}.csv" for name in ("1/v9", "1/v10", "2/v1")))
    source = choose(tmp_path, {"interactions": "events/{SPAN}/v{VERSION}.csv"}, newest=2)["interactions"]
    assert source.patterns == ("events/1/v10.csv", "events/2/v1.csv")


def test_dates_order_spans(tmp_path):
    deliver(tmp_path, *(f"e-{date}.csv" for date in ("2023-12-31", "2024-01-02", "2024-02-01")))
    path = {"interactions": "e-{YYYY}-{MM}-{DD}.csv"}
    newest = choose(tmp_path, path)["interactions"]
    assert (newest.patterns, newest.spans) == (("e-2024-02-01.csv",), ("2024-02-01",))
    assert newest.span == (datetime.date(2024, 2, 1) - datetime.date(1970, 1, 1)).days
    january = choose(tmp_path, path, first=datetime.date(2024, 1, 1), last=datetime.date(2024, 1, 31))
    assert january["interactions"].patterns == ("e-2024-01-02.csv",)
    deliver(tmp_path, "e-2024-02-30.csv")
    with pytest.raises(UsageError, match=facts("e-2024-02-30.csv: … date")):
        choose(tmp_path, path)


@pytest.mark.parametrize(
    ("name", "path"),
    [("events/new/a.csv", EVENTS), ("users-12.csv", USERS), ("e-1-v2b.csv", "e-{SPAN}-v{VERSION}.csv")],
)
def test_a_span_that_is_no_number_is_an_error(tmp_path, name, path):
    deliver(tmp_path, name)
    with pytest.raises(UsageError, match=facts(f"{name}: … digits")):
        choose(tmp_path, {"users": path})


def test_no_span_to_choose(tmp_path):
    assert choose(tmp_path, {"users": USERS}) == {"users": TableSource(str(tmp_path), (USERS,))}
    with pytest.raises(DataError, match="no file"):
        choose(tmp_path, {"users": USERS})["users"].files()
    deliver(tmp_path, "users-001.csv", "users-002.csv")
    with pytest.raises(UsageError, match=facts("no span … 001, 002")):
        choose(tmp_path, {"users": USERS}, first=3, last=4)


def test_a_span_that_is_there_twice(tmp_path):
    deliver(tmp_path, "events/1/a.csv", "events/01/a.csv")
    with pytest.raises(UsageError, match=facts("span 1 … twice")):
        choose(tmp_path, {"interactions": EVENTS})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"spans": {"newest": 0}}, "newest … 1"),
        ({"spans": {"newest": 2}}, "{SPAN}"),
        ({"spans": {"first": 1}}, "`first` … `last`"),
        ({"spans": {"newest": 1, "first": 1, "last": 2}}, "`newest` … `first`"),
        ({"spans": {"first": 3, "last": 2}}, "first … after last"),
        ({"spans": {"first": 1, "last": "2024-01-01"}}, "numbers … dates"),
        (
            {"interactions": {"path": "{SPAN}.csv"}, "spans": {"first": "2024-01-01", "last": "2024-01-02"}},
            "spans.first … spans.last",
        ),
        (
            {"interactions": {"path": "{YYYY}{MM}{DD}.csv"}, "spans": {"first": 1, "last": 2}},
            "spans.first … spans.last",
        ),
        ({"interactions": {"path": "{YYYY}{MM}{DD}.csv"}, "items": {"path": "{SPAN}.csv"}}, "tables"),
        ({"items": {"path": "{SPAN}-{SPAN}.csv"}}, "mark"),
        ({"items": {"path": "{span}.csv"}}, "found {span}"),
        ({"items": {"path": "{SPAN:x}.csv"}}, "found {SPAN:x}"),
        ({"items": {"path": "{YYYY}-{MM}.csv"}}, "{YYYY} … {MM} … {DD}"),
        ({"items": {"path": "{VERSION}.csv"}}, "{VERSION}"),
    ],
)
def test_wrong_spans_in_a_configuration(values, message):
    with pytest.raises(ValueError, match=facts(message)):
        Data.model_validate({"root": ".", **values})


# ---- files ----


def test_hidden_files_and_those_of_spark_are_left_out(tmp_path):
    deliver(tmp_path, "x.csv/part-0.csv", "x.csv/._part-0.csv", "x.csv/_SUCCESS", "x.csv/_temporary/part-1.csv")
    assert matching(tmp_path, "x.csv/*") == [str(tmp_path / "x.csv/part-0.csv")]
    assert matching(tmp_path, "**/*.csv") == [str(tmp_path / "x.csv"), str(tmp_path / "x.csv/part-0.csv")]
    deliver(tmp_path, "_one.csv")
    assert matching(tmp_path, "_one.csv") == [str(tmp_path / "_one.csv")]


def test_a_fingerprint_is_of_the_content(tmp_path):
    import os

    file = tmp_path / "a.csv"
    file.write_text("1,2\n")
    before, times = fingerprint(str(tmp_path), [str(file)]), file.stat()
    file.write_text("1,3\n")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert file.stat().st_mtime_ns == times.st_mtime_ns
    after = fingerprint(str(tmp_path), [str(file)])
    assert after != before
    os.utime(file, (1, 1))
    assert fingerprint(str(tmp_path), [str(file)]) == after
    other = file.rename(tmp_path / "b.csv")
    assert fingerprint(str(tmp_path), [str(other)]) != after
    os.mkfifo(tmp_path / "c.csv")
    with pytest.raises(DataError, match=facts(f"{tmp_path}/c.csv … FIFO")):
        fingerprint(str(tmp_path), [str(tmp_path / "c.csv")])
