"""The ranking models by name. A new one is a line here, its settings, and a file beside this one."""

from trainer.ranking import settings
from trainer.registry import Entry, Registry

MODELS = Registry(
    "ranking",
    Entry("dcn", "trainer.ranking.dcn:fit", settings.DCNSettings),
    Entry("deepfm", "trainer.ranking.deepfm:fit", settings.DeepFMSettings),
    Entry("logistic", "trainer.ranking.logistic:fit", settings.LogisticSettings),
    Entry("mlp", "trainer.ranking.mlp:fit", settings.MLPSettings),
    Entry("mmoe", "trainer.ranking.mmoe:fit", settings.MMoESettings),
    Entry("trees", "trainer.ranking.trees:fit", settings.TreesSettings),
)
check = MODELS.check
