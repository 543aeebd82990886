"""What no model has met: films hidden until test and whether they are found, users hidden until test and what they get.

python benchmarks/cold.py [MODEL [PARAMS] | CONFIG.yaml]

A tenth of MovieLens-100K's films, or of its users, have no event before test. A configuration stands for its
retrieval model.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from components.recommender_evaluator import intervals
from core import names
from pipeline.bench import one
from pipeline.bench.protocols import PROTOCOLS
from pipeline.bench.world import World
from trainer.retrieval import ask
from trainer.retrieval.registry import MODELS

HIDDEN, SEED, K = 0.1, 42, 100


class ColdWorld(World):
    """A protocol's data with some items or users in test alone, which is of these alone.

    Args:
      key: `item_id` or `user_id`.
    """

    def __init__(self, key: str):
        self.key = key
        super().__init__(PROTOCOLS["movielens-100k"], SEED)

    def _split(self) -> list[pa.Table]:
        table = {names.ITEM_ID: self.catalogue, names.USER_ID: self.users}[self.key]
        ids = table[self.key].combine_chunks()
        hidden = ids.filter(pa.array(np.random.default_rng(self.seed).random(len(ids)) < HIDDEN))
        parts = super()._split()
        cold = [pc.is_in(part[self.key], value_set=hidden) for part in parts]
        return [part.filter(pc.invert(among)) for part, among in zip(parts[:2], cold, strict=False)] + [
            parts[2].filter(cold[2])
        ]


def measured(world: ColdWorld, model: str, params: dict, metric: str) -> np.ndarray:
    """[Q] of each query of test, by a model chosen by eval and fitted once more."""
    fit, settings = MODELS[model].load(), MODELS.check(model, params)
    with_transform = not MODELS.events_alone(model, params)
    early = fit(settings, world.data(1, world.queries(1), with_transform), SEED)
    final = fit(early.settings, world.data(2, None, with_transform), SEED)
    asked = world.queries(2)
    rows = ask.retrieve(final.signatures()["retrieve"], asked, world.features.user, len(world.ids), K).rows
    return one.per_query(rows, asked.relevant_offsets, asked.relevant_items, len(world.ids), (metric,))[metric]


def main(model: str, params: dict) -> None:
    """Fit, ask and print, beside lists drawn at random and popularity."""
    world = ColdWorld(names.ITEM_ID)
    values, asked = measured(world, model, params, f"recall@{K}"), world.queries(2)
    chance = float(np.mean(K / (len(world.ids) - pc.list_value_length(asked.seen).to_numpy())))
    print(
        f"{model}: Recall@{K} of {len(asked.relevant_items):,} answers that are hidden films, to {len(asked):,} users:"
    )
    print(f"  {told(values)}; by chance {chance:.4f}", flush=True)

    world = ColdWorld(names.USER_ID)
    values, popular = (measured(world, *each, "ndcg@10") for each in ((model, params), ("popularity", {})))
    print(f"{model}: NDCG@10 of {len(values):,} hidden users:")
    print(f"  {told(values)}; popularity {told(popular)}; difference {told(values - popular)}")


def told(values: np.ndarray) -> str:
    """The mean with its interval."""
    found = intervals.of_means(values[:, None], one.RESAMPLES, SEED)
    return f"{found.mean[0]:.4f} [{found.low[0]:.4f}, {found.high[0]:.4f}]"


def _asked(arguments: list[str]) -> tuple[str, dict]:
    if not arguments:
        return "two_tower", {}
    if arguments[0].endswith(".yaml"):
        with open(arguments[0], encoding="utf-8") as file:
            retrieval = yaml.safe_load(file)["retrieval"]
        return retrieval["model"], retrieval.get("params", {})
    return arguments[0], json.loads(arguments[1]) if len(arguments) > 1 else {}


if __name__ == "__main__":
    main(*_asked(sys.argv[1:]))
