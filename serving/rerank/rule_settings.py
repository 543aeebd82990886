"""The base class of the settings of re-ranking rules. The module imports no Arrow, like `settings`."""

import importlib
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from core.settings import Settings


class RuleSettings(Settings):
    """The settings of one re-ranking rule.

    Attributes:
      RULE: the rule's class as `module:class`, a subclass of one of the kinds in `serving.rerank.rule`. It is text, so
        that reading a configuration does not import the rule.
      COLUMN_KIND: the kind of item feature that `column` names; None for a rule without a column.
      COMPARES_ITEMS: whether the rule compares items by their features, so that at least one must be configured.
      SHARES_SCORE: whether `weight` is a share of the score of a candidate, of which relevance has the rest.
    """

    RULE: ClassVar[str]
    COLUMN_KIND: ClassVar[Literal["numeric", "categorical"] | None] = None
    COMPARES_ITEMS: ClassVar[bool] = False
    SHARES_SCORE: ClassVar[bool] = False

    @property
    def share(self) -> float:
        """Return the share of the rule in the score of a candidate; 0 for a rule whose weight is not a share."""
        return getattr(self, "weight", 0.0) if self.SHARES_SCORE else 0.0

    @classmethod
    def load(cls) -> Callable[..., Any]:
        """Import the rule's module and return its class."""
        module, _, name = cls.RULE.partition(":")
        return getattr(importlib.import_module(module), name)
