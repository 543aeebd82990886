"""Small random tables with edge cases: missing values, rare values, and a user and an item without events."""

import numpy as np
import pyarrow as pa

from core import names

N_USERS, N_ITEMS = 60, 40
COLD_USER, COLD_ITEM = f"u{N_USERS - 1}", f"i{N_ITEMS - 1}"
DAY = 86_400


def tables(seed: int) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return interactions, users and items; each user has mostly even or mostly odd items. All features have nulls."""
    rng = np.random.default_rng(seed)

    def some(values, share=0.15):
        return [None if rng.random() < share else value for value in values]

    users = pa.table(
        {
            names.USER_ID: [f"u{row}" for row in range(N_USERS)],
            "Age": pa.array(some(rng.uniform(18, 80, N_USERS)), pa.float32()),
            "gender": pa.array(some(["f" if row % 2 else "m" for row in range(N_USERS)]), pa.string()),
            "tags": pa.array([[f"t{tag}" for tag in range(row % 4)] for row in range(N_USERS)], pa.list_(pa.string())),
            "nothing": pa.array([None] * N_USERS, pa.string()),
            "silence": pa.array([None] * N_USERS, pa.string()),
            "about": some([f"Likes g{row % 2}, and more of g{row % 3}!" for row in range(N_USERS)]),
            "taste": pa.array(some(rng.normal(size=(N_USERS, 2)).tolist()), pa.list_(pa.float32())),
            "signed_up": pa.array([None if row % 7 == 0 else -row * 3600 for row in range(N_USERS)], pa.float32()),
        }
    )
    items = pa.table(
        {
            names.ITEM_ID: [f"i{row}" for row in range(N_ITEMS)],
            "genres": pa.array(
                [[f"g{row % 2}", *(f"g{row % each}" for each in range(3, 3 + row % 4))] for row in range(N_ITEMS)]
            ),
            "brand": pa.array(
                [*some([f"b{row % 5}" for row in range(N_ITEMS - 3)]), "rare", "b0", "never met"], pa.string()
            ),
            "price": pa.array(some(rng.lognormal(3, 1, N_ITEMS)), pa.float32()),
            "year": pa.array(some(rng.integers(1950, 2020, N_ITEMS).astype(float)), pa.float32()),
            "story": some(
                [f"The g{row % 2} of the {'West' if row % 3 else 'ÖSTEN'}: part {row}" for row in range(N_ITEMS)]
            ),
            "picture": pa.array(some(rng.normal(size=(N_ITEMS, 3)).tolist()), pa.list_(pa.float32())),
            "shelf": some([f"{'AB'[row % 2]}{row}" for row in range(N_ITEMS)]),
            # From five days before the first event to two days after it.
            "released": pa.array(
                [None if row % 9 == 0 else (row * 7 % 8 - 5) * DAY for row in range(N_ITEMS)], pa.float32()
            ),
        }
    )
    events = []
    for user in range(N_USERS - 1):
        liked = np.arange(user % 2, N_ITEMS - 2, 2)
        count = int(rng.integers(6, 14))
        met = [*rng.choice(liked, count - 2, replace=False), *rng.integers(0, N_ITEMS - 2, 2)]
        # Whole minutes, so that some events of a user have the same timestamp.
        events += [(f"u{user}", f"i{item}", int(rng.integers(0, 3000)) * 60) for item in met]
    events.append(("u0", f"i{N_ITEMS - 2}", 60))
    columns = list(zip(*events, strict=True))
    user, item = (np.array([int(key[1:]) for key in column]) for column in columns[:2])
    table = pa.table(
        {
            names.USER_ID: columns[0],
            names.ITEM_ID: columns[1],
            names.TIMESTAMP: pa.array(columns[2], pa.int64()),
            # 4 or 5 if user and item are both even or both odd, else 1 or 2.
            names.RATING: pa.array(np.where(user % 2 == item % 2, 4, 1) + item // 2 % 2, pa.float32()),
        }
    )
    return table, users, items
