"""Items that no model has seen: a tenth of MovieLens-100K's films hidden until test, and whether they are found.

python benchmarks/cold_items.py [MODEL [PARAMS]]
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.recommender_evaluator import intervals
from core import names
from pipeline.bench import one
from pipeline.bench.protocols import PROTOCOLS
from pipeline.bench.world import World
from trainer.retrieval import ask
from trainer.retrieval.registry import MODELS

HIDDEN, SEED, K = 0.1, 42, 100


class ColdWorld(World):
    """A protocol's data with some items in test alone, which has no others."""

    def _split(self, history_length: int) -> list[pa.Table]:
        hidden = self.ids.filter(pa.array(np.random.default_rng(self.seed).random(len(self.ids)) < HIDDEN))
        parts = super()._split(history_length)
        cold = [pc.is_in(part[names.ITEM_ID], value_set=hidden) for part in parts]
        return [part.filter(pc.invert(among)) for part, among in zip(parts[:2], cold, strict=False)] + [
            parts[2].filter(cold[2])
        ]


def main(model: str, params: dict) -> None:
    """Fit, ask, and print the recall of hidden items beside that of a list drawn at random."""
    world = ColdWorld(PROTOCOLS["movielens-100k"], SEED)
    fit, settings = MODELS[model].load(), MODELS.check(model, params)
    with_transform = not MODELS[model].events_alone
    early = fit(settings, world.data(1, world.queries(1), with_transform), SEED)
    final = fit(early.settings, world.data(2, None, with_transform), SEED)
    asked = world.queries(2)
    rows = ask.retrieve(final.signatures()["retrieve"], asked, world.features.user, world.ids, K).rows
    recall = one.per_query(rows, asked.relevant_offsets, asked.relevant_items, len(world.ids), (f"recall@{K}",))
    found = intervals.of_means(recall[f"recall@{K}"][:, None], one.RESAMPLES, SEED)
    seen = pc.list_value_length(asked.seen).to_numpy()
    chance = float(np.mean(K / (len(world.ids) - seen)))
    print(
        f"{model} {json.dumps(params)}: Recall@{K} of {len(asked.relevant_items):,} hidden answers to {len(asked):,} "
        f"queries {found.mean[0]:.4f} [{found.low[0]:.3f}, {found.high[0]:.3f}], by chance {chance:.4f}"
    )


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "two_tower", json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
