"""The retrieval models by name.

To add a model, write its file and its settings in the folder of its family, and add an entry here. The settings are in
a file without TensorFlow, since reading a configuration imports them. See `trainer.registry.Entry` for what an entry
declares, the search space included.
"""

from trainer.registry import EVENTS, FEATURES, ITEM_FEATURES, RATINGS, REPEATED_ITEMS, Entry, Registry
from trainer.retrieval.content.settings import ContentSettings
from trainer.retrieval.counts.settings import PopularitySettings, RepeatsSettings
from trainer.retrieval.factors.settings import BPRSettings, IALSSettings
from trainer.retrieval.fusion.settings import FusionSettings
from trainer.retrieval.linear.settings import EASESettings, GraphFilterSettings, SLIMSettings, SLITSettings
from trainer.retrieval.neighbours.settings import CoVisitationSettings, ItemKNNSettings, UserKNNSettings
from trainer.retrieval.ratings.settings import (
    KNNBaselineSettings,
    NMFSettings,
    PMFSettings,
    SVDppSettings,
    SVDSettings,
)
from trainer.retrieval.two_tower.settings import TwoTowerSettings

MODELS = Registry(
    "retrieval",
    Entry("popularity", "trainer.retrieval.counts.popularity:fit", PopularitySettings, {EVENTS}, personalised=False),
    Entry("item_knn", "trainer.retrieval.neighbours.item_knn:fit", ItemKNNSettings, {EVENTS}),
    Entry("co_visitation", "trainer.retrieval.neighbours.co_visitation:fit", CoVisitationSettings, {EVENTS}),
    Entry(
        "repeats",
        "trainer.retrieval.counts.repeats:fit",
        RepeatsSettings,
        {EVENTS},
        requires={REPEATED_ITEMS},
        scores_by_features="item_feature",
    ),
    Entry("user_knn", "trainer.retrieval.neighbours.user_knn:fit", UserKNNSettings, {EVENTS}),
    Entry("ease", "trainer.retrieval.linear.ease:fit", EASESettings, {EVENTS}),
    Entry("slim", "trainer.retrieval.linear.slim:fit", SLIMSettings, {EVENTS}),
    Entry("slit", "trainer.retrieval.linear.slit:fit", SLITSettings, {EVENTS}),
    Entry("graph_filter", "trainer.retrieval.linear.graph_filter:fit", GraphFilterSettings, {EVENTS}),
    Entry(
        "ials",
        "trainer.retrieval.factors.ials:fit",
        IALSSettings,
        {EVENTS},
        embeddings=True,
        machine="trainer.retrieval.factors.spark:check",
    ),
    Entry("bpr", "trainer.retrieval.factors.bpr:fit", BPRSettings, {EVENTS}, embeddings=True),
    Entry("svd", "trainer.retrieval.ratings.factorisation:fit_svd", SVDSettings, {RATINGS}, embeddings=True),
    Entry("svdpp", "trainer.retrieval.ratings.svdpp:fit", SVDppSettings, {RATINGS}, embeddings=True),
    Entry("pmf", "trainer.retrieval.ratings.factorisation:fit_pmf", PMFSettings, {RATINGS}, embeddings=True),
    Entry("nmf", "trainer.retrieval.ratings.factorisation:fit_nmf", NMFSettings, {RATINGS}, embeddings=True),
    Entry(
        "content",
        "trainer.retrieval.content.model:fit",
        ContentSettings,
        {EVENTS, FEATURES},
        requires={ITEM_FEATURES},
        embeddings=True,
        scores_by_features=True,
    ),
    Entry("knn_baseline", "trainer.retrieval.ratings.knn_baseline:fit", KNNBaselineSettings, {RATINGS}),
    Entry(
        "two_tower",
        "trainer.retrieval.two_tower.model:fit",
        TwoTowerSettings,
        {EVENTS, FEATURES},
        embeddings=True,
        scores_by_features=True,
        threads=True,
        warm_start=True,
    ),
    Entry("fusion", "trainer.retrieval.fusion.model:fit", FusionSettings, {EVENTS}, members="models"),
)
check = MODELS.check
