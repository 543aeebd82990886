"""Checks of a model against the rest of a configuration. No TensorFlow here."""

from typing import Any

from core.errors import ModelError
from trainer.registry import ITEM_FEATURES, RATINGS, REPEATED_ITEMS
from trainer.retrieval.counts.settings import PopularitySettings, RepeatsSettings
from trainer.retrieval.counts.shares import check_counted, segment_column
from trainer.retrieval.fusion.settings import FusionSettings
from trainer.retrieval.registry import MODELS
from transform.features import Features


def check(name: str, params: dict[str, Any], features: Features, exclude_seen: bool, ratings: bool) -> None:
    """Check that the configuration meets the requirements of model `name` and its members.

    Args:
      name, params: the name and the params of the model.
      features: the feature configuration.
      exclude_seen: whether seen items are excluded from lists.
      ratings: whether the configuration says that every event has a rating.
    Raises:
      ValueError: a requirement is not met, or the model or a setting in `params` does not exist.
    """
    entry, settings = MODELS[name], MODELS.check(name, params)
    item_feature = settings.item_feature if isinstance(settings, RepeatsSettings) else None
    if REPEATED_ITEMS in entry.requires and exclude_seen and item_feature is None:
        raise ValueError(
            f"{name} recommends items of the user's history, which `data.exclude_seen: true` excludes. "
            "Set it to false where users interact with items repeatedly, or use another model"
        )
    if ITEM_FEATURES in entry.requires and not features.item:
        raise ValueError(
            f"{name} compares items by their features, but `features.item` is empty. Add at least one feature"
        )
    if RATINGS in entry.learns_from and not ratings:
        raise ValueError(
            f"{name} is fitted on ratings, but the configuration has none. Give their lowest and highest value as "
            "`data.interactions.rating_range`, or use a model that needs none, such as ials"
        )
    try:
        if isinstance(settings, PopularitySettings) and settings.segment is not None:
            segment_column(settings.segment, features.user)
        if item_feature is not None:
            check_counted(item_feature, features.item)
    except ModelError as error:
        raise ValueError(str(error)) from None
    if isinstance(settings, FusionSettings) and settings.cold_weight_share:
        if not features.item:
            raise ValueError(f"{name}: `cold_weight_share` needs features of items, but `features.item` is empty")
        if not MODELS.scores_by_features(name, params):
            raise ValueError(
                f"{name}: `cold_weight_share` needs a member that scores items by their features; no member in "
                "`models` does. Add content or two_tower, or set `cold_weight_share` to 0"
            )
    for member, member_params in MODELS.members(name, settings).values():
        check(member, member_params, features, exclude_seen, ratings)


def check_warm_start(name: str, params: dict[str, Any], in_time: bool, earlier_windows: int) -> None:
    """Check that fits of model `name` can begin with the weights of the release in force.

    Args:
      name, params: the name and the params of the model.
      in_time: whether each user's events in train precede those in eval and test.
      earlier_windows: the number of earlier windows of train, for each of which the model is fitted once more.
    Raises:
      ValueError: the model cannot, or a fit would know events that it is evaluated on.
    """
    if not MODELS.warm_start(name, params):
        having = ", ".join(other for other, entry in MODELS.entries.items() if entry.warm_start)
        raise ValueError(
            f"should be false for {name}, which is fitted anew each time. Set it to false, or use one of these models "
            f"or a fusion with one: {having}"
        )
    if not in_time:
        raise ValueError(
            "requires a split ordered in time: with another one, the release in force was fitted on events of eval and "
            "test. Set it to false, or use the split `temporal`"
        )
    if earlier_windows:
        raise ValueError(
            f"should be false with `ranking.earlier_windows`, found {earlier_windows}: the release in force was fitted "
            "on the events of the windows. Set one of them to 0 or false"
        )


def check_index(name: str, kind: str, params: dict[str, Any]) -> None:
    """Check that an index of `kind` can be built for model `name`, or for a member of it. Raises: ValueError."""
    members = [model for model, _ in MODELS.members(name, MODELS.check(name, params)).values()]
    if kind != "exact" and not any(MODELS[each].embeddings for each in [name, *members]):
        having = ", ".join(other for other, entry in MODELS.entries.items() if entry.embeddings)
        raise ValueError(
            f"index {kind} requires embeddings, which {name} does not have. Set `exact`, or use a model that has "
            f"them: {having}"
        )
