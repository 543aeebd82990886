"""Two steps with `implicit` and LightGBM, as a notebook would do it: iALS candidates, and LambdaMART on their features.

    python implicit_lightgbm.py FOLDER

FOLDER has known.parquet, users.parquet, items.parquet and queries.parquet; lists.parquet is written there. The ranker
learns from candidates of an iALS that was fitted without the last tenth of each user's events.
"""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import scipy.sparse as sp
from implicit.als import AlternatingLeastSquares

FACTORS, CANDIDATES, LENGTH, SEED = 64, 200, 100, 42


def fitted(users: np.ndarray, items: np.ndarray, shape: tuple[int, int]):
    """Return iALS and the matrix that it was fitted on."""
    matrix = sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape=shape)
    model = AlternatingLeastSquares(factors=FACTORS, alpha=10, iterations=15, random_state=SEED)
    model.fit(matrix, show_progress=False)
    return model, matrix


def candidates(model, matrix: sp.csr_matrix, wanted: np.ndarray) -> pd.DataFrame:
    """Return the best unseen items of each user: user, item, score, rank."""
    rows, scores = model.recommend(wanted, matrix[wanted], N=CANDIDATES, filter_already_liked_items=True)
    ranks = np.broadcast_to(np.arange(rows.shape[1]), rows.shape)
    frame = pd.DataFrame({"user": np.repeat(wanted, rows.shape[1]), "item": rows.ravel(), "score": scores.ravel()})
    frame["rank"] = ranks.ravel()
    return frame[frame["score"] > -1e30]


def features(frame: pd.DataFrame, history: pd.DataFrame, users: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Add counts, mean ratings and the columns of both tables."""
    for key in ("user", "item"):
        group = history.groupby(key)["rating"].agg(["count", "mean"]).add_prefix(f"{key}_")
        frame = frame.merge(group, how="left", left_on=key, right_index=True)
    return frame.merge(users, how="left", on="user").merge(items, how="left", on="item")


def main() -> None:
    """Fit both steps, and write the lists."""
    folder = Path(sys.argv[1])
    known, people, things, queries = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("known", "users", "items", "queries")
    )
    user_of = pd.Index(people["user_id"])
    item_of = pd.Index(things["item_id"])
    known["user"], known["item"] = user_of.get_indexer(known["user_id"]), item_of.get_indexer(known["item_id"])
    for table, key, ids in ((people, "user", user_of), (things, "item", item_of)):
        table[key] = np.arange(len(ids))
        for name in table.columns:
            if table[name].dtype == object:
                table[name] = table[name].astype(str).astype("category").cat.codes
    people, things = people.drop(columns="user_id"), things.drop(columns="item_id")
    shape = len(user_of), len(item_of)

    known = known.sort_values(["user", "timestamp"], kind="stable")
    place = known.groupby("user").cumcount(ascending=False)
    late = place < np.ceil(known.groupby("user")["item"].transform("size") * 0.1)
    past, target = known[~late], known[late]
    model, matrix = fitted(past["user"].to_numpy(), past["item"].to_numpy(), shape)
    train = candidates(model, matrix, target["user"].unique())
    train = train.merge(target[["user", "item"]].drop_duplicates().assign(label=1), how="left", on=["user", "item"])
    train = features(train.fillna({"label": 0}), past, people, things).sort_values("user", kind="stable")
    columns = [name for name in train.columns if name not in ("user", "item", "label")]
    ranker = lightgbm.LGBMRanker(n_estimators=100, learning_rate=0.05, random_state=SEED, n_jobs=2, verbose=-1)
    ranker.fit(train[columns], train["label"], group=train.groupby("user", sort=True).size().to_numpy())

    model, matrix = fitted(known["user"].to_numpy(), known["item"].to_numpy(), shape)
    found = candidates(model, matrix, user_of.get_indexer(queries["user_id"]))
    found = features(found, known, people, things)
    found["score"] = ranker.predict(found[columns])
    best = found.sort_values(["user", "score"], ascending=[True, False], kind="stable").groupby("user").head(LENGTH)
    lists = pd.DataFrame({"user_id": user_of[best["user"]], "item_id": item_of[best["item"]]})
    lists.to_parquet(folder / "lists.parquet")


if __name__ == "__main__":
    main()
