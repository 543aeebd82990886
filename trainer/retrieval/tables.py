"""The signatures of a retrieval model for engines: its tables, and what the tables do not tell of a query or of a
new item.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from trainer.retrieval import plan
from transform import raw
from transform.features import Features

Query = dict[str, tf.Tensor]
Transformed = Callable[[tf.Module], Query]  # a transform graph → the transformed columns of the query


@dataclass(frozen=True)
class Tables:
    """A model, or a member of a fusion, as an engine needs it.

    Args:
      part: how scores are computed.
      values: the tables that `part` names.
      ask: returns what `part` needs for queries, from raw query features and a function that transforms these, once
        for all parts; None if it needs nothing.
      embed: returns the embeddings of items from their raw features; None for a part without embeddings.
    """

    part: Any
    values: Mapping[str, Any] = field(default_factory=dict)
    ask: Callable[[Query, Transformed], tf.Tensor] | None = None
    embed: Callable[[Query], tf.Tensor] | None = None


def signatures(
    parts: Mapping[str, Tables],
    latest: Callable[[Query], Query],
    features: Features,
    fusion: plan.Fusion | None = None,
    fused: Mapping[str, Any] | None = None,
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Return the signatures `tables`, `ask` if a part asks anything, and `embed` if a part has embeddings.

    Args:
      parts: label → part.
      latest: returns a query with the latest items of the history alone.
      features: the feature configuration.
      fusion, fused: how the parts are combined, and the tables for that; None for a model without members.
    """
    described = plan.RetrievalPlan(
        parts={label: each.part for label, each in parts.items()},
        history_length=features.history_length,
        fusion=fusion,
    )
    values = {plan.named(name, label): value for label, each in parts.items() for name, value in each.values.items()}
    asking = {label: each.ask for label, each in parts.items() if each.ask is not None}
    embedding = {label: each.embed for label, each in parts.items() if each.embed is not None}

    def tables() -> dict[str, tf.Tensor]:
        found = {name: tf.convert_to_tensor(value) for name, value in {**values, **(fused or {})}.items()}
        return found | {plan.PLAN: tf.constant(described.model_dump_json())}

    def ask(**query: tf.Tensor) -> dict[str, tf.Tensor]:
        query = latest(query)
        transformed = functools.cache(lambda transform: transform(raw.to_sparse(query)))
        return {plan.named(plan.ASKED, label): each(query, transformed) for label, each in asking.items()}

    def embed(**item: tf.Tensor) -> dict[str, tf.Tensor]:
        return {plan.named(plan.EMBEDDING, label): each(item) for label, each in embedding.items()}

    found = {plan.TABLES: tf.function(tables, autograph=False).get_concrete_function()}
    if asking:
        specs = raw.user_specs(features.user)
        found[plan.ASK] = tf.function(ask, autograph=False).get_concrete_function(**specs)
    if embedding:
        specs = raw.item_specs(features.item)
        found[plan.EMBED] = tf.function(embed, autograph=False).get_concrete_function(**specs)
    return found
