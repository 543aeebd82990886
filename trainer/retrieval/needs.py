"""Whether a model can be what a configuration wants of it. No TensorFlow here."""

from typing import Any

from core.errors import ModelError
from trainer.registry import ITEM_FEATURES, REPEATS
from trainer.retrieval.registry import MODELS
from trainer.retrieval.settings import FusionSettings, PopularitySettings
from trainer.retrieval.shares import segment_column
from transform.features import Features


def check(name: str, params: dict[str, Any], features: Features, exclude_seen: bool) -> None:
    """Whether model `name`, and each that it is made of, has what it needs.

    Raises:
      ValueError: it has not, or there is no such model or setting.
    """
    needs, settings = MODELS[name].needs, MODELS.check(name, params)
    if REPEATS in needs and exclude_seen:
        raise ValueError(
            f"{name} recommends what the user has met, which `data.exclude_seen: true` forbids. "
            "Set that to false where items are met again, or use another model"
        )
    if ITEM_FEATURES in needs and not features.item:
        raise ValueError(f"{name} compares items by their features, and `features.item` is empty. Add some")
    if isinstance(settings, PopularitySettings) and settings.segment is not None:
        try:
            segment_column(settings.segment, features.user)
        except ModelError as error:
            raise ValueError(str(error)) from None
    if isinstance(settings, FusionSettings):
        for member, of_member in settings.models.items():
            check(member, of_member, features, exclude_seen)
