"""The ids of the pipeline's nodes, under which ML Metadata records their executions and artifacts."""

from collections.abc import Iterable

from core import names

EVENT_JOINER = "EventJoiner"
TRANSFORM = "Transform"
RETRIEVAL_TRAINER = "RetrievalTrainer"
RANKING_TRAINER = "RankingTrainer"
CANDIDATE_INDEX = "CandidateIndex"
CANDIDATE_GENERATOR = "CandidateGenerator"
RETRIEVAL_EVALUATOR = "RetrievalEvaluator"
RANKING_EVALUATOR = "RankingEvaluator"
TWO_STEP_EVALUATOR = "TwoStepEvaluator"
RELEASE_PUSHER = "ReleasePusher"
DRIFT_DETECTOR = "DriftDetector"
# ReleaseInForce: for the retriever's evaluator, for that of both steps and for DriftDetector.
RETRIEVAL_IN_FORCE = "RetrievalInForce"
PAIR_IN_FORCE = "PairInForce"
DELIVERY_IN_FORCE = "DeliveryInForce"


def trainer(step: str) -> str:
    """Return the id of the trainer of a step, `retrieval` or `ranking`."""
    return f"{step.title()}Trainer"


def pusher(step: str) -> str:
    """Return the id of the pusher of a step, `retrieval` or `ranking`."""
    return f"{step.title()}Pusher"


def example_gen(table: str) -> str:
    """Return the id of the node that reads a table."""
    return f"{names.NODE_NAMES[table]}Gen"


def statistics_gen(table: str) -> str:
    """Return the id of the node that computes the statistics of a table."""
    return f"{names.NODE_NAMES[table]}StatisticsGen"


def schema_gen(table: str) -> str:
    """Return the id of the node that infers or imports the schema of a table."""
    return f"{names.NODE_NAMES[table]}SchemaGen"


def validator(table: str) -> str:
    """Return the id of the node that validates a table against its schema."""
    return f"{names.NODE_NAMES[table]}Validator"


def of_dag(tables: Iterable[str]) -> list[str]:
    """Return the ids of the nodes of a run that reads these tables."""
    of_tables = [of(table) for table in tables for of in (example_gen, statistics_gen, schema_gen, validator)]
    of_steps = [of(step) for step in ("retrieval", "ranking") for of in (trainer, pusher)]
    return [
        *of_tables,
        *of_steps,
        *(EVENT_JOINER, TRANSFORM, CANDIDATE_INDEX, CANDIDATE_GENERATOR, DRIFT_DETECTOR, RELEASE_PUSHER),
        *(RETRIEVAL_EVALUATOR, RANKING_EVALUATOR, TWO_STEP_EVALUATOR),
        *(RETRIEVAL_IN_FORCE, PAIR_IN_FORCE, DELIVERY_IN_FORCE),
    ]
