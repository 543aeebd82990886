"""The ranking models by name.

To add a model, write a file for it in this folder and its settings in `settings.py`, and add an entry here. See
`trainer.registry.Entry` for what an entry declares, the search space included.
"""

from trainer.ranking import settings
from trainer.registry import EVENTS, FEATURES, RATINGS, Entry, Registry

MODELS = Registry(
    "ranking",
    Entry("dcn", "trainer.ranking.dcn:fit", settings.DCNSettings, {EVENTS, FEATURES}),
    Entry("deepfm", "trainer.ranking.deepfm:fit", settings.DeepFMSettings, {EVENTS, FEATURES}),
    Entry("linear", "trainer.ranking.linear:fit", settings.LinearSettings, {EVENTS, FEATURES}),
    Entry("logistic", "trainer.ranking.logistic:fit", settings.LogisticSettings, {EVENTS, FEATURES}),
    Entry("mlp", "trainer.ranking.mlp:fit", settings.MLPSettings, {EVENTS, FEATURES}),
    Entry("mmoe", "trainer.ranking.mmoe:fit", settings.MMoESettings, {EVENTS, FEATURES, RATINGS}),
    Entry("trees", "trainer.ranking.trees:fit", settings.TreesSettings, {EVENTS, FEATURES}),
)
check = MODELS.check


def check_needs(name: str, ratings: bool) -> None:
    """Check that the configuration has ratings if model `name` learns from them.

    Args:
      name: the name of the model.
      ratings: whether the configuration says that every event has a rating.
    Raises:
      ValueError: the model learns from ratings, but the configuration has none.
    """
    if RATINGS in MODELS[name].learns_from and not ratings:
        raise ValueError(
            f"{name} learns to predict ratings as well as relevance, but the configuration has no ratings. Give their "
            "lowest and highest value as `data.interactions.rating_range`, or use a model without ratings, such as dcn"
        )
