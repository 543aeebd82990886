"""The data of a protocol as the trainers get it, without TFX: joined, split and, if needed, transformed."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.event_joiner import join, splits
from core import names, queries
from core.queries import Queries, catalogue_rows
from pipeline import datasets
from pipeline.bench.protocols import Protocol
from trainer.data import Transformed, item_columns, of_dense, transform_sizes, user_columns
from trainer.retrieval.contract import RetrievalData
from transform.arrow_types import feature_types
from transform.features import raw_columns

SPLIT = "split"  # the column of the interactions that holds the split of each row, for the method `given`
MAX_EVAL_QUERIES = 5_000


class ProtocolData:
    """The training data and queries of a protocol.

    Args:
      protocol: the protocol.
      seed: the seed of the split and of the sample of eval queries.
    """

    def __init__(self, protocol: Protocol, seed: int):
        self.protocol, self.seed, self.features = protocol, seed, protocol.features
        folder = datasets.cache_folder(protocol.dataset)
        features = {names.USERS: self.features.user, names.ITEMS: self.features.item}
        self.users, self.catalogue = (
            _read(folder / f"{table}.parquet", {key: pa.string()} | feature_types(features[table]))
            for table, key in ((names.USERS, names.USER_ID), (names.ITEMS, names.ITEM_ID))
        )
        self.parts, self.left_out = self._split()

    def _split(self) -> tuple[list[pa.Table], pa.Table]:
        """Return the events of train, eval and test, and the events that are in none of them."""
        protocol = self.protocol
        folder = datasets.cache_folder(protocol.dataset)
        keys = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.TIMESTAMP: pa.int64()}
        split_column = {SPLIT: pa.string()} if protocol.split == "given" else {}
        path = folder / f"{names.INTERACTIONS}.parquet"
        rated = {names.RATING: pa.float32()} if names.RATING in pq.read_schema(path).names else {}
        events = _read(path, keys | split_column | rated)
        cut = None
        if protocol.split == "temporal":
            cut = splits.cuts(events[names.TIMESTAMP].to_numpy(), protocol.eval_share, protocol.test_share)
        spec = join.JoinSpec(
            method=protocol.split,
            eval_share=protocol.eval_share,
            test_share=protocol.test_share,
            cut=cut,
            seed=self.seed,
            column=SPLIT if split_column else None,
            has_eval=bool(split_column) and splits.check_given(events[SPLIT], SPLIT),
        )
        joined = join.join(events, self.users, self.catalogue, spec)
        parts = [joined.table(joined.split == index) for index in range(len(splits.SPLITS))]
        return parts, joined.table(joined.split == splits.LEFT_OUT)

    @property
    def ids(self) -> pa.Array:
        """Return the item ids of the catalogue."""
        return self.catalogue[names.ITEM_ID].combine_chunks()

    def queries(self, target: int) -> Queries:
        """Return the queries of split `target` (1: eval, 2: test); histories are events of the earlier splits."""
        return queries.build(
            pa.concat_tables(self.parts[:target]),
            self.parts[target],
            self.ids,
            unit="user",
            user_columns=[names.USER_ID, *raw_columns(self.features.user)],
            history_length=self.features.history_length,
            exclude_seen=self.protocol.exclude_seen,
            max_queries=MAX_EVAL_QUERIES if target == 1 else None,
            seed=self.seed,
            in_time=self.protocol.split != "given",
            left_out=self.left_out,
        )

    def retrieval_data(self, until: int, validation: Queries | None, with_transform: bool) -> RetrievalData:
        """Return the training data of a retrieval model from the first `until` splits (1: train, 2: train and eval).

        Args:
          until: the number of splits.
          validation: the queries on which the model chooses its settings; None to fit with the given settings.
          with_transform: whether the model needs transformed features.
        """
        events = pa.concat_tables(self.parts[:until]).combine_chunks()
        ratings = events[names.RATING].to_numpy() if names.RATING in events.column_names else None
        common = RetrievalData(
            features=self.features,
            catalogue=self.catalogue,
            users=events[names.USER_ID].combine_chunks(),
            items=catalogue_rows(self.ids, events[names.ITEM_ID]),
            timestamps=events[names.TIMESTAMP].to_numpy(),
            ratings=ratings,
            validation=validation,
        )
        if not with_transform:
            return common
        layer, transformed, sizes = self._transform
        return replace(
            common,
            transform=layer,
            transformed=transformed,
            sizes=sizes,
            user_columns=lambda: user_columns(events, self.features, transformed),
            item_columns=lambda: item_columns(self.catalogue, self.features, transformed),
        )

    @functools.cached_property
    def _transform(self) -> tuple[Any, Transformed, dict[str, int]]:
        """Analyse train and eval as the node Transform does.

        Returns:
          `transform`, `transformed` and `sizes` of `RetrievalData`.
        """
        import tensorflow_transform as tft

        from transform import analysis

        events = pa.concat_tables(self.parts[:2])
        users, items = (
            analysis.with_event_counts(table, key, events[key])
            for key, table in ((names.USER_ID, self.users), (names.ITEM_ID, self.catalogue))
        )
        # The folder exists as long as this object, because saving a model reads the vocabularies from the folder.
        self._folder = tempfile.TemporaryDirectory()
        analysis.write_graph(self.features, users, items, Path(self._folder.name))
        output = tft.TFTransformOutput(self._folder.name)
        layer = output.transform_features_layer()
        return layer, of_dense(layer), transform_sizes(output, self.features)


def _read(path: Path, types: dict[str, pa.DataType]) -> pa.Table:
    """Return the columns `types` of a Parquet file, cast to these types."""
    table = pq.read_table(path, columns=list(types))
    return pa.table({name: table[name].combine_chunks().cast(kind) for name, kind in types.items()})
