"""The kinds of re-ranking rules.

A rule is built once from its settings and the items, and used for many batches of lists. There are three kinds:

- a `BonusRule` adds to the relevance of a candidate, independently of the other items of its list;
- a `SelectionRule` adds to a candidate's score by the items that were selected before it;
- a `ConstraintRule` excludes candidates by the items that were selected before them.
"""

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

import numpy as np

from core.queries import Queries
from serving.rerank.items import Items
from serving.rerank.settings import RuleSettings

S = TypeVar("S", bound=RuleSettings)


class SelectionTerm(Protocol):
    """A selection rule's score of the candidates of one batch of lists, while these are built."""

    def gains(self) -> np.ndarray:
        """Return [Q, C] the score of each candidate beside the items selected so far."""
        ...

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        ...


class Constraint(Protocol):
    """A constraint rule's state for one batch of lists, while these are built."""

    def exceeded(self) -> np.ndarray:
        """Return [Q, C] bool, the candidates that the rule excludes."""
        ...

    def select(self, positions: np.ndarray) -> None:
        """Record the candidates at `positions` [Q] as selected."""
        ...


class Rule(ABC, Generic[S]):
    """A re-ranking rule. A subclass computes in `__init__` what does not depend on a query.

    Args:
      settings: of the rule.
      items: the items of the catalogue.
    """

    def __init__(self, settings: S, items: Items):
        self.settings = settings


class BonusRule(Rule[S]):
    """A rule that adds to the relevance of candidates."""

    @abstractmethod
    def bonus(self, queries: Queries, rows: np.ndarray) -> np.ndarray:
        """Return [Q, C] what is added to the relevance of the candidates at catalogue rows [Q, C]; -1 is padding."""


class SelectionRule(Rule[S]):
    """A rule that scores candidates by the items selected before them."""

    @property
    @abstractmethod
    def weight(self) -> float:
        """Return the share of the rule in the score of a candidate; relevance has the rest."""

    @abstractmethod
    def term(self, queries: Queries, rows: np.ndarray, k: int) -> SelectionTerm:
        """Return the rule's state for the candidates at catalogue rows [Q, C], of which k a list are selected."""


class ConstraintRule(Rule[S]):
    """A rule that excludes candidates by the items selected before them."""

    @property
    @abstractmethod
    def top_k(self) -> int:
        """Return the number of first positions that the rule applies to."""

    @abstractmethod
    def constraint(self, rows: np.ndarray) -> Constraint:
        """Return the rule's state for the candidates at catalogue rows [Q, C]."""
