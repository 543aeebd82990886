"""The settings of EventJoiner, including the configuration of the split."""

from typing import Any, Literal

from pydantic import Field, model_validator

from core.settings import Settings
from transform.features import AnyFeature


class Split(Settings):
    """The split of the events into train, eval and test."""

    method: Literal["temporal", "temporal_per_user", "leave_one_out", "random", "kfold", "given"] = Field(
        "temporal",
        description="`temporal`: eval and test begin at two timestamps, the same for all users; `temporal_per_user`: "
        "they are the last shares of each user's events; `leave_one_out`: they are the last two events of each user. "
        "For comparison with published results: `random`, `kfold` with a `fold`, `given` with a `column`.",
    )
    column: str | None = Field(
        None,
        min_length=1,
        description="For `given`: the column of the interactions that holds `train`, `eval` or `test`. If no row "
        "is `eval`, a random share of the train rows, set by `eval`, becomes eval.",
    )
    fold: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]* of [1-9][0-9]*$",
        description="For `kfold`: the test fold, such as `1 of 5`. A random share of the other events, set by `eval`, "
        "is eval; the rest is train.",
    )
    eval: float = Field(0.1, gt=0, lt=1, description="The share of the events in eval, used to train the ranker.")
    test: float = Field(
        0.1, gt=0, lt=1, description="The share of the events in test, used only to evaluate the models."
    )

    @model_validator(mode="after")
    def _leaves_train(self) -> "Split":
        if self.eval + self.test >= 1:
            raise ValueError(
                f"eval + test should be below 1, so that train is not empty; found {self.eval + self.test:g}"
            )
        for method, key in (("given", "column"), ("kfold", "fold")):
            if (self.method == method) != (getattr(self, key) is not None):
                raise ValueError(
                    f"`{key}` should be set with the method `{method}`, and with no other; found {self.method}"
                )
        if self.fold is not None:
            fold, folds = map(int, self.fold.split(" of "))
            if folds < 2 or fold > folds:
                raise ValueError(f"fold should be `i of n` with i from 1 to n and n at least 2; found {self.fold!r}")
        return self

    @property
    def in_time(self) -> bool:
        """Return whether each user's events in train precede those in eval, and these precede those in test."""
        return self.method not in ("random", "kfold", "given")

    def of_test(self, seed: int) -> dict[str, Any]:
        """Return the settings that decide which events are in test; `seed` is that of random splits.

        A model that was evaluated with other settings may have been fitted on events that are now in test.
        """
        shares = {} if self.method in ("leave_one_out", "given", "kfold") else {"test": self.test}
        chosen = {"column": self.column, "fold": self.fold}
        drawn = {"seed": seed} if self.method in ("random", "kfold") else {}
        return {"method": self.method, **shares, **{key: each for key, each in chosen.items() if each}, **drawn}


class JoinerSettings(Settings):
    """The settings of EventJoiner."""

    user: dict[str, AnyFeature] = Field(description="The features of users.")
    item: dict[str, AnyFeature] = Field(description="The features of items.")
    history_length: int = Field(ge=1, description="The maximum number of items in a history.")
    title: str | None = Field(description="The column of the items that holds their titles.")
    owner: str | None = Field(None, description="The column of the items with the users to whom they belong.")
    split: Split = Field(description="The split of the events.")
    drop_unknown: bool = Field(
        description="Whether events of unknown users and items are dropped; if false, they are an error."
    )
    max_dropped: float = Field(
        ge=0, le=1, description="The largest share of the events that may be dropped; a larger one is an error."
    )
    seed: int = Field(description="The seed of random splits.")
