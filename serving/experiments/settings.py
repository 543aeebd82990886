"""The settings of an experiment. No Arrow and no NumPy here."""

import math
from collections import Counter

from pydantic import Field, model_validator

from core.settings import Settings
from serving.rerank.settings import Reranking
from serving.settings import ServingSettings

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"


class Arm(Settings):
    """An arm: a share of the users, and what is different for them."""

    label: str = Field(pattern=NAME, max_length=64, description="The name of the arm, in answers and the log.")
    share: float = Field(gt=0, le=1, description="The share of the users, a fraction.")
    release: str | None = Field(
        None, min_length=1, description="The version of another release; null for the release in force."
    )
    candidates: int | None = Field(
        None, ge=1, le=10_000, description="The number of candidates; null for that of the release."
    )
    reranking: Reranking | None = Field(None, description="The re-ranking; null for that of the release.")

    @property
    def changes_settings(self) -> bool:
        """Return whether the arm has settings of its own."""
        return self.candidates is not None or self.reranking is not None

    @property
    def changes_nothing(self) -> bool:
        """Return whether the arm is the release in force with its own settings."""
        return self.release is None and not self.changes_settings

    def applied(self, settings: ServingSettings) -> ServingSettings:
        """Return the settings of a release with those of the arm in their place."""
        own = {"candidates": self.candidates, "reranking": self.reranking}
        return settings.model_copy(update={name: value for name, value in own.items() if value is not None})


class Experiment(Settings):
    """An experiment: users are split among arms by the hash of the experiment's name and the user's id."""

    name: str = Field(
        pattern=NAME, max_length=64, description="The name; another name splits the users in another way."
    )
    arms: tuple[Arm, ...] = Field(
        min_length=2, max_length=20, description="The arms; the first one without changes is the champion."
    )

    @model_validator(mode="after")
    def _is_whole(self) -> "Experiment":
        """Check labels, shares and the champion. Raises: ValueError."""
        twice = [label for label, count in Counter(self.labels).items() if count > 1]
        if twice:
            raise ValueError(f"arms: labels should differ; found {twice[0]!r} more than once. Rename one")
        total = math.fsum(self.shares)
        if abs(total - 1) > 1e-9:
            raise ValueError(f"arms: the shares should sum to 1; found {total:g}. Correct `share` of an arm")
        if not any(each.changes_nothing for each in self.arms):
            raise ValueError(
                "arms: one arm should have neither `release` nor `candidates` nor `reranking`, as the champion that "
                "the others are compared with; found none. Add one"
            )
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the label of each arm."""
        return tuple(each.label for each in self.arms)

    @property
    def shares(self) -> tuple[float, ...]:
        """Return the share of each arm."""
        return tuple(each.share for each in self.arms)

    @property
    def champion(self) -> int:
        """Return the number of the first arm without changes."""
        return next(number for number, each in enumerate(self.arms) if each.changes_nothing)
