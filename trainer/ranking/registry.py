"""The ranking models by name. A new one is a line here, its settings, and a file beside this one."""

from trainer.ranking import settings
from trainer.registry import RATINGS, Entry, Registry

MODELS = Registry(
    "ranking",
    Entry("dcn", "trainer.ranking.dcn:fit", settings.DCNSettings),
    Entry("deepfm", "trainer.ranking.deepfm:fit", settings.DeepFMSettings),
    Entry("logistic", "trainer.ranking.logistic:fit", settings.LogisticSettings),
    Entry("mlp", "trainer.ranking.mlp:fit", settings.MLPSettings),
    Entry("mmoe", "trainer.ranking.mmoe:fit", settings.MMoESettings, needs=(RATINGS,)),
    Entry("trees", "trainer.ranking.trees:fit", settings.TreesSettings),
)
check = MODELS.check


def check_needs(name: str, ratings: bool) -> None:
    """Whether there is what model `name` needs.

    Args:
      name: of the model.
      ratings: whether every event is said to have a rating.
    Raises:
      ValueError: there is not.
    """
    if RATINGS in MODELS[name].needs and not ratings:
        raise ValueError(
            f"{name} learns ratings beside what is right, and nothing says that events have any. Give their lowest and "
            "highest as `data.interactions.rating_range`, or use a model of one task, such as dcn"
        )
