"""Names to models. An entry holds a dotted path, so that reading a configuration imports no model."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core import mistakes
from core.printable import one_line
from core.settings import Settings

# What a model may need of a configuration.
ITEM_FEATURES, RATINGS, REPEATS = "item_features", "ratings", "repeats"


@dataclass(frozen=True)
class Entry:
    """One model.

    Args:
      name: what a configuration calls it.
      fit: `module:function` that fits it.
      settings: the class that checks its `params`.
      events_alone: whether it is fitted on events without features, so that it can stand beside others as a baseline.
      needs: what it cannot do without, of the names above.
      embeddings: whether it compares embeddings, which an index can search.
      knows_features: whether it knows items by their features, those without events too; or the setting that makes it.
      members: the setting that names other models of the step, each with its params, where it is made of such.
    """

    name: str
    fit: str
    settings: type[Settings]
    events_alone: bool = False
    needs: tuple[str, ...] = ()
    embeddings: bool = False
    knows_features: bool | str = False
    members: str | None = None

    @property
    def module(self) -> str:
        return self.fit.partition(":")[0]

    def load(self) -> Callable[..., Any]:
        """Import the model's module and return its `fit`."""
        module, _, function = self.fit.partition(":")
        return getattr(importlib.import_module(module), function)


class Registry:
    """The models of one step."""

    def __init__(self, step: str, *entries: Entry):
        self.step = step
        self.entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> Entry:
        """The entry called `name`. Raises: ValueError, with the known names."""
        if not isinstance(name, str) or name not in self.entries:
            raise ValueError(
                f"{self.step} model should be one of {', '.join(self.entries)}; found {one_line(repr(name))}"
            )
        return self.entries[name]

    def check(self, name: str, params: dict[str, Any]) -> Settings:
        """The settings of model `name` with `params` applied, its members' checked too. Raises: ValueError."""
        entry = self[name]
        try:
            settings = entry.settings.model_validate(params)
        except ValidationError as error:
            told = "; ".join(mistakes.explained(entry.settings, each) for each in error.errors())
            known = ", ".join(entry.settings.model_fields) or "none"
            more = "" if "Known keys" in told else f" Its settings: {known}"
            end = "" if told.endswith("?") else "."
            raise ValueError(f"{self.step}.params of {name}: {told}{end}{more}") from None
        for model, params_of in self.members(name, settings).values():
            try:
                self.check(model, params_of)
            except ValueError as error:
                raise ValueError(f"{self.step}.params of {name}: {entry.members}: {error}") from None
        return settings

    def members(self, name: str, settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
        """What model `name` is made of under `settings`: label → model, which is the label unless said, and params."""
        field = self[name].members
        named = {} if field is None else getattr(settings, field)
        return {
            label: (params.get("model", label), {key: value for key, value in params.items() if key != "model"})
            for label, params in named.items()
        }

    def modules(self, name: str, params: dict[str, Any]) -> tuple[str, ...]:
        """The modules behind model `name`, those of its members among them."""
        members = self.members(name, self.check(name, params)).values()
        return (self[name].module, *(module for member in members for module in self.modules(*member)))

    def events_alone(self, name: str, params: dict[str, Any]) -> bool:
        """Whether model `name`, and each that it is made of, is fitted on events without features."""
        members = self.members(name, self.check(name, params)).values()
        return self[name].events_alone and all(self.events_alone(*member) for member in members)

    def knows_features(self, name: str, params: dict[str, Any]) -> bool:
        """Whether model `name`, or one that it is made of, knows items by their features."""
        settings, knows = self.check(name, params), self[name].knows_features
        if isinstance(knows, str):
            return getattr(settings, knows) is not None
        return knows or any(self.knows_features(*member) for member in self.members(name, settings).values())

    def signals(self, name: str, params: dict[str, Any]) -> tuple[str, ...]:
        """What model `name` says of a candidate beside its score: the score and the rank of each member."""
        labels = self.members(name, self.check(name, params))
        return tuple(signal(label) for label in labels for signal in (score_signal, rank_signal))


def score_signal(label: str) -> str:
    """The signal that holds the score of the member `label`."""
    return f"score_of_{label}"


def rank_signal(label: str) -> str:
    """The signal that holds the rank of the member `label`, 0 for its best item."""
    return f"rank_of_{label}"
