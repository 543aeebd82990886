"""The executor of CandidateGenerator: candidates of the retrieval models, labelled and written as Examples."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_executor
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.candidate_generator import candidates, impressions, sampling
from components.candidate_generator.settings import GeneratorSettings, ImpressionSettings
from components.event_joiner.anomalies import read_anomalies, refuse_anomalies
from components.table_example_gen.spec import check_dropped, dropped_text
from core import examples, metrics, names, progress, queries
from core.arrow import event_types, read_arrow
from core.errors import ModelError
from core.events import read_events
from core.files import write_json
from core.windows import earlier_windows
from serving.candidate_source import CandidateSource
from serving.candidates import candidate_table
from serving.catalogue import Catalogue
from trainer.retrieval.run_fn import early_model
from transform.arrays import pad_strings
from transform.arrow_types import user_types
from transform.features import raw_columns

HELD_OUT = 0.15  # the share of the users whose queries select the ranker and are not in its training lists
QUERIES_A_FILE = 5_000  # bounds the memory for the strings of one file


class Executor(base_executor.BaseExecutor):
    """See `components.candidate_generator.component.CandidateGenerator`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        settings = GeneratorSettings.model_validate_json(exec_properties["settings"])
        features = settings.features
        uri = artifact_utils.get_single_uri(input_dict["examples"])
        catalogue = read_arrow(Path(uri) / names.CATALOGUE_FILE)
        ids = catalogue[names.ITEM_ID].combine_chunks()
        queries.check_list_length(settings.candidates, len(ids), "retrieval.candidates")
        run = Path(artifact_utils.get_single_uri(input_dict["model_run"]))
        final = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        index = artifact_utils.get_single_uri(input_dict["candidate_index"])
        output = artifact_utils.get_single_instance(output_dict["candidates"])

        types = user_types(features.user) | {names.RATING: pa.float32()}
        events = {split: read_events(uri, split, types) for split in (names.TRAIN, names.EVAL, names.TEST)}
        common = {
            "catalogue": ids,
            "user_columns": [names.USER_ID, *raw_columns(features.user)],
            "history_length": features.history_length,
            "left_out": queries.read_left_out(uri),
        }
        common |= settings.queries.model_dump() | {"seed": settings.seed}
        items = Catalogue(catalogue, features.item)
        impressions_known = _impressions(input_dict, settings, Path(uri) / names.USERS_FOLDER, ids)
        report: dict[str, dict] = {}

        def retrieved(source, query_set, purpose):
            answers = source.retrieve(query_set, settings.candidates)
            labels = metrics.hits(answers.rows, query_set.relevant_offsets, query_set.relevant_items, len(items))
            report[purpose] = candidates.report(labels, query_set)
            progress.report(
                f"{purpose}: {len(query_set):,} queries, {report[purpose]['positives']:,} relevant candidates"
            )
            return answers

        lists: dict[str, list[tuple]] = {names.TRAIN: [], names.EVAL: []}
        lists_with_relevant = dict.fromkeys(lists, 0)
        impressions_used = 0
        for window, known, target in _windows(events, settings.windows):
            # Only the released model has an index; the early model of a window scores all items.
            source = CandidateSource(run / early_model(window), None, items, features)
            query_set = queries.build(known, target, max_queries=settings.max_queries, **common)
            answers = retrieved(source, query_set, f"learn_{window}" if window else "learn")
            users = query_set.users[names.USER_ID]
            if not window:
                held_out_users = users.filter(pa.array(candidates.held_out(users, HELD_OUT, settings.seed)))
            held_out = pc.is_in(users, value_set=held_out_users.combine_chunks()).to_numpy()
            if not window:
                # Probabilities are calibrated on these lists, so they are left as served: no list is dropped.
                eval_queries, served = query_set.take(np.flatnonzero(held_out)), answers.take(np.flatnonzero(held_out))
                labels = metrics.hits(
                    served.rows, eval_queries.relevant_offsets, eval_queries.relevant_items, len(items)
                )
                lists_with_relevant[names.EVAL] = int(labels.any(axis=1).sum())
                lists[names.EVAL].append((eval_queries, served, {}))
            counts = np.bincount(queries.catalogue_rows(ids, known[names.ITEM_ID]), minlength=len(items))
            not_chosen = impressions.not_chosen(
                impressions_known, query_set, target, ids, settings.windows.of_each_user
            )
            answers, columns = _training_lists(source, query_set, answers, counts, not_chosen, settings)
            impressions_used += int(impressions.placed(not_chosen, answers.rows, len(items)).sum())
            labels = metrics.hits(answers.rows, query_set.relevant_offsets, query_set.relevant_items, len(items))
            weighs = ~columns["missed"] | (settings.negatives.missed_weight > 0)
            # A list without a relevant item gives the ranker no training signal.
            chosen = np.flatnonzero((labels & weighs).any(axis=1) & ~held_out)
            part = {name: values[chosen] for name, values in columns.items()}
            lists[names.TRAIN].append((query_set.take(chosen), answers.take(chosen), part))
            lists_with_relevant[names.TRAIN] += len(chosen)
        for split, parts in lists.items():
            _refuse_none(lists_with_relevant[split], split, report["learn"])
            weight = settings.negatives.missed_weight if split == names.TRAIN else 0.0
            _write(output.uri, split, parts, items, weight)
        known = pa.concat_tables([events[names.TRAIN], events[names.EVAL]])
        query_set = queries.build(known, events[names.TEST], max_queries=settings.max_test_queries, **common)
        answers = retrieved(CandidateSource(final, index, items, features), query_set, "test")
        _write(output.uri, names.TEST, [(query_set, answers, {})], items, 0.0)
        if input_dict.get(names.IMPRESSIONS):
            report[names.IMPRESSIONS] = {
                "rows": len(impressions_known),
                "dropped": impressions_known.dropped,
                "not_chosen": impressions_used,
            }
        write_json(Path(output.uri) / names.REPORT_FILE, report)
        output.split_names = artifact_utils.encode_split_names([names.TRAIN, names.EVAL, names.TEST])
        examples_utils.set_payload_format(output, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)


def _windows(events, windows):
    """Yield (number, events before the window, events in it): eval as window 0, then each earlier window with events.

    Args:
      events: split → its events.
      windows: the `WindowSettings`.
    """
    train, evaluation = events[names.TRAIN], events[names.EVAL]
    yield 0, train, evaluation
    for window in earlier_windows(train, evaluation, **windows.model_dump()):
        yield window.number, train.filter(pa.array(window.known)), train.filter(pa.array(window.target))


def _impressions(inputs, settings, users_folder, ids):
    """Return the impressions, read file by file; an empty set if there is no table of impressions."""
    files = []
    if inputs.get(names.IMPRESSIONS):
        anomalies = artifact_utils.get_single_uri(inputs[f"{names.IMPRESSIONS}_anomalies"])
        refuse_anomalies(names.IMPRESSIONS, read_anomalies(anomalies))
        files = examples.files(artifact_utils.get_single_uri(inputs[names.IMPRESSIONS]), names.ALL)
    parts = (examples.read_files([file], event_types(has_rating=False)) for file in files)
    users = [read_arrow(path)[names.USER_ID].combine_chunks() for path in sorted(users_folder.glob("*.arrow"))]
    checks = settings.impressions or ImpressionSettings(drop_unknown=False, max_dropped=0.0)
    impressions_known = impressions.known(parts, pa.concat_arrays(users), ids, checks.drop_unknown)
    rows = len(impressions_known) + sum(impressions_known.dropped.values())
    check_dropped(names.IMPRESSIONS, impressions_known.dropped, rows, checks.max_dropped)
    if impressions_known.dropped:
        progress.report(f"impressions: dropped {dropped_text(impressions_known.dropped, rows)}")
    return impressions_known


def _training_lists(source, query_set, answers, counts, not_chosen, settings):
    """Return the training lists with scores and signals, and their columns `ranks` and `missed` for `candidate_table`.

    Args:
      source: the retriever.
      query_set: Q queries.
      answers: the retriever's candidates for them.
      counts: [N] the number of known events of each item.
      not_chosen: the impressions that users did not choose.
      settings: the `GeneratorSettings`.
    """
    negatives = settings.negatives
    seen = pad_strings(query_set.seen)
    seen = source.catalogue.rows(seen.ravel()).reshape(seen.shape)
    shares = negatives.popular, negatives.uniform, negatives.impressions
    rows, ranks, missed = sampling.training_rows(
        answers.rows, query_set, seen, counts, not_chosen, shares, negatives.missed_weight, settings.seed
    )
    return source.score(query_set, rows), {"ranks": ranks, "missed": missed}


def _write(uri, split, parts, catalogue, missed_weight):
    """Write the candidate lists of a split, `QUERIES_A_FILE` queries per file.

    Args:
      uri: the URI of the output artifact.
      split: the split.
      parts: (queries, candidates, further columns) of each window.
      catalogue: the items.
      missed_weight: the weight of a missed item.
    """
    starts = [
        (each, start)
        for each, (query_set, _, _) in enumerate(parts)
        for start in range(0, len(query_set), QUERIES_A_FILE)
    ]
    starts = starts or [(0, 0)]
    for shard, (each, start) in enumerate(starts):
        query_set, answers, columns = parts[each]
        part = np.arange(start, min(start + QUERIES_A_FILE, len(query_set)))
        columns = {name: values[part] for name, values in columns.items()}
        table = candidate_table(
            query_set.take(part), answers.take(part), catalogue, missed_weight=missed_weight, **columns
        )
        examples.write_examples(table, examples.shard_path(uri, split, shard, len(starts)))


def _refuse_none(lists, split, counts):
    """Raise ModelError if no list of a split has a relevant candidate."""
    if not lists:
        raise ModelError(
            f"no query of the ranker's {split} split has a relevant item among its candidates "
            f"({counts['with_a_positive']} of {counts['queries']} queries have one). "
            "Raise `retrieval.candidates` or `split.eval`, or improve the retriever."
        )
