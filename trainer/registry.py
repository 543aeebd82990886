"""Registries of models. An entry names the function that fits a model by its path, so no model is imported early."""

import importlib
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from core import mistakes, names
from core.printable import one_line
from core.settings import Settings

# The values of `Entry.learns_from`. Listed events and ratings are required; listed features are used if there are any.
EVENTS, FEATURES, RATINGS = "events", "features", "ratings"
# The values of `Entry.requires`: further requirements on the configuration.
ITEM_FEATURES = "item_features"  # at least one feature of items
REPEATED_ITEMS = "repeated_items"  # the recommended lists may contain seen items


@dataclass(frozen=True)
class Entry:
    """A registered model: the function that fits it, its settings, its requirements and its abilities.

    The search space of `twostep tune` is declared in the settings: a field with `json_schema_extra=between(low, high)`
    or `among(a, b)` of `trainer.tuning.space` is searched. For a model without such fields the user must give a space.

    Args:
      name: the name of the model in a configuration.
      fit: the path `module:function` of the function that fits the model, given settings, data and a seed.
      settings: the settings class of the model's `params`.
      learns_from: the subset of EVENTS, FEATURES and RATINGS that the model learns from. A retrieval model that learns
        from events alone can be a baseline.
      requires: the subset of ITEM_FEATURES and REPEATED_ITEMS that the model requires.
      embeddings: whether a score is the dot product of a query and an item embedding, so that a vector index can be
        built.
      scores_by_features: whether the score of an item depends on its features, so that the model can score cold items;
        or the name of a setting, if this is the case only when that setting is not null.
      personalised: whether the order of items depends on the history of the user.
      threads: whether the model may be fitted in a thread beside other fits: its fit has no global state.
      warm_start: whether a fit can begin with the weights of an earlier fit of the same model.
      members: for a model that combines other models, the name of the setting that holds these members' params.
      machine: the path `module:function` of the check, given settings, that this machine has the programs which a fit
        starts, and that it reaches the servers; None if a fit needs neither.
    """

    name: str
    fit: str
    settings: type[Settings]
    learns_from: Set[str]
    requires: Set[str] = frozenset()
    embeddings: bool = False
    scores_by_features: bool | str = False
    personalised: bool = True
    threads: bool = False
    warm_start: bool = False
    members: str | None = None
    machine: str | None = None

    @property
    def module(self) -> str:
        return self.fit.partition(":")[0]

    def load(self) -> Callable[..., Any]:
        """Import the model's module and return the function that fits the model."""
        return _function(self.fit)

    def check_machine(self, settings: Settings) -> None:
        """Check that this machine has what a fit with these settings needs. Raises: UsageError."""
        if self.machine is not None:
            _function(self.machine)(settings)


def _function(path: str) -> Callable[..., Any]:
    """Return the function at `module:function`."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


class Registry:
    """The models of one step."""

    def __init__(self, step: str, *entries: Entry):
        self.step = step
        self.entries = {entry.name: entry for entry in entries}

    def __getitem__(self, name: str) -> Entry:
        """Return the entry named `name`. Raises: ValueError, with the valid names, if there is none."""
        if not isinstance(name, str) or name not in self.entries:
            raise ValueError(
                f"{self.step} model should be one of {', '.join(self.entries)}; found {one_line(repr(name))}"
            )
        return self.entries[name]

    def check(self, name: str, params: dict[str, Any]) -> Settings:
        """Return the validated settings of model `name`; check its members' params too. Raises: ValueError."""
        entry = self[name]
        try:
            settings = entry.settings.model_validate(params)
        except ValidationError as error:
            faults = "; ".join(mistakes.explained(entry.settings, each) for each in error.errors())
            known = ", ".join(entry.settings.model_fields) or "none"
            more = "" if "Known keys" in faults else f" Its settings: {known}"
            end = "" if faults.endswith("?") else "."
            raise ValueError(f"{self.step}.params of {name}: {faults}{end}{more}") from None
        for model, member_params in self.members(name, settings).values():
            try:
                self.check(model, member_params)
            except ValueError as error:
                raise ValueError(f"{self.step}.params of {name}: {entry.members}: {error}") from None
        return settings

    def members(self, name: str, settings: Settings) -> dict[str, tuple[str, dict[str, Any]]]:
        """Return the members of model `name`: label → (model, params). Without `model` the label names the model."""
        field = self[name].members
        configured = {} if field is None else getattr(settings, field)
        return {
            label: (params.get("model", label), {key: value for key, value in params.items() if key != "model"})
            for label, params in configured.items()
        }

    def modules(self, name: str, params: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of the Python modules that implement model `name` and its members."""
        members = self.members(name, self.check(name, params)).values()
        return (self[name].module, *(module for member in members for module in self.modules(*member)))

    def check_machine(self, name: str, params: dict[str, Any]) -> None:
        """Check that this machine has what a fit of model `name`, and of its members, needs. Raises: UsageError."""
        settings = self.check(name, params)
        self[name].check_machine(settings)
        for member in self.members(name, settings).values():
            self.check_machine(*member)

    def learns_from(self, name: str, params: dict[str, Any]) -> Set[str]:
        """Return the union of `learns_from` of model `name` and its members."""
        members = self.members(name, self.check(name, params)).values()
        return frozenset(self[name].learns_from).union(*(self.learns_from(*member) for member in members))

    def events_alone(self, name: str, params: dict[str, Any]) -> bool:
        """Return whether model `name` and its members learn from events alone, so that it can be a baseline."""
        return self.learns_from(name, params) == {EVENTS}

    def scores_by_features(self, name: str, params: dict[str, Any]) -> bool:
        """Return whether model `name`, or one of its members, scores items by their features."""
        settings, declared = self.check(name, params), self[name].scores_by_features
        if isinstance(declared, str):
            return getattr(settings, declared) is not None
        return declared or any(self.scores_by_features(*member) for member in self.members(name, settings).values())

    def warm_start(self, name: str, params: dict[str, Any]) -> bool:
        """Return whether a fit of model `name`, or of a member, can begin with the weights of an earlier fit."""
        members = self.members(name, self.check(name, params)).values()
        return self[name].warm_start or any(self.warm_start(*member) for member in members)

    def signals(self, name: str, params: dict[str, Any]) -> tuple[str, ...]:
        """Return the names of the signals of model `name`: the score and the rank of each member; empty for none."""
        labels = self.members(name, self.check(name, params))
        return tuple(signal(label) for label in labels for signal in (score_signal, rank_signal))


def score_signal(label: str) -> str:
    """Return the name of the signal with the score of the member `label`."""
    return f"score_of_{label}"


def rank_signal(label: str) -> str:
    """Return the name of the signal with the rank by the member `label`, 0 for the member's best item."""
    return f"rank_of_{label}"


def is_rank(signal: str) -> bool:
    """Return whether a signal of a retriever is a rank, of the retriever or of a member; the others are scores."""
    return signal == names.RETRIEVAL_RANK or signal.startswith(rank_signal(""))
