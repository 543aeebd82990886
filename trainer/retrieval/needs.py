"""Whether a model can be what a configuration wants of it. No TensorFlow here."""

from typing import Any

from core.errors import ModelError
from trainer.registry import ITEM_FEATURES, RATINGS, REPEATS
from trainer.retrieval.registry import MODELS
from trainer.retrieval.settings import FusionSettings, PopularitySettings, RepeatsSettings
from trainer.retrieval.shares import check_counted, segment_column
from transform.features import Features


def check(name: str, params: dict[str, Any], features: Features, exclude_seen: bool, ratings: bool) -> None:
    """Whether model `name`, and each that it is made of, has what it needs.

    Args:
      name, params: the model.
      features: the features there are.
      exclude_seen: whether items a user has met are never recommended again.
      ratings: whether every event is said to have a rating.
    Raises:
      ValueError: it has not, or there is no such model or setting.
    """
    needs, settings = MODELS[name].needs, MODELS.check(name, params)
    counted = settings.of if isinstance(settings, RepeatsSettings) else None
    if REPEATS in needs and exclude_seen and counted is None:
        raise ValueError(
            f"{name} recommends what the user has met, which `data.exclude_seen: true` forbids. "
            "Set that to false where items are met again, or use another model"
        )
    if ITEM_FEATURES in needs and not features.item:
        raise ValueError(f"{name} compares items by their features, and `features.item` is empty. Add some")
    if RATINGS in needs and not ratings:
        raise ValueError(
            f"{name} is fitted on ratings, and nothing says that events have any. Give their lowest and highest as "
            "`data.interactions.rating_range`, or use a model that needs none, such as ials"
        )
    try:
        if isinstance(settings, PopularitySettings) and settings.segment is not None:
            segment_column(settings.segment, features.user)
        if counted is not None:
            check_counted(counted, features.item)
    except ModelError as error:
        raise ValueError(str(error)) from None
    if isinstance(settings, FusionSettings) and settings.cold:
        if not features.item:
            raise ValueError(f"{name}'s `cold` is for items known by their features, and `features.item` is empty")
        if not MODELS.knows_features(name, params):
            raise ValueError(
                f"{name}'s `cold` goes to models that know items by their features, and none of `models` does. "
                "Add content or two_tower, or set it to 0"
            )
    for member, of_member in MODELS.members(name, settings).values():
        check(member, of_member, features, exclude_seen, ratings)


def check_index(name: str, kind: str) -> None:
    """Whether an index of `kind` can be built over model `name`. Raises: ValueError."""
    if kind != "exact" and not MODELS[name].embeddings:
        having = ", ".join(other for other, entry in MODELS.entries.items() if entry.embeddings)
        raise ValueError(
            f"{kind} is a graph of embeddings, and {name} has none. Set `exact`, or use a model that has: {having}"
        )
