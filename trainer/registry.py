"""Names to models. An entry holds a dotted path, so that reading a configuration imports no model."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.settings import Settings

# What a model may need of a configuration.
ITEM_FEATURES, REPEATS = "item_features", "repeats"


@dataclass(frozen=True)
class Entry:
    """One model.

    Args:
      name: what a configuration calls it.
      fit: `module:function` that fits it.
      settings: the class that checks its `params`.
      events_alone: whether it is fitted on events without features, so that it can stand beside others as a baseline.
      needs: what it cannot do without, of the names above.
    """

    name: str
    fit: str
    settings: type[Settings]
    events_alone: bool = False
    needs: tuple[str, ...] = ()

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
        if name not in self.entries:
            raise ValueError(f"{self.step} model should be one of {', '.join(self.entries)}; found {name!r}")
        return self.entries[name]

    def check(self, name: str, params: dict[str, Any]) -> Settings:
        """The settings of model `name` with `params` applied. Raises: ValueError."""
        entry = self[name]
        try:
            return entry.settings.model_validate(params)
        except ValueError as error:
            errors: list[dict[str, Any]] = getattr(error, "errors", list)()
            told = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, found {e['input']!r}" for e in errors)
            known = ", ".join(entry.settings.model_fields) or "none"
            raise ValueError(f"{self.step}.params of {name}: {told}. Its settings: {known}") from None

    def modules(self, name: str, params: dict[str, Any]) -> tuple[str, ...]:
        """The modules behind model `name`, those of the models that its settings name (`models`) among them."""
        members = getattr(self.check(name, params), "models", {})
        return (self[name].module, *(module for member in members.items() for module in self.modules(*member)))
