"""The kinds of re-ranking rules.

A rule is built once from its settings and the items, and used for many batches of lists. There are three kinds:

- a `BonusRule` adds a number to the relevance of a candidate, independently of the other items of the list;
- a `SelectionRule` adds a gain to the score of a candidate, which depends on the items selected before;
- a `ConstraintRule` excludes candidates, depending on the items selected before.
"""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import numpy as np

from core.queries import Queries
from serving.rerank.items import Items
from serving.rerank.settings import RuleSettings

S = TypeVar("S", bound=RuleSettings)


class SelectionTerm(Protocol):
    """The state of a selection rule for one batch of lists, while their items are selected."""

    def gains(self) -> np.ndarray:
        """Return [Q, C] the gain of each candidate, given the items selected so far."""
        ...

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        ...


class Constraint(Protocol):
    """The state of a constraint rule for one batch of lists, while their items are selected."""

    def exceeded(self) -> np.ndarray:
        """Return [Q, C] bool, the candidates that the rule excludes."""
        ...

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        ...


class Rule(ABC, Generic[S]):
    """A re-ranking rule. A subclass computes in `__init__` all values that do not depend on a query.

    Args:
      settings: the settings of the rule.
      items: the items of the catalogue.
    """

    def __init__(self, settings: S, items: Items):
        self.settings = settings


class BonusRule(Rule[S]):
    """A rule that adds to the relevance of candidates."""

    @abstractmethod
    def bonus(self, queries: Queries, rows: np.ndarray) -> np.ndarray:
        """Return [Q, C] the numbers to add to the relevance of candidates; `rows` is [Q, C], -1 for padding."""


class SelectionRule(Rule[S]):
    """A rule whose gain for a candidate depends on the items selected before."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """Return the share of the rule in the score of a candidate; relevance has the rest."""

    @abstractmethod
    def term(self, queries: Queries, rows: np.ndarray, k: int) -> SelectionTerm:
        """Return the rule's state for candidates, of which k per list will be selected; `rows` is [Q, C]."""


class ConstraintRule(Rule[S]):
    """A rule that excludes candidates, depending on the items selected before."""

    @property
    @abstractmethod
    def top_k(self) -> int:
        """Return the number of first positions that the rule applies to."""

    @abstractmethod
    def constraint(self, rows: np.ndarray) -> Constraint:
        """Return the rule's state for the candidates at catalogue rows [Q, C]."""
