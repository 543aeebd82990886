"""The retrieval models by name. A new one is a line here, its settings, and a file beside this one."""

from trainer.registry import Entry, Registry
from trainer.retrieval import settings

MODELS = Registry(
    "retrieval",
    Entry("popularity", "trainer.retrieval.popularity:fit", settings.PopularitySettings, events_alone=True),
    Entry("item_knn", "trainer.retrieval.item_knn:fit", settings.ItemKNNSettings, events_alone=True),
    Entry("two_tower", "trainer.retrieval.two_tower:fit", settings.TwoTowerSettings),
)
check = MODELS.check
