"""The settings of `fusion`. No TensorFlow here."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from core.settings import Settings
from trainer.tuning.space import between


class FusionSettings(Settings):
    """Reciprocal rank fusion of several retrievers (Cormack et al., 2009)."""

    RENAMED: ClassVar[Mapping[str, str]] = {
        "learned": "learn_weights",
        "k0": "rank_constant",
        "cold": "cold_weight_share",
    }

    models: dict[str, dict[str, Any]] = Field(
        {"ease": {}, "ials": {}, "item_knn": {}},
        min_length=2,
        description="The members: the name of a model -> its params. For several members of the same model: any label "
        "-> params, with the name of the model as `model`.",
    )
    weights: dict[str, Annotated[float, Field(ge=-1_000_000, le=1_000_000)]] = Field(
        default_factory=dict, description="The weights of members, by label; 1 by default."
    )
    learn_weights: bool = Field(
        False, description="Whether the weights are learned on eval by coordinate ascent, starting from `weights`."
    )
    rank_constant: float = Field(
        60.0,
        ge=0,
        le=1_000_000,
        description="The constant k of reciprocal rank fusion, 1/(k + rank); larger values reduce the advantage of the "
        "first ranks.",
        json_schema_extra=between(0, 100),
    )
    depth: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="The number of top-ranked items of each member that contribute to the score; items that no member "
        "ranks so high follow, ordered by popularity.",
    )
    cold_weight_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The share of the weight of event-based members that, for cold items, is moved in equal parts to "
        "feature-based members. With 0, event-based members rank cold items last.",
    )

    @model_validator(mode="after")
    def _check_labels(self) -> "FusionSettings":
        """Check labels and weights. Raises: ValueError."""
        wrong = [label for label in self.models if not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", label)]
        if wrong:
            raise ValueError(f"a label should be letters, digits and `_`, a letter first; found {', '.join(wrong)}")
        unknown = sorted(set(self.weights) - set(self.models))
        if unknown:
            raise ValueError(f"weights should be of members, {', '.join(self.models)}; found {', '.join(unknown)}")
        return self
