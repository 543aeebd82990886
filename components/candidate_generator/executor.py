"""Asks the retriever as it will be asked when serving, and writes its candidates with what was right among them."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.candidate_generator import candidates, exposures, sampling
from components.event_joiner import schema
from components.table_example_gen.spec import check_dropped, dropped_text
from core import examples, metrics, names, progress, queries
from core.arrow import event_types, read_arrow
from core.errors import ModelError
from core.files import write_json
from core.windows import earlier_windows
from serving.candidates import candidate_table
from serving.catalogue import Catalogue
from serving.models import CandidateSource
from trainer.retrieval.run_fn import early_model
from transform.arrays import pad_strings
from transform.arrow_types import user_types
from transform.features import Features, raw_columns

HELD_OUT = 0.15  # share of the users whose queries choose the ranker
QUERIES_A_FILE = 5_000


class Executor(base_executor.BaseExecutor):
    """See `components.candidate_generator.component.CandidateGenerator`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        settings = {"exposed": {"share": 0.0, "drop_unknown": False, "max_dropped": 0.0}} | json.loads(
            exec_properties["settings"]
        )
        features = Features.model_validate(settings["features"])
        uri = artifact_utils.get_single_uri(input_dict["examples"])
        catalogue = read_arrow(Path(uri) / names.CATALOGUE_FILE)
        ids = catalogue[names.ITEM_ID].combine_chunks()
        queries.check_list_length(settings["candidates"], len(ids), "retrieval.candidates")
        run = Path(artifact_utils.get_single_uri(input_dict["model_run"]))
        final = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        index = artifact_utils.get_single_uri(input_dict["candidate_index"])
        output = artifact_utils.get_single_instance(output_dict["candidates"])

        types = user_types(features.user) | {names.RATING: pa.float32()}
        events = {split: examples.read_examples(uri, split, types) for split in (names.TRAIN, names.EVAL, names.TEST)}
        common = {
            "catalogue": ids,
            "user_columns": [names.USER_ID, *raw_columns(features.user)],
            "history_length": features.history_length,
            "left_out": queries.read_left_out(uri),
        }
        common |= settings["queries"] | {"seed": settings["seed"]}
        items = Catalogue(catalogue, features.item)
        shown = _exposures(input_dict, settings, Path(uri) / names.USERS_FOLDER, ids)
        report: dict[str, dict] = {}

        def retrieved(source, asked, purpose):
            found = source.retrieve(asked, settings["candidates"])
            labels = metrics.hits(found.rows, asked.relevant_offsets, asked.relevant_items, len(items))
            report[purpose] = candidates.report(labels, asked)
            progress.report(
                f"{purpose}: {len(asked):,} queries, {report[purpose]['positives']:,} positives among the candidates"
            )
            return found

        lists: dict[str, list[tuple]] = {names.TRAIN: [], names.EVAL: []}
        relevant_lists = dict.fromkeys(lists, 0)
        offered = 0
        for window, known, target in _windows(events, settings["windows"]):
            # An early model has no index: it is asked once, here.
            source = CandidateSource(run / early_model(window), None, items, features)
            asked = queries.build(known, target, max_queries=settings["max_queries"], **common)
            found = retrieved(source, asked, f"learn_{window}" if window else "learn")
            users = asked.users[names.USER_ID]
            if not window:
                chosen_by = users.filter(pa.array(candidates.held_out(users, HELD_OUT, settings["seed"])))
            held_out = pc.is_in(users, value_set=chosen_by.combine_chunks()).to_numpy()
            if not window:
                # As they are served, those without a relevant item too: a probability is that of a served candidate.
                judged, served = asked.take(np.flatnonzero(held_out)), found.take(np.flatnonzero(held_out))
                labels = metrics.hits(served.rows, judged.relevant_offsets, judged.relevant_items, len(items))
                relevant_lists[names.EVAL] = int(labels.any(axis=1).sum())
                lists[names.EVAL].append((judged, served, {}))
            counts = np.bincount(queries.catalogue_rows(ids, known[names.ITEM_ID]), minlength=len(items))
            exposed = exposures.not_chosen(shown, asked, target, ids, settings["windows"]["of_each_user"])
            found, more = _to_learn_from(source, asked, found, counts, exposed, settings)
            offered += int(exposures.placed(exposed, found.rows, len(items)).sum())
            labels = metrics.hits(found.rows, asked.relevant_offsets, asked.relevant_items, len(items))
            weighs = ~more["missed"] | (settings["negatives"]["missed_weight"] > 0)
            # A list without a relevant item teaches nothing.
            chosen = np.flatnonzero((labels & weighs).any(axis=1) & ~held_out)
            part = {name: values[chosen] for name, values in more.items()}
            lists[names.TRAIN].append((asked.take(chosen), found.take(chosen), part))
            relevant_lists[names.TRAIN] += len(chosen)
        for split, made in lists.items():
            _refuse_none(relevant_lists[split], split, report["learn"])
            weight = settings["negatives"]["missed_weight"] if split == names.TRAIN else 0.0
            _write(output.uri, split, made, items, weight)
        known = pa.concat_tables([events[names.TRAIN], events[names.EVAL]])
        asked = queries.build(known, events[names.TEST], max_queries=settings["test_queries"], **common)
        found = retrieved(CandidateSource(final, index, items, features), asked, "test")
        _write(output.uri, names.TEST, [(asked, found, {})], items, 0.0)
        if input_dict.get(names.EXPOSURES):
            report[names.EXPOSURES] = {"rows": len(shown), "dropped": shown.dropped, "not_chosen": offered}
        write_json(Path(output.uri) / names.REPORT_FILE, report)
        output.split_names = artifact_utils.encode_split_names([names.TRAIN, names.EVAL, names.TEST])
        examples_utils.set_payload_format(output, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)


def _windows(events, windows):
    """0 with what was known and what came then of eval; then the same of each window before it that has events."""
    train, evaluation = events[names.TRAIN], events[names.EVAL]
    yield 0, train, evaluation
    for window in earlier_windows(train, evaluation, **windows):
        yield window.number, train.filter(pa.array(window.known)), train.filter(pa.array(window.target))


def _exposures(inputs, settings, users_folder, ids):
    """What users were shown, read a file after the other; nothing where there is no such table."""
    files = []
    if inputs.get(names.EXPOSURES):
        found = artifact_utils.get_single_uri(inputs[f"{names.EXPOSURES}_anomalies"])
        schema.refuse_anomalies(names.EXPOSURES, schema.read_anomalies(found))
        files = examples.files(artifact_utils.get_single_uri(inputs[names.EXPOSURES]), names.ALL)
    parts = (examples.read_files([file], event_types(has_rating=False)) for file in files)
    users = [read_arrow(path)[names.USER_ID].combine_chunks() for path in sorted(users_folder.glob("*.arrow"))]
    shown = exposures.known(parts, pa.concat_arrays(users), ids, settings["exposed"]["drop_unknown"])
    rows = len(shown) + sum(shown.dropped.values())
    check_dropped(names.EXPOSURES, shown.dropped, rows, settings["exposed"]["max_dropped"])
    if shown.dropped:
        progress.report(f"exposures: dropped {dropped_text(shown.dropped, rows)}")
    return shown


def _to_learn_from(source, asked, found, counts, exposed, settings):
    """The candidates with other negatives and what was missed among them; their ranks, and which were missed."""
    negatives = settings["negatives"]
    seen = pad_strings(asked.seen)
    seen = source.catalogue.rows(seen.ravel()).reshape(seen.shape)
    shares = negatives["popular"], negatives["uniform"], settings["exposed"]["share"]
    rows, ranks, missed = sampling.learning_rows(
        found.rows, asked, seen, counts, exposed, shares, negatives["missed_weight"], settings["seed"]
    )
    return source.score(asked, rows), {"ranks": ranks, "missed": missed}


def _write(uri, split, made, catalogue, missed_weight):
    """One file for every so many queries: the strings of one file alone are held."""
    starts = [
        (each, start) for each, (asked, _, _) in enumerate(made) for start in range(0, len(asked), QUERIES_A_FILE)
    ]
    starts = starts or [(0, 0)]
    for shard, (each, start) in enumerate(starts):
        asked, found, more = made[each]
        part = np.arange(start, min(start + QUERIES_A_FILE, len(asked)))
        columns = {name: values[part] for name, values in more.items()}
        table = candidate_table(asked.take(part), found.take(part), catalogue, missed_weight=missed_weight, **columns)
        examples.write_examples(table, examples.shard_path(uri, split, shard, len(starts)))


def _refuse_none(lists, split, counts):
    if not lists:
        raise ModelError(
            f"no query of the ranker's {split} part has a right answer among its candidates "
            f"({counts['with_a_positive']} of {counts['queries']} queries have one). "
            "Raise `retrieval.candidates` or `split.eval`, or improve the retriever."
        )
