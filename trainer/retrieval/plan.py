"""How an engine computes the scores of a retrieval model from its tables. No TensorFlow here.

A SavedModel of a retrieval model has, beside the signatures of its contract, three for engines:
  tables() → plan [], the JSON of a `RetrievalPlan`, and the tables of each part
  ask(user_id [B], history [B, H], user features…) → what a part needs of the model for each query
  embed(item_id [B], item features…) → the embeddings of items, [B, D], for each part that has embeddings
`ask` and `embed` are absent where no part needs them. Names of tables and of outputs are those of `named`.
"""

from typing import Annotated, Literal

from pydantic import Field

from core.settings import Settings
from trainer.retrieval.neighbours.settings import UserKNNSettings

TABLES, ASK, EMBED = "tables", "ask", "embed"  # the signatures
PLAN = "plan"  # the output of `tables` with the plan
ASKED, EMBEDDING = "asked", "embedding"  # the names of what `ask` and `embed` return for a part
ALONE = "model"  # the label of the only part of a model without members


class Embedding(Settings):
    """The dot product of what is asked, [B, D], and the table `embeddings` [N, D]."""

    kind: Literal["embedding"] = "embedding"


class Neighbours(Settings):
    """The sum of the weights that the items of the history add to their neighbours, and `popularity` [N].

    The tables `neighbours` [N, M] and `weights` [N, M] are those of `trainer.retrieval.contract.NeighbourhoodModel`.
    """

    kind: Literal["neighbours"] = "neighbours"
    half_life: float | None = Field(description="The number of later events after which a weight is halved.")
    distinct: bool = Field(description="Whether an item that is several times in a history counts once.")


class UserNeighbours(Settings):
    """The sum of the similarities of the nearest users with an item, and `popularity` [N].

    Other tables: `idf` [N]; `squares` [U], the squared lengths of the users' vectors; and two sparse matrices as
    offsets, columns and values: `item_users` [N, U] and `user_items` [U, N].
    """

    kind: Literal["user_neighbours"] = "user_neighbours"
    settings: UserKNNSettings
    shrinkage: float = Field(description="The constant added to the denominator of a similarity.")
    mean_length: float = Field(description="The mean number of events of a user.")


class Lists(Settings):
    """A row of the table `scores` [S, N]: that of the segment that is asked, [B], or the only one."""

    kind: Literal["lists"] = "lists"


class Dense(Settings):
    """The scores of all items, [B, N], which are asked."""

    kind: Literal["dense"] = "dense"


Part = Annotated[Embedding | Neighbours | UserNeighbours | Lists | Dense, Field(discriminator="kind")]


class Fusion(Settings):
    """The reciprocal rank fusion of the parts; see `trainer.retrieval.fusion.model`.

    Tables: `received` [N], the weight that a member by features gets more for an item; `share` [N], the share of its
    weight that another member keeps; `ties` [N], which order items that no member ranks.
    """

    weights: dict[str, float] = Field(description="The weight of each part.")
    by_features: tuple[str, ...] = Field(description="The parts that score items by their features.")
    cold_share: float = Field(description="The share of the weight of the other parts that these get for a cold item.")
    rank_constant: float
    depth: int


class RetrievalPlan(Settings):
    """The parts of a model, by label, and how they are combined."""

    parts: dict[str, Part]
    history_length: int = Field(description="The number of items of a history that are used.")
    fusion: Fusion | None = None


def named(name: str, label: str) -> str:
    """Return the name of a table, or of an output of `ask`, of a part."""
    return f"{name}_of_{label}"
