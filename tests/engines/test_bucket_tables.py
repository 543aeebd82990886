"""Tables as files in buckets of real servers: what is chosen, downloaded and kept, and the names in messages."""

import functools
from pathlib import Path
from typing import Any

import pytest
import table_servers
from facts import facts, lacking

from core.errors import UsageError
from core.storage import errors
from core.storage.storage import Storage, open_storage
from pipeline import config
from pipeline.cli import main
from pipeline.config.data import Spans
from pipeline.schedule import deliveries
from pipeline.sources import objects


@pytest.fixture
def write(tmp_path: Path, cache: Path) -> Any:
    """Return `table_servers.write_config` for the folder of the test, whose cache is empty."""
    return functools.partial(table_servers.write_config, tmp_path)


def place_with(bucket: Any, files: dict[str, str]) -> Storage:
    """Return the storage of an empty place, with files of this content."""
    storage = open_storage(bucket.location)
    upload(storage, files)
    return storage


def upload(storage: Storage, files: dict[str, str]) -> None:
    for key, text in files.items():
        storage.delete([key])
        storage.write(key, text.encode())


def content(source: Any) -> list[str]:
    return [Path(file).read_text() for file in source.files()]


def test_an_unchanged_file_is_downloaded_once_and_a_changed_one_again(bucket, cache):
    storage = place_with(bucket, {"a.csv": "x\n1\n", "b.csv": "x\n2\n"})
    chosen = objects.choose(bucket.location, {"users": "*.csv"}, Spans())["users"]
    first = objects.fetch(chosen)
    assert content(first) == ["x\n1\n", "x\n2\n"]
    assert first.origins == (f"{bucket.location}/a.csv", f"{bucket.location}/b.csv")
    storage.delete(["a.csv", "b.csv"])
    assert objects.fetch(chosen) == first  # nothing is asked for
    upload(storage, {"a.csv": "x\n1\n", "b.csv": "x\n3\n"})
    second = objects.fetch(objects.choose(bucket.location, {"users": "*.csv"}, Spans())["users"])
    assert content(second) == ["x\n1\n", "x\n3\n"]
    assert second.patterns[0] == first.patterns[0]  # the same content, and so the same key of the cache
    assert content(first) == ["x\n1\n", "x\n2\n"]


def test_a_file_that_changes_while_it_is_read_is_an_error(bucket, cache):
    storage = place_with(bucket, {"a.csv": "x\n1\n"})
    chosen = objects.choose(bucket.location, {"users": "a.csv"}, Spans())["users"]
    upload(storage, {"a.csv": "x\n2\n"})
    with pytest.raises(errors.ObjectChangedError, match=facts(f"{bucket.location}/a.csv … replaced")):
        objects.fetch(chosen)
    assert not list(cache.rglob("*.csv"))


def test_only_the_chosen_spans_are_downloaded_and_the_newest_version_of_each(bucket, cache):
    names = ["e/1/v1/a.csv", "e/2/v1/a.csv", "e/2/v2/a.csv", "e/2/v2/_temporary.csv", "e/10/v1/b.csv", "other.csv"]
    place_with(bucket, {name: f"x\n{name}\n" for name in names})
    found = objects.choose(bucket.location, {"users": "e/{SPAN}/v{VERSION}/*.csv"}, Spans(newest=2))["users"]
    assert [each.key for each in found.objects] == ["e/10/v1/b.csv", "e/2/v2/a.csv"]
    source = objects.fetch(found)
    assert (source.spans, source.span) == (("2", "10"), 10)
    assert sorted(content(source)) == ["x\ne/10/v1/b.csv\n", "x\ne/2/v2/a.csv\n"]
    with pytest.raises(UsageError, match=facts(f"selects no span; available below {bucket.location}: 1, 2, 10")):
        objects.choose(bucket.location, {"users": "e/{SPAN}/v{VERSION}/*.csv"}, Spans(first=3, last=4))


def test_a_schedule_sees_a_new_delivery_in_a_bucket(bucket, write, cache):
    names = {"interactions": "i-{SPAN}.csv", "users": "users.csv", "items": "items.csv"}
    storage = place_with(bucket, {"i-1.csv": "x\n1\n", "users.csv": "x\n", "items.csv": "x\n"})
    file = write({"root": bucket.location, **{table: {"path": path} for table, path in names.items()}})
    first = deliveries.selected(config.load(file), file)
    assert first.spans == ("1",)
    upload(storage, {"users.csv": "x\n"})
    assert deliveries.selected(config.load(file), file) == first  # the same content again
    upload(storage, {"i-2.csv": "x\n2\n"})
    second = deliveries.selected(config.load(file), file)
    assert (second.spans, second.signature == first.signature) == (("2",), False)
    assert second.files == ("interactions: i-2.csv",)


@pytest.mark.parametrize("local", [False, True], ids=["bucket", "folder"])
def test_a_replaced_file_is_no_new_delivery_and_a_new_version_is_one(bucket, write, tmp_path, local):
    place = str(tmp_path / "delivered") if local else bucket.location
    storage = open_storage(place)
    files = {"i-1-1.csv": "x\n1\n", "users.csv": "x\n", "items.csv": "x\n"}
    upload(storage, files)
    paths = {"interactions": "i-{SPAN}-{VERSION}.csv", "users": "users.csv", "items": "items.csv"}
    file = write({"root": place, **{table: {"path": path} for table, path in paths.items()}})
    first = deliveries.selected(config.load(file), file)
    upload(storage, {"i-1-1.csv": "x\n1\n2\n"})
    second = deliveries.selected(config.load(file), file)
    assert second.files == first.files == ("interactions: i-1-1.csv",)
    assert second.signature != first.signature
    upload(storage, {"i-1-2.csv": "x\n1\n2\n"})
    assert deliveries.selected(config.load(file), file).files == ("interactions: i-1-2.csv",)


def test_problems_name_the_uri_and_not_the_file_in_the_cache(bucket, write, cache, capsys):
    place_with(
        bucket,
        {
            "i.csv": "user_id,item_id,timestamp\nu1,i1,1700000000\nu1,i9,x\n",
            "users.csv": "user_id,region\nu1,north\n",
            "items.csv": "item_id,price\ni1,1\n",
        },
    )
    tables = {"interactions": {"path": "i.csv"}, "users": {"path": "users.csv"}, "items": {"path": "items.csv"}}
    file = write({"root": bucket.location, **tables})
    assert main(["data", "check", str(file)]) == 1
    told = capsys.readouterr().err
    assert lacking(told, f"{bucket.location}/i.csv: line 3, column 'timestamp' … 'x' is not a time") == []
    assert str(cache) not in told
    missing = write({"root": bucket.location, **tables, "items": {"path": "none/*.csv"}})
    assert main(["config", "check", str(missing)]) == 2
    assert lacking(capsys.readouterr().err, f"no file matches … data.items: {bucket.location}/none/*.csv") == []
