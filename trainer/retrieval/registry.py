"""The retrieval models by name. A new one is a line here, its settings, and a file beside this one."""

from trainer.registry import ITEM_FEATURES, RATINGS, REPEATS, Entry, Registry
from trainer.retrieval import rating_settings, settings
from trainer.retrieval.two_tower.settings import TwoTowerSettings

MODELS = Registry(
    "retrieval",
    Entry("popularity", "trainer.retrieval.popularity:fit", settings.PopularitySettings, events_alone=True),
    Entry("item_knn", "trainer.retrieval.item_knn:fit", settings.ItemKNNSettings, events_alone=True),
    Entry(
        "repeats",
        "trainer.retrieval.repeats:fit",
        settings.RepeatsSettings,
        events_alone=True,
        needs=(REPEATS,),
        knows_features="of",
    ),
    Entry("user_knn", "trainer.retrieval.user_knn:fit", settings.UserKNNSettings, events_alone=True),
    Entry("ease", "trainer.retrieval.ease:fit", settings.EASESettings, events_alone=True),
    Entry("slim", "trainer.retrieval.slim:fit", settings.SLIMSettings, events_alone=True),
    Entry("graph_filter", "trainer.retrieval.graph_filter:fit", settings.GraphFilterSettings, events_alone=True),
    Entry("ials", "trainer.retrieval.ials:fit", settings.IALSSettings, events_alone=True, embeddings=True),
    Entry("bpr", "trainer.retrieval.bpr:fit", settings.BPRSettings, events_alone=True, embeddings=True),
    Entry("svd", "trainer.retrieval.svd:fit", rating_settings.SVDSettings, needs=(RATINGS,), embeddings=True),
    Entry("svdpp", "trainer.retrieval.svdpp:fit", rating_settings.SVDppSettings, needs=(RATINGS,), embeddings=True),
    Entry("pmf", "trainer.retrieval.pmf:fit", rating_settings.PMFSettings, needs=(RATINGS,), embeddings=True),
    Entry("nmf", "trainer.retrieval.nmf:fit", rating_settings.NMFSettings, needs=(RATINGS,), embeddings=True),
    Entry(
        "content",
        "trainer.retrieval.content:fit",
        settings.ContentSettings,
        needs=(ITEM_FEATURES,),
        embeddings=True,
        knows_features=True,
    ),
    Entry("knn_baseline", "trainer.retrieval.knn_baseline:fit", rating_settings.KNNBaselineSettings, needs=(RATINGS,)),
    Entry("two_tower", "trainer.retrieval.two_tower.model:fit", TwoTowerSettings, embeddings=True, knows_features=True),
    Entry("fusion", "trainer.retrieval.fusion:fit", settings.FusionSettings, events_alone=True, members="models"),
)
check = MODELS.check
