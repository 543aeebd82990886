"""The names of the two steps, and each step's registry of models. No TensorFlow here."""

from trainer.ranking import registry as ranking
from trainer.registry import Registry
from trainer.retrieval import registry as retrieval

RETRIEVAL, RANKING = "retrieval", "ranking"
REGISTRIES: dict[str, Registry] = {RETRIEVAL: retrieval.MODELS, RANKING: ranking.MODELS}
