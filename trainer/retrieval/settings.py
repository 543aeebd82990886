"""The settings of each retrieval model, apart from the models so that a check needs no TensorFlow."""

from pydantic import Field

from core.settings import Settings


class PopularitySettings(Settings):
    """Counts of events."""


class ItemKNNSettings(Settings):
    """Items met by the same users (Deshpande & Karypis, 2004)."""

    neighbours: int = Field(100, ge=1, description="How many neighbours of an item are kept.")
    shrinkage: float = Field(10.0, ge=0, description="Added to the cosine's denominator, against chance overlaps.")


class TwoTowerSettings(Settings):
    """A query and a candidate network, compared by dot product (Yi et al., 2019)."""

    dim: int = Field(64, ge=2, description="Size of the query and candidate embeddings.")
    hidden: tuple[int, ...] = Field((), description="Sizes of the hidden layers of each tower.")
    epochs: int = Field(20, ge=1, description="The most passes over train; eval says which was best.")
    patience: int = Field(3, ge=1, description="Passes without gain on eval before it stops.")
    batch_size: int = Field(1024, ge=2, description="Events a step; the others of a batch are the negatives.")
    learning_rate: float = Field(0.003, gt=0, description="Of Adam.")
    temperature: float = Field(0.1, gt=0, description="Divides the cosine of query and candidate.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of the query tower's input dropped in training.")
    l2: float = Field(0.0, ge=0, description="Weight decay of the embeddings.")
