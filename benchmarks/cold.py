"""Cold items and cold users: recall of films without events before test, and NDCG of users without events before test.

python benchmarks/cold.py [MODEL [PARAMS] | CONFIG.yaml]

A tenth of MovieLens-100K's films, or of its users, are hidden: their events before test are removed. If a configuration
file is given, the retrieval model in it is measured.
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
from pipeline.bench import measure
from pipeline.bench.protocol_data import ProtocolData
from pipeline.bench.protocols import PROTOCOLS
from trainer.retrieval import inference
from trainer.retrieval.registry import MODELS

HIDDEN, SEED, K = 0.1, 42, 100


class ColdProtocolData(ProtocolData):
    """MovieLens-100K with some items or users hidden: train and eval lack their events, test has only their events.

    Args:
      key: `item_id` to hide items, `user_id` to hide users.
    """

    def __init__(self, key: str):
        self.key = key
        super().__init__(PROTOCOLS["movielens-100k"], SEED)

    def _split(self) -> tuple[list[pa.Table], pa.Table]:
        table = {names.ITEM_ID: self.catalogue, names.USER_ID: self.users}[self.key]
        ids = table[self.key].combine_chunks()
        hidden = ids.filter(pa.array(np.random.default_rng(self.seed).random(len(ids)) < HIDDEN))
        parts, left_out = super()._split()
        cold = [pc.is_in(part[self.key], value_set=hidden) for part in parts]
        early = [part.filter(pc.invert(hidden_rows)) for part, hidden_rows in zip(parts[:2], cold, strict=False)]
        left_out = left_out.filter(pc.invert(pc.is_in(left_out[self.key], value_set=hidden)))
        return [*early, parts[2].filter(cold[2])], left_out


def measured(protocol_data: ColdProtocolData, model: str, params: dict, metric: str) -> np.ndarray:
    """Fit a model as for a release, and return [Q] the value of a metric for each test query.

    Args:
      protocol_data: the events.
      model: the name of the model.
      params: the settings of the model.
      metric: the metric, as `name@k`.
    """
    fit, settings = MODELS[model].load(), MODELS.check(model, params)
    with_transform = not MODELS.events_alone(model, params)
    early = fit(settings, protocol_data.retrieval_data(1, protocol_data.queries(1), with_transform), SEED)
    final = fit(early.settings, protocol_data.retrieval_data(2, None, with_transform), SEED)
    queries = protocol_data.queries(2)
    n_items = len(protocol_data.ids)
    rows = inference.retrieve(final.signatures()["retrieve"], queries, protocol_data.features.user, n_items, K).rows
    return measure.per_query(rows, queries.relevant_offsets, queries.relevant_items, n_items, (metric,))[metric]


def main(model: str, params: dict) -> None:
    """Fit a model with some films hidden and with some users hidden, and print its metrics on these films and users.

    Recall is printed beside the expected recall of a random list, NDCG beside that of the popularity model.
    """
    protocol_data = ColdProtocolData(names.ITEM_ID)
    values, queries = measured(protocol_data, model, params, f"recall@{K}"), protocol_data.queries(2)
    chance = float(np.mean(K / (len(protocol_data.ids) - pc.list_value_length(queries.seen).to_numpy())))
    of_users = f"{len(queries.relevant_items):,} relevant items that are hidden films, of {len(queries):,} users"
    print(f"{model}: Recall@{K} of {of_users}:")
    print(f"  {with_interval(values)}; by chance {chance:.4f}", flush=True)

    protocol_data = ColdProtocolData(names.USER_ID)
    values, of_popularity = (
        measured(protocol_data, *each, "ndcg@10") for each in ((model, params), ("popularity", {}))
    )
    print(f"{model}: NDCG@10 of {len(values):,} hidden users:")
    print(f"  {with_interval(values)}; popularity {with_interval(of_popularity)}", end="")
    print(f"; difference {with_interval(values - of_popularity)}")


def with_interval(values: np.ndarray) -> str:
    """Return the mean with its confidence interval as text."""
    estimate = intervals.of_means(values[:, None], measure.RESAMPLES, SEED)
    return f"{estimate.mean[0]:.4f} [{estimate.low[0]:.4f}, {estimate.high[0]:.4f}]"


def _model(arguments: list[str]) -> tuple[str, dict]:
    """Return the name and settings of the model that the command line names."""
    if not arguments:
        return "two_tower", {}
    if arguments[0].endswith(".yaml"):
        with open(arguments[0], encoding="utf-8") as file:
            retrieval = yaml.safe_load(file)["retrieval"]
        return retrieval["model"], retrieval.get("params", {})
    return arguments[0], json.loads(arguments[1]) if len(arguments) > 1 else {}


if __name__ == "__main__":
    main(*_model(sys.argv[1:]))
