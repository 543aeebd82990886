"""What the report tells, read from the files that the nodes of a run have left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core import files, names
from pipeline.report import statistics

TABLE_NODES = {f"{name}Gen": table for table, name in names.NODE_NAMES.items()}
_FILES = {
    **dict.fromkeys(TABLE_NODES, names.REPORT_FILE),
    "EventJoiner": names.REPORT_FILE,
    "RetrievalTrainer": names.TRAINING_FILE,
    "CandidateIndex": names.REPORT_FILE,
    "CandidateGenerator": names.REPORT_FILE,
    "RankingTrainer": names.TRAINING_FILE,
    "TwoStepEvaluator": names.EVALUATION_FILE,
    "DriftDetector": names.DRIFT_FILE,
}
STATISTICS_NODES = {f"{name}StatisticsGen": table for table, name in names.NODE_NAMES.items()}
NODES = tuple(_FILES)  # whose folders `facts_of_run` reads

Json = dict[str, Any]


@dataclass(frozen=True)
class ReportFacts:
    """Everything that stands in a report; None where a run did not come to it.

    Args:
      name: of the recommender.
      run_time: when the run began, as people read it.
      seed: of everything that was drawn.
      candidates: how many the retriever hands to the ranker.
      release: the version that was released; None where it was held back.
      held_back: why there is no release.
      evaluation: of TwoStepEvaluator; `components.recommender_evaluator.evaluation` says what is in it.
      tables: table → the report of its ExampleGen: rows read and written, dropped by reason, files.
      join: of EventJoiner: rows by split, dropped by reason.
      retrieval: training log: model, settings, what was chosen and, where it has one, the curve.
      ranking: the same of the ranker.
      lists: of CandidateGenerator: how many relevant items are among the candidates, for learning and for the test.
      exposures: of CandidateGenerator: rows that were kept, dropped by reason, and how many items were not chosen.
      index: of CandidateIndex: kind, items, recall against exact search.
      columns: table → what `pipeline.report.statistics.columns` says of each of its columns.
      drift: of DriftDetector: the release compared with, and every measure with its bound.
      samples: of TwoStepEvaluator: how dense the events are, and the lists of some test users.
      nodes: (node, `done`, `cached`, `skipped` or `failed`, seconds), in the order they ran.
      lineage_svg: the drawing of the release's lineage.
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
    exposures: Json | None = None
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
    """Read the files of a run.

    Args:
      folders: node → the folder of its output: `examples` of the tables' ExampleGens and of EventJoiner, `model_run` of
        the Trainers, `candidate_index`, `candidates`, `evaluation` of TwoStepEvaluator, `drift`, and `statistics` of
        the tables. `NODES` and `STATISTICS_NODES` name them all; a node may be missing, and so may its file.

    The other arguments are as in `ReportFacts`.
    """

    def read(node: str, name: str | None = None) -> Json | None:
        file = folders[node] / (name or _FILES[node]) if node in folders else None
        return files.read_json(file) if file is not None and file.is_file() else None

    tables = {table: read(node) for node, table in TABLE_NODES.items()}
    lists = read("CandidateGenerator") or {}
    exposures = lists.pop(names.EXPOSURES, None)
    return ReportFacts(
        name=name,
        run_time=run_time,
        seed=seed,
        candidates=candidates,
        release=release,
        held_back=held_back,
        evaluation=read("TwoStepEvaluator"),
        tables={table: report for table, report in tables.items() if report is not None},
        join=read("EventJoiner"),
        retrieval=read("RetrievalTrainer"),
        ranking=read("RankingTrainer"),
        lists=lists or None,
        exposures=exposures,
        index=read("CandidateIndex"),
        columns={
            table: statistics.columns(folders[node]) for node, table in STATISTICS_NODES.items() if node in folders
        },
        drift=read("DriftDetector"),
        samples=read("TwoStepEvaluator", names.SAMPLES_FILE),
        nodes=tuple(nodes),
        lineage_svg=lineage_svg,
    )
