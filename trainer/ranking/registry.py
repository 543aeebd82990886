"""The ranking models by name. A new one is a line here, its settings, and a file beside this one."""

from trainer.ranking import settings
from trainer.registry import Entry, Registry

MODELS = Registry(
    "ranking",
    Entry("dcn", "trainer.ranking.dcn:fit", settings.DCNSettings),
)
check = MODELS.check
