"""Two steps with RecTools: its CandidateRankingModel over iALS, item-kNN and popularity, ranked by CatBoost.

    python rectools_two_stage.py FOLDER

FOLDER has known.parquet, users.parquet, items.parquet and queries.parquet; lists.parquet is written there. The
ranker has the scores and ranks of the candidates, and the columns of both tables.
"""

import sys
from pathlib import Path

import pandas as pd
from catboost import CatBoostRanker
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.model_selection import LastNSplitter
from rectools.models import ImplicitALSWrapperModel, ImplicitItemKNNWrapperModel, PopularModel
from rectools.models.ranking import (
    CandidateFeatureCollector,
    CandidateGenerator,
    CandidateRankingModel,
    CatBoostReranker,
    PerUserNegativeSampler,
)

CANDIDATES, LENGTH, LAST, SEED = 200, 100, 10, 42


class Tables(CandidateFeatureCollector):
    """The columns of the tables of users and items."""

    def __init__(self, users: pd.DataFrame, items: pd.DataFrame):
        self.users, self.items = users, items

    def _get_user_features(self, users, dataset, fold_info):
        return self.users[self.users[Columns.User].isin(users)]

    def _get_item_features(self, items, dataset, fold_info):
        return self.items[self.items[Columns.Item].isin(items)]


def coded(table: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return a table with numbers in place of text, but in its key."""
    for name in table.columns:
        if name != key and table[name].dtype == object:
            table[name] = table[name].astype(str).astype("category").cat.codes
    return table


def main() -> None:
    """Fit both steps, and write the lists."""
    folder = Path(sys.argv[1])
    known, users, items, queries = (
        pd.read_parquet(folder / f"{name}.parquet") for name in ("known", "users", "items", "queries")
    )
    events = known.rename(columns={"timestamp": Columns.Datetime}).assign(**{Columns.Weight: 1.0})
    events[Columns.Datetime] = pd.to_datetime(events[Columns.Datetime], unit="s")
    dataset = Dataset.construct(events[[Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]])
    first = [
        ImplicitALSWrapperModel(AlternatingLeastSquares(factors=64, alpha=10, iterations=15, random_state=SEED)),
        ImplicitItemKNNWrapperModel(CosineRecommender(K=100)),
        PopularModel(),
    ]
    model = CandidateRankingModel(
        candidate_generators=[
            CandidateGenerator(
                each, CANDIDATES, True, True, scores_fillna_value=-1.0, ranks_fillna_value=CANDIDATES + 1
            )
            for each in first
        ],
        splitter=LastNSplitter(LAST, n_splits=1),
        sampler=PerUserNegativeSampler(n_negatives=50, random_state=SEED),
        feature_collector=Tables(coded(users, Columns.User), coded(items, Columns.Item)),
        reranker=CatBoostReranker(CatBoostRanker(random_state=SEED, verbose=False, thread_count=2)),
    )
    model.fit(dataset)
    lists = model.recommend(queries["user_id"].tolist(), dataset, k=LENGTH, filter_viewed=True)
    lists[["user_id", "item_id"]].to_parquet(folder / "lists.parquet")


if __name__ == "__main__":
    main()
