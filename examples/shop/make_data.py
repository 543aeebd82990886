"""A small synthetic shop: customers, products and a year of purchases, as three CSV files.

python examples/shop/make_data.py examples/shop/data
"""

import argparse
import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

CATEGORIES = ("bread", "cheese", "coffee", "fruit", "tea", "wine")
CUSTOMERS, PRODUCTS, PURCHASES = 300, 150, 9_000


def main(folder: Path, seed: int = 7) -> None:
    """Write customers.csv, products.csv and purchases.csv, which depend on the seed only."""
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    category = draw.integers(len(CATEGORIES), size=PRODUCTS)
    price = np.round(draw.lognormal(1.5, 0.6, PRODUCTS), 2)
    regions = draw.choice(["north", "south", "east", "west"], CUSTOMERS)
    tastes = draw.dirichlet([0.3] * len(CATEGORIES), CUSTOMERS)
    popularity = 1 / np.arange(1, PRODUCTS + 1) ** 0.7

    _write(folder / "customers.csv", ["customer", "region"], ((f"c{i}", regions[i]) for i in range(CUSTOMERS)))
    kinds = [CATEGORIES[index] for index in category]
    products = ((f"p{i}", f"{kinds[i]} no. {i}", kinds[i], price[i]) for i in range(PRODUCTS))
    _write(folder / "products.csv", ["product", "name", "category", "price"], products)

    start = datetime(2025, 1, 1, tzinfo=UTC)
    seconds = np.sort(draw.choice(365 * 24 * 3600, PURCHASES, replace=False))
    rows = []
    for second in seconds:
        customer = int(draw.integers(CUSTOMERS))
        weight = tastes[customer][category] * popularity
        product = int(draw.choice(PRODUCTS, p=weight / weight.sum()))
        rows.append((f"c{customer}", f"p{product}", (start + timedelta(seconds=int(second))).isoformat()))
    _write(folder / "purchases.csv", ["customer", "product", "bought_at"], rows)


def _write(path: Path, header: list[str], rows) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the folder to write the three files to")
    main(parser.parse_args().folder)
