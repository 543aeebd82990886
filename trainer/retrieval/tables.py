"""What a retrieval model gives to engines: its tables, and signatures for what these do not tell."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from trainer.retrieval import plan, table_files
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


@dataclass(frozen=True)
class Whole:
    """A model as an engine needs it.

    Args:
      parts: label → part.
      fusion: how the parts are combined; None for a model without members.
      fused: the tables for that.
    """

    parts: Mapping[str, Tables]
    fusion: plan.Fusion | None = None
    fused: Mapping[str, Any] = field(default_factory=dict)

    def write(self, folder: str, history_length: int) -> None:
        """Write the plan and the tables into the folder of the SavedModel.

        Args:
          folder: the folder.
          history_length: the number of items of a history that are used.
        """
        described = plan.RetrievalPlan(
            parts={label: each.part for label, each in self.parts.items()},
            history_length=history_length,
            fusion=self.fusion,
        )
        named = {
            plan.named(name, label): value for label, each in self.parts.items() for name, value in each.values.items()
        }
        arrays = {name: tf.convert_to_tensor(value).numpy() for name, value in {**named, **self.fused}.items()}
        table_files.write(folder, described, arrays)

    def signatures(
        self, latest: Callable[[Query], Query], features: Features
    ) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Return the signatures `ask` if a part asks anything, and `embed` if a part has embeddings.

        Args:
          latest: returns a query with the latest items of the history alone.
          features: the feature configuration.
        """
        asking = {label: each.ask for label, each in self.parts.items() if each.ask is not None}
        embedding = {label: each.embed for label, each in self.parts.items() if each.embed is not None}

        def ask(**query: tf.Tensor) -> dict[str, tf.Tensor]:
            query = latest(query)
            transformed = functools.cache(lambda transform: transform(raw.to_sparse(query)))
            return {plan.named(plan.ASKED, label): each(query, transformed) for label, each in asking.items()}

        def embed(**item: tf.Tensor) -> dict[str, tf.Tensor]:
            return {plan.named(plan.EMBEDDING, label): each(item) for label, each in embedding.items()}

        found = {}
        if asking:
            specs = raw.user_specs(features.user)
            found[plan.ASK] = tf.function(ask, autograph=False).get_concrete_function(**specs)
        if embedding:
            specs = raw.item_specs(features.item)
            found[plan.EMBED] = tf.function(embed, autograph=False).get_concrete_function(**specs)
        return found
