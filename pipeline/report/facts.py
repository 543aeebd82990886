"""The content of the report, read from the outputs of the nodes of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import files, names, node_ids
from pipeline.report import statistics

TABLE_NODES = {node_ids.example_gen(table): table for table in names.NODE_NAMES}
_FILES = {
    **dict.fromkeys(TABLE_NODES, names.REPORT_FILE),
    node_ids.EVENT_JOINER: names.REPORT_FILE,
    node_ids.RETRIEVAL_TRAINER: names.TRAINING_FILE,
    node_ids.CANDIDATE_INDEX: names.REPORT_FILE,
    node_ids.CANDIDATE_GENERATOR: names.REPORT_FILE,
    node_ids.RANKING_TRAINER: names.TRAINING_FILE,
    node_ids.TWO_STEP_EVALUATOR: names.EVALUATION_FILE,
    node_ids.DRIFT_DETECTOR: names.DRIFT_FILE,
}
STATISTICS_NODES = {node_ids.statistics_gen(table): table for table in names.NODE_NAMES}
NODES = tuple(_FILES)  # the nodes whose folders `facts_of_run` reads

Json = dict[str, Any]


@dataclass(frozen=True)
class ReportFacts:
    """The content of a report; None for results that the run did not produce.

    Args:
      name: the name of the recommender.
      run_time: the time of the run, as text.
      seed: the seed of the run.
      candidates: the number of candidates per query.
      release: the version that was released; None if the release was held back.
      held_back: the reason why there is no release.
      evaluation: the evaluation of TwoStepEvaluator; see `components.recommender_evaluator.evaluation`.
      tables: table → the report of the node that reads the table: rows read and written, dropped by reason, files.
      join: the report of EventJoiner: rows by split, dropped by reason.
      retrieval: the training log of the retriever: model, settings, chosen settings and, if any, the learning curve.
      ranking: the training log of the ranker.
      lists: the report of CandidateGenerator: relevant items among the candidates, for training and test.
      impressions: the report of CandidateGenerator on impressions: kept rows, dropped rows by reason, and the
        number of impressions without an event.
      index: the report of CandidateIndex: kind, items, recall against exact search.
      columns: table → the statistics of its columns; see `pipeline.report.statistics.columns`.
      drift: the report of DriftDetector: the release of the comparison, and every measure with its bound.
      samples: the samples of TwoStepEvaluator: the density of the events, and the lists of some test users.
      nodes: (node, state, seconds), in the order of execution; see `pipeline.runners.progress.NodeResult`.
      lineage_svg: the drawing of the lineage of the release.
    """

    name: str
    run_time: str
    seed: int
    candidates: int
    release: str | None = None
    held_back: str | None = None
    evaluation: Json | None = None
    tables: Mapping[str, Json] = field(default_factory=dict)
    join: Json | None = None
    retrieval: Json | None = None
    ranking: Json | None = None
    lists: Json | None = None
    impressions: Json | None = None
    index: Json | None = None
    columns: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    drift: Json | None = None
    samples: Json | None = None
    nodes: Sequence[tuple[str, str, float]] = ()
    lineage_svg: str | None = None


def facts_of_run(
    folders: Mapping[str, Path],
    *,
    name: str,
    run_time: str,
    seed: int,
    candidates: int,
    release: str | None,
    held_back: str | None = None,
    nodes: Sequence[tuple[str, str, float]] = (),
    lineage_svg: str | None = None,
) -> ReportFacts:
    """Read the content of the report of a run from the outputs of its nodes.

    Args:
      folders: node → the folder of its output: `examples` of the tables' ExampleGens and of EventJoiner, `model_run` of
        the Trainers, `candidate_index`, `candidates`, `evaluation` of TwoStepEvaluator, `drift`, and `statistics` of
        the tables. The nodes are `NODES` and `STATISTICS_NODES`; a node or its file may be missing.

    For the other arguments see `ReportFacts`.
    """

    def read(node: str, name: str | None = None) -> Json | None:
        """Return the content of a JSON file in the output of a node; None if the node or the file is missing."""
        file = folders[node] / (name or _FILES[node]) if node in folders else None
        return files.read_json(file) if file is not None and file.is_file() else None

    tables = {table: read(node) for node, table in TABLE_NODES.items()}
    lists = read(node_ids.CANDIDATE_GENERATOR) or {}
    impressions = lists.pop(names.IMPRESSIONS, None)
    return ReportFacts(
        name=name,
        run_time=run_time,
        seed=seed,
        candidates=candidates,
        release=release,
        held_back=held_back,
        evaluation=read(node_ids.TWO_STEP_EVALUATOR),
        tables={table: report for table, report in tables.items() if report is not None},
        join=read(node_ids.EVENT_JOINER),
        retrieval=read(node_ids.RETRIEVAL_TRAINER),
        ranking=read(node_ids.RANKING_TRAINER),
        lists=lists or None,
        impressions=impressions,
        index=read(node_ids.CANDIDATE_INDEX),
        columns={
            table: statistics.columns(folders[node]) for node, table in STATISTICS_NODES.items() if node in folders
        },
        drift=read(node_ids.DRIFT_DETECTOR),
        samples=read(node_ids.TWO_STEP_EVALUATOR, names.SAMPLES_FILE),
        nodes=tuple(nodes),
        lineage_svg=lineage_svg,
    )
