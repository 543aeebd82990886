"""The executor of EventJoiner: joins the tables shard by shard on Beam and writes the joined Examples."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json

import apache_beam as beam
import pyarrow as pa
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.event_joiner import join, shards, splits
from components.event_joiner.anomalies import read_anomalies, refuse_anomalies
from components.event_joiner.settings import JoinerSettings
from components.table_example_gen.spec import check_dropped, dropped_text
from core import examples, names, progress
from core.arrow import event_types, pack, read_arrow, unpack, write_arrow
from core.events import write_events
from core.storage import shard_files
from core.storage.uris import joined as place_of
from transform.arrow_types import feature_types
from transform.features import Features

SCHEMA_FILE = "schema.pbtxt"
COMPRESSION = 8  # the approximate ratio of the bytes in memory to those of a file of Examples


class Executor(base_beam_executor.BaseBeamExecutor):
    """See `components.event_joiner.component.EventJoiner`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        settings = JoinerSettings.model_validate_json(exec_properties["settings"])
        tables = [table for table in names.TABLES if input_dict.get(table)]
        uris = {table: artifact_utils.get_single_uri(input_dict[table]) for table in tables}
        uris.setdefault(names.USERS, uris[names.INTERACTIONS])  # without a table of users, they come from the events
        for table in tables:
            uri = artifact_utils.get_single_uri(input_dict[f"{table}_anomalies"])
            refuse_anomalies(table, read_anomalies(uri))
        with shard_files.reading(
            place_of(artifact_utils.get_single_uri(input_dict[f"{names.INTERACTIONS}_schema"]), SCHEMA_FILE)
        ) as file:
            schema = text_format.Parse(file.read_text(), schema_pb2.Schema())
        types = table_types(settings, has_rating=any(each.name == names.RATING for each in schema.feature))

        output = artifact_utils.get_single_instance(output_dict["examples"])
        rows = sum(
            source["rows"]
            for source in json.loads(input_dict[names.INTERACTIONS][0].get_string_custom_property("sources"))
        )
        files = {table: examples.files(uris[table], names.ALL) for table in (names.INTERACTIONS, names.USERS)}
        spec = _spec(settings, files[names.INTERACTIONS], types)
        size = sum(shard_files.size(path) for paths in files.values() for path in paths)
        count = shards.shards_of(rows, COMPRESSION * size)
        self._join(spec, settings.history_length, files, uris[names.ITEMS], types, count, output.uri)

        report = _merge_reports(output.uri) | {"begins": _begins(spec, files[names.INTERACTIONS])}
        dropped = report["dropped"]
        joined_rows = sum(sum(report[group].values()) for group in ("rows", "dropped", "left_out"))
        check_dropped(names.INTERACTIONS, dropped, joined_rows, settings.max_dropped)
        splits.check_none_empty(report["rows"], spec.method)
        _write_catalogue(uris[names.ITEMS], types[names.ITEMS], output.uri)
        shard_files.write_json(place_of(output.uri, names.REPORT_FILE), report)
        line = ", ".join(f"{split} {count:,}" for split, count in report["rows"].items()) + " events"
        progress.report(f"{line}, dropped {dropped_text(dropped, joined_rows)}" if dropped else line)
        output.split_names = artifact_utils.encode_split_names([*splits.SPLITS, names.CATALOGUE])
        examples_utils.set_payload_format(output, 6)  # FORMAT_TF_EXAMPLE

    def _join(self, spec, history_length, files, items_uri, types, count, output):
        sources = [(table, path) for table, paths in files.items() for path in paths]
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(sources)
                | "Spread" >> beam.Reshuffle()
                | "ByUserShard" >> beam.FlatMap(_by_user_shard, types=types, count=count)
                | "Together" >> beam.GroupByKey()
                | "Join" >> beam.ParDo(_JoinShard(spec, history_length, items_uri, types, count, output))
            )


def table_types(settings: JoinerSettings, has_rating: bool) -> dict[str, dict[str, pa.DataType]]:
    """Return column → Arrow type of the Examples of each table."""
    features = Features(user=settings.user, item=settings.item)
    texts = {column: pa.string() for column in (settings.title, settings.owner) if column}
    split = {settings.split.column: pa.string()} if settings.split.column else {}
    return {
        names.INTERACTIONS: event_types(has_rating) | split,
        names.USERS: {names.USER_ID: pa.string()} | feature_types(features.user),
        names.ITEMS: {names.ITEM_ID: pa.string()} | texts | feature_types(features.item),
    }


class _JoinShard(beam.DoFn):
    """A Beam step that joins all events of one shard of users and writes one file per split."""

    def __init__(self, spec, history_length, items_uri, types, count, output):
        self.spec, self.history_length, self.items_uri = spec, history_length, items_uri
        self.types, self.count, self.output = types, count, output
        self.items: pa.Table | None = None

    def process(self, element):
        shard, parts = element
        if self.items is None:
            self.items = examples.read_examples(self.items_uri, names.ALL, self.types[names.ITEMS])
        tables = {}
        for table in (names.INTERACTIONS, names.USERS):
            blocks = sorted((order, data) for name, order, data in parts if name == table)
            streams = [unpack(data) for _, data in blocks]
            tables[table] = pa.concat_tables([pa.schema(self.types[table].items()).empty_table(), *streams])
        users = shards.compact(_distinct(tables[names.USERS]))
        joined = join.join(tables[names.INTERACTIONS], users, self.items, self.spec)
        output, part = self.output, f"{shard:05d}-of-{self.count:05d}"
        of_events = [names.TIMESTAMP, names.RATING, *self.types[names.USERS]]
        for index, name in enumerate(splits.SPLITS):
            path = examples.shard_path(output, name, shard, self.count)
            examples.write_examples(joined.tables(joined.split == index), path)
            write_events(joined.table(joined.split == index, of_events), output, name, part)
        states = join.user_states(joined, self.history_length)
        write_arrow(states, place_of(output, names.USERS_FOLDER, f"{part}.arrow"))
        write_arrow(join.event_counts(joined, joined.known), place_of(output, f"counts-{part}.arrow"))
        rows = {name: int((joined.split == index).sum()) for index, name in enumerate(splits.SPLITS)}
        left_out = int((joined.split == splits.LEFT_OUT).sum())
        if left_out:
            events = joined.table(joined.split == splits.LEFT_OUT, [names.TIMESTAMP])
            write_arrow(events, place_of(output, names.LEFT_OUT_FOLDER, f"{part}.arrow"))
        report = {"rows": rows, "dropped": joined.dropped, "left_out": {"same_second": left_out} if left_out else {}}
        shard_files.write_json(place_of(output, f"shard-{part}.json"), report)
        yield shard


def _distinct(users):
    """Return each user once; without a table of users, the input has one row per interaction."""
    if users.column_names != [names.USER_ID]:
        return users
    return users.group_by([names.USER_ID], use_threads=False).aggregate([])


def _by_user_shard(source, types, count):
    """Yield (shard, (table, (file, block), packed rows)) for each block of a file and each shard in it."""
    table, path = source
    for number, block in enumerate(shards.blocks(examples.read_batches([path], types[table]))):
        for shard, rows in shards.by_shard(block, count):
            yield shard, (table, (path, number), pack(pa.Table.from_batches([rows])))


def _begins(spec, files):
    """Return a timestamp by which an earlier release is found that may have been fitted on events that are test here.

    That is possible if the same timestamp for the data of the release is later. For `temporal` it is the start of
    test. For `temporal_per_user` it is the first event of the table: with more old events, a user's last share is
    larger and reaches further back. None for the other methods, where the settings alone decide.
    """
    if spec.method == "temporal":
        return spec.cut[1]
    if spec.method != "temporal_per_user":
        return None
    return int(examples.read_files(files, {names.TIMESTAMP: pa.int64()})[names.TIMESTAMP].to_numpy().min(initial=2**62))


def _spec(settings, files, types):
    """Return the settings of the join, of which the timestamps of `temporal` and `has_eval` need the whole table."""

    def whole(column):
        """Return a column of all files."""
        return examples.read_files(files, {column: types[names.INTERACTIONS][column]})[column]

    split = settings.split
    cut, fold, has_eval = None, None, False
    if split.method == "temporal":
        cut = splits.cuts(whole(names.TIMESTAMP).to_numpy(), split.eval, split.test)
    elif split.method == "kfold":
        number, folds = split.fold.split(" of ")
        fold = int(number), int(folds)
    elif split.method == "given":
        has_eval = splits.check_given(whole(split.column), split.column)
    return join.JoinSpec(
        method=split.method,
        eval_share=split.eval,
        test_share=split.test,
        cut=cut,
        seed=settings.seed,
        fold=fold,
        column=split.column,
        has_eval=has_eval,
        drop_unknown=settings.drop_unknown,
    )


def _write_catalogue(uri, types, output):
    """Write the items as the split `catalogue`, and as an Arrow file with each item's number of events before test.

    These numbers are summed over the files `counts-*.arrow` of the shards, which are then deleted.
    """
    items = examples.read_examples(uri, names.ALL, types)
    examples.write_examples(items, examples.shard_path(output, names.CATALOGUE, 0, 1))
    parts = shard_files.listed(output, "counts-*.arrow")
    counts = join.counts_of(items[names.ITEM_ID], pa.concat_tables([read_arrow(part) for part in parts]))
    write_arrow(items.append_column(names.EVENT_COUNT, counts), place_of(output, names.CATALOGUE_FILE))
    shard_files.delete(parts)


def _merge_reports(output):
    """Return the sum of the reports of all shards, and delete the files of these reports."""
    report: dict[str, dict[str, int]] = {"rows": {}, "dropped": {}, "left_out": {}}
    parts = shard_files.listed(output, "shard-*.json")
    for path in parts:
        for group, counts in shard_files.read_json(path).items():
            for key, count in counts.items():
                report[group][key] = report[group].get(key, 0) + count
    shard_files.delete(parts)
    return report
