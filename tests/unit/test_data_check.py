"""The command `twostep data check`: one clear error for each wrong input, and a table for valid inputs."""

import gzip
import json
import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from facts import lacking

from pipeline import cli

GOOD = {
    "events.csv": "user_id,item_id,timestamp,rating\n1,a,100,3\n1,b,200,4\n2,a,300,5\n",
    "users.csv": "user_id,age\n1,30\n2,40\n3,50\n",
    "items.csv": "item_id,title,kind,picture\na,One,x,1|2\nb,Two,y,3|4\nc,Three,x,\n",
    "shown.csv": "user_id,item_id,timestamp\n1,a,100\n2,b,200\n",
}
CONFIG = {
    "name": "shop",
    "data": {
        "root": "data",
        "title": "title",
        "interactions": {"path": "events.csv", "rating_range": [1, 5]},
        "users": {"path": "users.csv"},
        "items": {"path": "items.csv"},
        "impressions": {"path": "shown.csv"},
    },
    "features": {
        "user": {"age": "numeric"},
        "item": {"kind": "categorical", "picture": {"kind": "embedding", "size": 2}},
    },
}


class Shop:
    """A folder with valid tables and a configuration, which tests change to wrong ones."""

    def __init__(self, folder: Path, capsys):
        self.folder, self.data, self.capsys = folder, folder / "data", capsys
        self.config = json.loads(json.dumps(CONFIG | {"run_folder": str(folder / "runs")}))
        self.data.mkdir()
        for name, text in GOOD.items():
            (self.data / name).write_text(text)

    def put(self, name: str, content: str | bytes) -> None:
        (self.data / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def add(self, name: str, *lines: str) -> None:
        self.put(name, GOOD[name] + "".join(line + "\n" for line in lines))

    def set(self, table: str, **settings) -> None:
        self.config["data"][table] |= settings

    def parquet(self, name: str, table: str, columns: dict) -> None:
        pq.write_table(pa.table(columns), self.data / name)
        self.set(table, path=name)

    def check(self, *flags: str) -> tuple[int, str, str]:
        file = self.folder / "shop.yaml"
        file.write_text(yaml.safe_dump(self.config))
        code = cli.main(["data", "check", str(file), *flags])
        printed = self.capsys.readouterr()
        return code, printed.out, printed.err


@pytest.fixture
def shop(tmp_path, capsys):
    return Shop(tmp_path, capsys)


def test_good_tables(shop):
    code, out, err = shop.check()
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:5] for line in out.splitlines()[1:-1]}
    assert rows == {
        "interactions": ["3", "0", "1", "-"],
        "users": ["3", "0", "1", "-"],
        "items": ["3", "0", "1", "-"],
        "impressions": ["2", "0", "1", "-"],
    }
    assert out.endswith("shop.yaml: ok\n")
    assert not (shop.folder / "runs").exists()


def change(method: str, *arguments, **settings):
    return lambda shop: getattr(shop, method)(*arguments, **settings)


def spark(shop: Shop) -> None:
    (shop.data / "events.parquet").mkdir()
    (shop.data / "events.parquet" / "_SUCCESS").touch()
    shop.set("interactions", path="events.parquet")


def fifo(shop: Shop) -> None:
    (shop.data / "users.csv").unlink()
    os.mkfifo(shop.data / "users.csv")


def spans(shop: Shop) -> None:
    shop.set("interactions", path="events-{SPAN}.csv")
    shop.put("events-new.csv", GOOD["events.csv"])


def lacking_span(shop: Shop) -> None:
    for table, name in (("interactions", "events"), ("users", "users")):
        shop.set(table, path=name + "-{SPAN}.csv")
        shop.put(f"{name}-1.csv", GOOD[f"{name}.csv"])
    shop.put("events-2.csv", GOOD["events.csv"])


def schema(shop: Shop) -> None:
    shop.config["data"]["schema_folder"] = "schema"
    (shop.folder / "schema").mkdir()
    (shop.folder / "schema" / "interactions.pbtxt").write_text("feature {{{")


LONG = "z" * 500
BAD = {
    "no file": (lambda shop: (shop.data / "items.csv").unlink(), 1, ["no file", "'items.csv'"]),
    "empty file": (change("put", "items.csv", ""), 1, ["items.csv: ", "empty"]),
    "header only": (change("put", "users.csv", "user_id,age\n"), 1, ["users.csv: ", "no rows"]),
    "gzip": (change("put", "users.csv", gzip.compress(b"user_id\n1\n")), 1, ["users.csv: ", "gzip"]),
    "parquet as csv": (change("put", "users.csv", b"PAR1\x15\x04"), 1, ["users.csv: ", "Parquet", "CSV"]),
    "utf-16": (change("put", "users.csv", "user_id,age\n1,2\n".encode("utf-16")), 1, ["users.csv: ", "UTF-16"]),
    "binary": (change("put", "users.csv", bytes(range(256)) * 9), 1, ["users.csv: "]),
    "fifo": (fifo, 1, ["users.csv: ", "FIFO"]),
    "spark folder": (spark, 1, ["folder", "`events.parquet/*.parquet`"]),
    "csv as parquet": (
        lambda shop: (shop.put("u.parquet", GOOD["users.csv"]), shop.set("users", path="u.parquet")),
        1,
        ["u.parquet: ", "CSV", "Parquet"],
    ),
    "no column": (change("put", "users.csv", "user_id,ages\n1,2\n"), 1, ["'age'", "'ages'", "{age: ages}"]),
    "no owner": (lambda shop: shop.config["data"].update(owner="seller"), 1, ["items.csv: ", "'seller'"]),
    "column twice": (change("put", "users.csv", "user_id,age,age\n1,2,3\n"), 1, ["users.csv: ", "'age'", "2 times"]),
    "separator": (change("put", "users.csv", "user_id;age\n1;2\n"), 1, ["`data.users.separator`", "';'"]),
    "bad number": (change("add", "users.csv", "4,old"), 1, ["users.csv: line 5, column 'age': 'old'"]),
    "long value": (change("add", "users.csv", f"4,{LONG}"), 1, ["column 'age': 'zzz", "zzz..."]),
    "missing id": (change("add", "users.csv", ",3"), 1, ["users.csv: line 5, column 'user_id': ", "empty"]),
    "float id": (change("add", "users.csv", "4.0,3"), 1, ["column 'user_id': '4.0'", "float"]),
    "bad bytes": (change("put", "users.csv", b"user_id,age\n\xff,3\n"), 1, ["users.csv: line 2", "UTF-8"]),
    "few fields": (change("add", "users.csv", "4"), 1, ["line 5: 1 ", "header", "2"]),
    "open quote": (change("add", "users.csv", '"4,3'), 1, ["line 5: ", "quote"]),
    "repeated user": (change("add", "users.csv", "1,31"), 1, ["line 5: user_id '1'", "line 2"]),
    "repeated event": (change("add", "events.csv", "1,a,100,5"), 1, ["line 5: ", "event", "line 2"]),
    "milliseconds": (
        change("add", "events.csv", "1,c,1700000000000,5"),
        1,
        ["line 5, column 'timestamp': ", "milliseconds"],
    ),
    "future": (change("add", "events.csv", "1,c,4000000000,5"), 1, ["line 5, column 'timestamp': ", "future"]),
    "no time": (change("add", "events.csv", "1,c,yesterday,5"), 1, ["'yesterday'"]),
    "rating": (change("add", "events.csv", "1,c,400,9"), 1, ["column 'rating': '9'", "[1, 5]"]),
    "unknown item": (
        change("add", "events.csv", "1,none,400,5", "2,none,500,5"),
        1,
        ["events.csv: line 5, column 'item_id': 'none'", "table items", "(2 such rows)"],
    ),
    "unknown user": (
        change("add", "shown.csv", "9,a,400"),
        1,
        ["shown.csv: line 4, column 'user_id': '9'", "table users"],
    ),
    "empty feature": (
        change("put", "users.csv", "user_id,age\n1,\n2,NaN\n"),
        1,
        ["users.csv: ", "'age'", "no value"],
    ),
    "NaN in a vector": (
        change("add", "items.csv", "d,Four,x,nan|1"),
        1,
        ["items.csv: line 5, column 'picture': 'nan|1'"],
    ),
    "size of a vector": (change("add", "items.csv", "d,Four,x,1|2|3"), 1, ["line 5, column 'picture': ", "2 numbers"]),
    "ids as floats": (
        change("parquet", "u.parquet", "users", {"user_id": [1.0, 2.0], "age": [1, 2]}),
        1,
        ["u.parquet: row 1, column 'user_id': 1.0", "double"],
    ),
    "a type of its own": (
        change("parquet", "u.parquet", "users", {"user_id": ["1", "2"], "age": [{"years": 1}] * 2}),
        1,
        ["u.parquet: row 1, column 'age': {'years': 1}", "struct"],
    ),
    "too many dropped": (
        lambda shop: (shop.add("users.csv", ",1"), shop.set("users", on_invalid="drop")),
        1,
        ["1 of 4 rows", "25.00%", "1 missing_id", "`data.users.max_dropped`", "0.05"],
    ),
    "too many unknown": (
        lambda shop: (shop.add("shown.csv", "9,a,5"), shop.set("impressions", on_unknown="drop")),
        1,
        ["impressions: ", "1 of 3 rows", "33.33%", "1 unknown_user"],
    ),
    "renamed to nothing": (
        change("set", "users", columns={"agee": "age"}),
        2,
        ["data.users.columns.agee: "],
    ),
    "blank id": (change("add", "users.csv", " ,3"), 1, ["line 5, column 'user_id': ", "empty"]),
    "a date far away": (
        change(
            "parquet",
            "e.parquet",
            "interactions",
            {"user_id": ["1"], "item_id": ["a"], "timestamp": [date(9999, 12, 31)], "rating": [3.0]},
        ),
        1,
        ["e.parquet: row 1, column 'timestamp': datetime.date(9999, 12, 31)", "2100"],
    ),
    "no bytes of a path": (change("set", "users", path="a\0.csv"), 2, ["line 14", "NUL"]),
    "separator is a quote": (change("set", "users", separator='"'), 2, ["data.users.separator: "]),
    "range": (change("set", "interactions", rating_range=[5, 1]), 2, ["data.interactions.rating_range: ", "[5, 1]"]),
    "loop": (
        lambda shop: ((shop.data / "users.csv").unlink(), os.symlink("users.csv", shop.data / "users.csv")),
        1,
        ["users.csv: ", "Too many levels of symbolic links"],
    ),
    "no span": (spans, 2, ["events-new.csv: ", "digits"]),
    "lacking span": (lacking_span, 2, ["data.users: ", "span 2", "data.interactions"]),
    "wrong mark": (change("set", "users", path="{DATE}.csv"), 2, ["data.users.path: ", "found {DATE}"]),
    "wrong share": (change("set", "users", max_dropped=5), 2, ["data.users.max_dropped: ", "found 5"]),
    "above the root": (change("set", "users", path="../u.csv"), 2, ["data.users.path: ", "data.root"]),
    "schema": (schema, 2, ["interactions.pbtxt", "schema"]),
    "no users but features": (
        lambda shop: shop.config["data"].update(users=None),
        2,
        ["features.user: ", "`data.users`", "found ['age']"],
    ),
}


@pytest.mark.parametrize(("spoil", "code", "fragments"), BAD.values(), ids=list(BAD))
def test_a_bad_input_is_one_clear_error(shop, spoil, code, fragments):
    spoil(shop)
    found, out, err = shop.check()
    assert found == code
    assert "Traceback" not in err + out
    assert "unexpected" not in err
    for fragment in fragments:
        assert fragment in err
    assert LONG not in err
    if code == 1:
        assert out.endswith("shop.yaml: 1 problem\n"), err
        assert err.startswith("twostep: ")


def test_all_problems_of_all_tables_are_reported_at_once(shop):
    shop.add("users.csv", "4,old", "1,2")
    shop.add("events.csv", "1,none,400,5", "7,none,900,9")
    (shop.data / "shown.csv").unlink()
    code, out, err = shop.check()
    assert (code, len(err.splitlines())) == (1, 5), err
    for place in ("line 5, column 'age'", "line 6: user_id '1'", "column 'rating'", "column 'item_id'", "shown.csv"):
        assert place in err
    assert "the table users" not in err, "users have a problem: no user can be called unknown"
    assert out.endswith("shop.yaml: 5 problems\n")


def test_as_json_with_spans_and_what_is_dropped(shop):
    shop.config["data"]["spans"] = {"newest": 2}
    shop.set("interactions", path="events-{SPAN}.csv", on_unknown="drop", on_duplicate="drop", max_dropped=0.5)
    shop.put("events-1.csv", GOOD["events.csv"])
    shop.put("events-3.csv", GOOD["events.csv"].replace("2,a,300,5", "2,none,300,5").replace("1,b", "2,c"))
    code, out, err = shop.check("--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["ok"] is True
    assert found["tables"][0] == {
        "table": "interactions",
        "spans": ["1", "3"],
        "files": 2,
        "rows": 6,
        "dropped": {"duplicate": 1, "unknown_item": 1},
        "columns": ["user_id", "item_id", "timestamp", "rating"],
        "ignored": [],
        "problems": [],
    }
    shop.put("items.csv", GOOD["items.csv"] + "a,Again,x,\n")
    code, out, _ = shop.check("--json")
    problems = [problem for table in json.loads(out)["tables"] for problem in table["problems"]]
    assert (code, json.loads(out)["ok"]) == (1, False)
    assert [problem["file"] for problem in problems] == [str(shop.data / "items.csv")]
    assert problems[0]["place"] == "line 5"


def test_without_a_table_of_users_only_items_can_be_unknown(shop):
    shop.config["data"] |= {"users": None}
    shop.config["features"].pop("user")
    assert shop.check()[0] == 0
    shop.add("shown.csv", "3,a,5")
    code, _, err = shop.check()
    assert code == 1
    assert lacking(err, "shown.csv: line 4, column 'user_id': '3' … table interactions") == []


def test_the_part_files_of_spark(shop):
    folder = shop.data / "u.parquet"
    folder.mkdir()
    for part in range(2):
        pq.write_table(
            pa.table({"user_id": [str(2 * part + 1), str(2 * part + 2)], "age": [1, 2]}),
            folder / f"part-{part}.parquet",
        )
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.parquet.crc").write_text("crc")
    shop.set("users", path="u.parquet/*.parquet")
    code, out, _ = shop.check()
    assert code == 0
    assert "users            4" in out
