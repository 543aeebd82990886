"""The recipes of datasets, on small artificial sources in the layout of the real ones, and the cache of datasets."""

import argparse
import io
import lzma
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from facts import facts

from core import files, names
from core.errors import DataError, TwostepError, UsageError
from pipeline import datasets
from pipeline.commands import data
from pipeline.datasets import complete_journey, gowalla, movielens_100k, movielens_small, pickled, recipe

EVENT = [names.USER_ID, names.ITEM_ID, names.TIMESTAMP]


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def parquet(rows: list[dict]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@pytest.fixture
def wheel(tmp_path):
    """Return a source in the layout of MovieLens-100K, with the two films that the recipe corrects."""
    return zipped(
        tmp_path / "small.whl",
        {
            f"{movielens_100k.FOLDER}.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
            b"7\t1\t3\t881250949\n7\t267\t5\t881250950\n08\t1\t1\t881250949\n",
            f"{movielens_100k.FOLDER}.user": b"user_id:token\tage:token\tgender:token\toccupation:token\t"
            b"zip_code:token\n7\t24\tM\ttechnician\t01002\n08\t53\tF\tnone\tT8H1N\n",
            f"{movielens_100k.FOLDER}.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\t"
            'class:token_seq\n1\t"Les" Misérables\t1995\tDrama Children\'s\n267\tunkonwn\tunkonwn\tunknown\n'
            "1412\tLand (of) Time (1995)\tV\tSci-Fi\n".encode(),
        },
    )


@pytest.fixture
def small(wheel):
    """Return the recipe of MovieLens-100K, with the digest and the numbers of rows of the small source."""
    rows = {names.INTERACTIONS: 3, names.USERS: 2, names.ITEMS: 3}
    return replace(movielens_100k.RECIPE, files={wheel.name: files.sha256(wheel)}, rows=rows)


# ---- conversion ---------------------------------------------------------------------------


def test_movielens_100k_becomes_typed_tables(wheel):
    tables = movielens_100k.tables(wheel)
    assert tables[names.INTERACTIONS].schema == pa.schema(
        {"user_id": pa.string(), "item_id": pa.string(), "rating": pa.float32(), "timestamp": pa.int64()}
    )
    assert tables[names.INTERACTIONS].to_pylist()[2] == {
        "user_id": "08",
        "item_id": "1",
        "rating": 1.0,
        "timestamp": 881250949,
    }
    assert tables[names.USERS].to_pylist() == [
        {"user_id": "7", "age": 24, "gender": "M", "occupation": "technician", "zip": "01002"},
        {"user_id": "08", "age": 53, "gender": "F", "occupation": "none", "zip": "T8H1N"},
    ]
    assert tables[names.ITEMS].to_pylist() == [
        {"item_id": "1", "title": '"Les" Misérables', "year": 1995, "genres": ["Drama", "Children's"]},
        {"item_id": "267", "title": "unknown", "year": None, "genres": None},
        {"item_id": "1412", "title": "Land (of) Time", "year": 1995, "genres": ["Sci-Fi"]},
    ]


def ratings() -> pd.DataFrame:
    """Return ratings in the layout of MovieLens-small's source: blocks of floats, integers and text."""
    return pd.DataFrame(
        {
            "rownames": [1, 2, 3],
            "movieId": [31, 4, 31],
            "title": ["Dangerous Minds", None, "Dangerous Minds"],
            "year": [1995.0, float("nan"), 1995.0],
            "genres": ["Drama|War", "(no genres listed)", "Drama|War"],
            "userId": [10, 10, 9],
            "rating": [2.5, 3.0, 0.5],
            "timestamp": [1260759144, 1260759179, 1260759180],
        }
    )


def as_published(frame: pd.DataFrame) -> bytes:
    """Return a pickle with the module names of the old pandas and NumPy that wrote the source."""
    content = pickle.dumps(frame, protocol=5)
    for now, then in (
        (b"numpy._core.numeric", b"numpy.core.numeric"),
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
    ):
        content = content.replace(bytes([0x8C, len(now)]) + now, bytes([0x8C, len(then)]) + then)
    return content


def test_movielens_small_becomes_typed_tables(tmp_path):
    wheel = zipped(tmp_path / "a.whl", {movielens_small.MEMBER: lzma.compress(as_published(ratings()))})
    tables = movielens_small.tables(wheel)
    assert tables[names.INTERACTIONS].to_pylist() == [
        {"user_id": "10", "item_id": "31", "rating": 2.5, "timestamp": 1260759144},
        {"user_id": "10", "item_id": "4", "rating": 3.0, "timestamp": 1260759179},
        {"user_id": "9", "item_id": "31", "rating": 0.5, "timestamp": 1260759180},
    ]
    assert tables[names.USERS].to_pylist() == [{"user_id": "9"}, {"user_id": "10"}]
    assert tables[names.ITEMS].to_pylist() == [
        {"item_id": "4", "title": None, "year": None, "genres": None},
        {"item_id": "31", "title": "Dangerous Minds", "year": 1995, "genres": ["Drama", "War"]},
    ]
    assert tables[names.ITEMS].schema.field("year").type == pa.int64()


def test_a_pickle_is_read_and_never_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").write_text, ("!",)

    trap = pickle.dumps({"a": Trap()}, protocol=5)
    with pytest.raises(DataError, match="pickled"):
        pickled.columns(trap, "trap.pkl")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no pickle", as_published(ratings())[:-40], pickle.dumps([1, 2])])
def test_what_is_no_pickled_table_is_a_data_error(content):
    with pytest.raises(DataError, match=r"film\.pkl"):
        pickled.columns(content, "film.pkl")


def test_complete_journey_adds_up_the_same_purchase(tmp_path):
    noon = pd.Timestamp("2017-01-01 12:00:00")
    later = pd.Timestamp("2017-01-01 12:00:01")
    purchases = [(2, 30, noon, 1, 0.5), (2, 30, noon, 2, 1.25), (2, 30, later, 4, 2.0), (11, 999, noon, 0, 0.0)]
    keys = ("household_id", "product_id", "transaction_timestamp", "quantity", "sales_value")
    product = dict.fromkeys(complete_journey.PRODUCT, "A") | {"manufacturer_id": 5}
    household = dict.fromkeys(complete_journey.HOUSEHOLD, "B")
    wheel = zipped(
        tmp_path / "a.whl",
        {
            f"{complete_journey.FOLDER}/{name}.parquet": parquet(rows)
            for name, rows in {
                "transactions": [dict(zip(keys, row, strict=True)) for row in purchases],
                "products": [{"product_id": 30, **product}, {"product_id": 4, **product}],
                "demographics": [{"household_id": 11, **household}],
            }.items()
        },
    )
    tables = complete_journey.tables(wheel)
    events = tables[names.INTERACTIONS]
    assert events.select([*EVENT, "quantity", "sales_value"]).to_pylist() == [
        {"user_id": "2", "item_id": "30", "timestamp": 1483272000, "quantity": 3, "sales_value": 1.75},
        {"user_id": "2", "item_id": "30", "timestamp": 1483272001, "quantity": 4, "sales_value": 2.0},
        {"user_id": "11", "item_id": "999", "timestamp": 1483272000, "quantity": 0, "sales_value": 0.0},
    ]
    assert tables[names.USERS].column(names.USER_ID).to_pylist() == ["2", "11"]
    assert tables[names.USERS].column("age").to_pylist() == [None, "B"]
    assert tables[names.ITEMS].column(names.ITEM_ID).to_pylist() == ["4", "30", "999"]
    assert tables[names.ITEMS].column("manufacturer_id").to_pylist() == ["5", "5", None]


def test_gowalla_orders_by_position_and_puts_test_last(tmp_path):
    (tmp_path / "train.txt").write_text("0 5 3\n1 5\n2\n")
    (tmp_path / "test.txt").write_text("0 9 10\n1 \n7 3\n")
    tables = gowalla.tables(tmp_path / "train.txt", tmp_path / "test.txt")
    events = [tuple(row.values()) for row in tables[names.INTERACTIONS].select([*EVENT, "split"]).to_pylist()]
    assert events == [
        ("0", "5", 0, "train"), ("0", "3", 1, "train"), ("1", "5", 0, "train"),
        ("0", "9", 2, "test"), ("0", "10", 3, "test"), ("7", "3", 0, "test"),
    ]  # fmt: skip
    assert tables[names.USERS].column(names.USER_ID).to_pylist() == ["0", "1", "2", "7"]
    assert tables[names.ITEMS].column(names.ITEM_ID).to_pylist() == ["3", "5", "9", "10"]


def test_gowalla_refuses_other_text(tmp_path):
    (tmp_path / "train.txt").write_text("user item\n")
    with pytest.raises(DataError, match=r"train\.txt"):
        gowalla.tables(tmp_path / "train.txt", tmp_path / "train.txt")


# ---- the cache ----------------------------------------------------------------------------


def test_a_folder_is_made_once_and_says_what_it_holds(small, wheel, tmp_path):
    folder = recipe.make(small, tmp_path / "cache" / "small", wheel, print)
    made = sorted(path.name for path in folder.iterdir())
    assert made == ["TERMS.txt", "dataset.json", "interactions.parquet", "items.parquet", "users.parquet"]
    assert (folder / "TERMS.txt").read_text().startswith("Collected by the GroupLens")
    written = files.read_json(folder / "dataset.json")
    assert written["name"] == "movielens-100k"
    assert written["rows"] == small.rows
    assert written["files"]["items.parquet"]["sha256"] == files.sha256(folder / "items.parquet")

    wheel.unlink()  # the cached tables are used without the source
    before = (folder / "items.parquet").stat().st_mtime_ns
    assert recipe.make(small, folder, wheel, print) == folder
    assert (folder / "items.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["cut", "gone", "unsaid", "nonsense"])
def test_a_damaged_folder_is_made_anew(small, wheel, tmp_path, damage):
    folder = recipe.make(small, tmp_path / "small", wheel, print)
    if damage == "cut":
        (folder / "items.parquet").write_bytes((folder / "items.parquet").read_bytes()[:-1])
    elif damage == "gone":
        (folder / "users.parquet").unlink()
    elif damage == "unsaid":
        (folder / "dataset.json").unlink()
    else:
        (folder / "dataset.json").write_text('{"made_from": [], "files": []}')
    assert not recipe.is_complete(small, folder)
    said: list[str] = []
    recipe.make(small, folder, wheel, said.append)
    assert "damaged" in said[0]
    assert recipe.is_complete(small, folder)
    assert pq.read_table(folder / "items.parquet").num_rows == 3


def test_a_folder_of_an_older_recipe_is_made_anew(small, wheel, tmp_path):
    folder = recipe.make(small, tmp_path / "small", wheel, print)
    assert not recipe.is_complete(replace(small, version=2), folder)


def test_another_source_is_refused_and_leaves_nothing(small, wheel, tmp_path):
    wheel.write_bytes(wheel.read_bytes() + b"!")
    with pytest.raises(DataError, match="SHA-256") as error:
        recipe.make(small, tmp_path / "cache" / "small", wheel, print)
    assert files.sha256(wheel) in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_a_recipe_that_makes_other_rows_is_refused(small, wheel, tmp_path):
    wrong = replace(small, rows={**small.rows, names.USERS: 3})
    with pytest.raises(TwostepError, match="'users': 3"):
        recipe.make(wrong, tmp_path / "small", wheel, print)


def test_the_source_may_be_its_folder(small, wheel, tmp_path):
    assert recipe.make(small, tmp_path / "small", wheel.parent, print).is_dir()


def test_a_missing_source_names_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TWOSTEP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match=facts("train.txt … test.txt")):
        datasets.get("gowalla")
    with pytest.raises(UsageError, match=r"missing: .*train\.txt"):
        datasets.get("gowalla", tmp_path)


def test_a_cache_that_cannot_be_written_says_what_to_do(small, wheel, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TwostepError, match="TWOSTEP_CACHE"):
        recipe.make(small, tmp_path / "file" / "small", wheel, print)


def test_a_failed_fetch_says_what_to_do(small, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(TwostepError, match="--from PATH") as error:
        recipe.make(replace(small, requirement="no-such-package==1.0"), tmp_path / "small", None, print)
    assert "no-such-package==1.0" in str(error.value)


# ---- names and places ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TWOSTEP_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, "/a/gowalla"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/twostep/gowalla"),
        ({"TWOSTEP_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/home/x"}, "/home/x/.cache/twostep/gowalla"),
    ],
)
def test_the_environment_says_where_the_cache_is(environment, expected, monkeypatch):
    for key in ("TWOSTEP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert datasets.cache_folder("gowalla") == Path(expected)


def test_an_unknown_name_gets_the_closest_one():
    with pytest.raises(UsageError, match="`movielens-100k`"):
        datasets.get("movielens-1ook")


@pytest.mark.parametrize("name", datasets.NAMES)
def test_every_name_has_a_recipe_of_that_name(name):
    found = datasets.find_recipe(name)
    assert found.name == name
    assert set(found.rows) == set(names.TABLES)
    assert all(len(digest) == 64 for digest in found.files.values())


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    data.add_arguments(parser.add_subparsers())
    args = parser.parse_args(words)
    return args.func(args)


def test_data_list_says_what_is_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TWOSTEP_CACHE", str(tmp_path))
    assert command("data", "list") == 0
    printed = capsys.readouterr().out
    assert printed.count("not in the cache") == len(datasets.NAMES)
    assert "943 users, 1,682 items, 100,000 interactions" in printed


def test_data_get_prints_the_folder_and_the_terms_of_what_is_here(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TWOSTEP_CACHE", str(tmp_path))
    folder = tmp_path / "gowalla"
    folder.mkdir()
    files.write_json(folder / "dataset.json", {"made_from": gowalla.RECIPE.made_from, "files": {}})
    assert command("data", "get", "gowalla") == 0
    printed = capsys.readouterr().out
    assert gowalla.TERMS in printed
    assert str(folder) in printed
