"""The executor of RecommenderEvaluator: evaluates the lists of the models on test, and blesses the models or not."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.recommender_evaluator import baseline_release, evaluation, rules, samples
from components.recommender_evaluator.baseline_release import NotComparableError
from components.recommender_evaluator.settings import EvaluatorSettings
from components.recommender_evaluator.trade_off import trade_off
from core import metrics, names, progress, queries
from core.arrow import read_arrow
from core.events import read_events
from core.files import read_json, write_json
from core.rating_metrics import RATING
from serving.candidate_source import CandidateSource
from serving.catalogue import Catalogue
from serving.engine import Ranked
from serving.item_vectors import item_vectors
from serving.models import two_step
from serving.rerank.settings import Reranking
from serving.settings import ServingSettings
from trainer.retrieval import inference
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.inference import predict
from trainer.retrieval.registry import MODELS
from transform.arrow_types import user_types
from transform.features import raw_columns

RANKINGS_FILE = "rankings.npz"  # the lists of every model, which the evaluator of both steps reuses
RETRIEVAL, TWO_STEP = "retrieval", "two_step"


class Executor(base_executor.BaseExecutor):
    """See `components.recommender_evaluator.component.RecommenderEvaluator`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        test = Test(
            artifact_utils.get_single_uri(input_dict["examples"]),
            EvaluatorSettings.model_validate_json(exec_properties["settings"]),
        )
        output = artifact_utils.get_single_instance(output_dict["evaluation"])
        both = test.settings.two_step
        if both is not None:
            ranked, not_compared, predictions, trade_off, lists = _evaluate_two_step(test, input_dict, both.serving)
            write_json(Path(output.uri) / names.SAMPLES_FILE, {"density": test.density(), "lists": lists})
            steps, step = _read_steps(input_dict["retrieval_evaluation"]), TWO_STEP
        else:
            ranked, not_compared, ratings = _evaluate_retrieval(test, input_dict)
            steps, step, predictions, trade_off = {}, RETRIEVAL, None, None
        steps[step] = test.evaluate(ranked, step, not_compared, predictions)
        if step == RETRIEVAL:
            steps[step]["ratings"] = ratings
        np.savez_compressed(Path(output.uri) / RANKINGS_FILE, allow_pickle=False, **ranked)
        report: dict[str, Any] = {"steps": steps, "headline": _headline(steps), "split": test.split}
        if both is not None:
            verdicts = [
                rules.enough_queries(both.min_queries, steps[TWO_STEP]),
                *rules.check(test.settings.rules, steps),
            ]
            report |= {"verdicts": [vars(verdict) for verdict in verdicts], "blessed": all(v.passed for v in verdicts)}
            report["trade_off"] = trade_off
            blessing = artifact_utils.get_single_instance(output_dict["blessing"])
            _bless(blessing, input_dict, verdicts, test.split)
        write_json(Path(output.uri) / names.EVALUATION_FILE, report)
        progress.report(
            ", ".join(
                f"{step} {metric} {value:.4f}"
                for step, found in report["headline"].items()
                for metric, value in found.items()
            )
        )


class Test:
    """The test queries and the events before test.

    Args:
      uri: the URI of EventJoiner's Examples.
      settings: the settings of the component.
    """

    __test__ = False  # not a test of pytest

    def __init__(self, uri: str, settings: EvaluatorSettings):
        self.uri, self.settings, self.features = uri, settings, settings.features
        self.catalogue = Catalogue(read_arrow(Path(uri) / names.CATALOGUE_FILE), self.features.item)
        ids = self.catalogue.table[names.ITEM_ID].combine_chunks()
        queries.check_list_length(max(settings.at), len(self.catalogue), "evaluation.at")
        types = user_types(self.features.user)
        self.known = pa.concat_tables([read_events(uri, split, types) for split in (names.TRAIN, names.EVAL)])
        self.target = read_events(uri, names.TEST, types)
        begins = read_json(Path(uri) / names.REPORT_FILE)["begins"]
        self.split = settings.split | ({} if begins is None else {"begins": begins})
        self.queries = self.build_queries(self.features.history_length)
        self.items = queries.catalogue_rows(ids, self.known[names.ITEM_ID])

    def build_queries(self, history_length: int) -> queries.Queries:
        """Return the test queries with histories of at most `history_length` items."""
        return queries.build(
            self.known,
            self.target,
            self.catalogue.table[names.ITEM_ID].combine_chunks(),
            user_columns=[names.USER_ID, *raw_columns(self.features.user)],
            history_length=history_length,
            left_out=queries.read_left_out(self.uri),
            seed=self.settings.seed,
            max_queries=self.settings.max_queries,
            **self.settings.queries.model_dump(),
        )

    def baseline(self, name: str) -> np.ndarray:
        """Return the lists of a registered model with default settings, fitted on all events before test."""
        data = RetrievalData(
            features=self.features,
            catalogue=self.catalogue.table,
            users=self.known[names.USER_ID].combine_chunks(),
            items=self.items,
            timestamps=self.known[names.TIMESTAMP].to_numpy(),
        )
        fitted = MODELS[name].load()(MODELS.check(name, {}), data, self.settings.seed)
        retrieve, n_items = fitted.signatures()["retrieve"], len(self.catalogue)
        return inference.retrieve(retrieve, self.queries, self.features.user, n_items, self.longest).rows

    def release(self, version: str) -> Any:
        """Return a context with the engine of a release. Raises: NotComparableError."""
        trusted = [Path(file) for file in self.settings.trusted_keys]
        return baseline_release.opened(self.settings.releases, version, self.split, self.features, trusted)

    def _slices(self, features: dict[str, Any]) -> list[str]:
        """Return the names in `settings.slices` that are keys of `features`."""
        return [name for name in self.settings.slices if name in features]

    def ratings(self, model: Any) -> dict[str, Any] | None:
        """Return RMSE, MAE and R² of the ratings that a model predicts for the events of test, and their number.

        None if the model predicts no ratings, or an event has none.
        """
        if "predict" not in model.signatures:
            return None
        types = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string(), names.RATING: pa.float32()}
        events = read_events(self.uri, names.TEST, types)
        if events[names.RATING].null_count:
            return None
        predicted = predict(model, events[names.USER_ID], events[names.ITEM_ID])
        actual = events[names.RATING].to_numpy()
        found = {name: metric(predicted, actual) for name, metric in RATING.items()}
        return {"events": len(events)} | {name: None if np.isnan(value) else value for name, value in found.items()}

    @functools.cached_property
    def item_vectors(self) -> sparse.csr_array:
        return item_vectors(self.catalogue.table, self.features.item)

    @property
    def longest(self) -> int:
        return max(self.settings.at)

    def evaluate(
        self,
        ranked: dict[str, np.ndarray],
        subject: str,
        not_compared: dict[str, str],
        predictions: evaluation.Predictions | None,
    ) -> dict:
        by_event = self.settings.queries.unit == "event"
        seen = self.queries.seen
        return evaluation.evaluate(
            ranked,
            subject,
            relevant=(self.queries.relevant_offsets, self.queries.relevant_items),
            train_counts=np.bincount(self.items, minlength=len(self.catalogue)),
            ks=self.settings.at,
            features=self.queries.users.select(self._slices(self.features.user)),
            item_features=self.catalogue.table.select(self._slices(self.features.item)),
            has_history=self.queries.history.value_lengths().to_numpy() > 0,
            resamples=self.settings.resamples,
            seed=self.settings.seed,
            users=self.queries.users[names.USER_ID].to_numpy() if by_event else None,
            seen=(
                np.r_[0, np.cumsum(seen.value_lengths().to_numpy())],
                self.catalogue.rows(seen.flatten().to_pylist()),
            ),
            item_vectors=self.item_vectors,
            predictions=predictions,
            compared_slices=rules.compared_slices(self.settings.rules, subject),
            not_compared=not_compared,
        )

    def density(self) -> dict[str, Any]:
        """Return the density of the events before test."""
        return samples.density(self.known[names.USER_ID], self.items, len(self.catalogue))

    def samples(self, rows: np.ndarray, scores: np.ndarray, title: str | None) -> list[dict[str, Any]]:
        """Return the lists of some users; see `samples.sample`."""
        return samples.sample(self.queries, rows, scores, self.catalogue.table, title, self.settings.seed)

    def trade_off(self, reranking: Reranking, ranked: Ranked) -> dict[str, Any] | None:
        """Return the trade-off of accuracy and diversity on the shortest list; None for items without features."""
        rows, scores = ranked.candidates.rows, ranked.scores
        lists = (self.queries, rows, scores, min(self.settings.at), self.settings.seed)
        return trade_off(reranking, self.catalogue.table, self.features.item, self.item_vectors, *lists)

    def predictions(self, ranked: Ranked) -> evaluation.Predictions:
        """Return the ranker's probability of each candidate [Q, C], calibrated as it is served."""
        rows = ranked.candidates.rows
        labels = metrics.hits(rows, self.queries.relevant_offsets, self.queries.relevant_items, len(self.catalogue))
        given = rows != metrics.PADDING
        query = np.broadcast_to(np.arange(len(rows))[:, None], rows.shape)
        return evaluation.Predictions(labels[given], ranked.probabilities[given].astype(np.float64), query[given])


def _evaluate_retrieval(
    test: Test, inputs: dict
) -> tuple[dict[str, np.ndarray], dict[str, str], dict[str, Any] | None]:
    """Retrieve the test lists of the retriever, the baselines and the release in force.

    Returns:
      model → its lists; `in_force` → why the release in force has no lists, else empty; the metrics of the ratings that
      the retriever predicts, None if it predicts none.
    """
    index = artifact_utils.get_single_uri(inputs["candidate_index"])
    source = CandidateSource(_model(inputs["model"]), index, test.catalogue, test.features)
    ranked = {RETRIEVAL: source.retrieve(test.queries, test.longest).rows}
    for name in test.settings.baselines:
        progress.report(f"baseline {name}")
        ranked[name] = test.baseline(name)
    not_compared = _add_release_in_force(test, inputs, ranked, baseline_release.retrieve)
    return ranked, not_compared, test.ratings(source.model)


def _evaluate_two_step(
    test: Test, inputs: dict, settings: ServingSettings
) -> tuple[dict[str, np.ndarray], dict[str, str], evaluation.Predictions, dict[str, Any] | None, list[dict[str, Any]]]:
    """Make the test lists of both steps as served, and read those of the retriever and the baselines.

    Returns:
      model → its lists, including those of the release in force; `in_force` → why the release in force has no lists,
      else empty; the ranker's probabilities of all candidates; the trade-off of accuracy and diversity; and the served
      lists of some users.
    """
    with np.load(
        Path(artifact_utils.get_single_uri(inputs["retrieval_evaluation"])) / RANKINGS_FILE, allow_pickle=False
    ) as kept:
        before = {name: kept[name] for name in kept.files if name != rules.IN_FORCE}
    index = artifact_utils.get_single_uri(inputs["candidate_index"])
    engine = two_step(_model(inputs["model"]), index, _model(inputs["ranking_model"]), test.catalogue, settings)
    found = engine.ranked(test.queries)
    rows, scores = engine.rerank(test.queries, found, test.longest)
    lists = test.samples(rows, scores, settings.title)
    ranked = {TWO_STEP: rows, **before}
    if settings.reranking.rearranges:  # the retriever's lists are re-ranked too, so that only the ranker differs
        rows = found.candidates.rows
        order = np.where(rows != metrics.PADDING, -np.arange(rows.shape[1], dtype=np.float32), -np.inf)
        ranked[RETRIEVAL] = engine.reranker.rerank(test.queries, rows, order, test.longest)[0]
    not_compared = _add_release_in_force(test, inputs, ranked, baseline_release.recommend)
    return ranked, not_compared, test.predictions(found), test.trade_off(settings.reranking, found), lists


def _add_release_in_force(test, inputs, ranked, answer) -> dict[str, str]:
    """Add the lists of the release in force to `ranked`. Return `in_force` → why it is not comparable, else empty."""
    baseline = artifact_utils.get_single_instance(inputs["baseline_release"])
    version = baseline.get_string_custom_property("version")
    if not version:
        return {}
    try:
        with test.release(version) as engine:
            # If the release uses longer histories, its queries have such histories; a model cuts those that are longer.
            longer = engine.settings.features.history_length > test.features.history_length
            test_queries = test.build_queries(engine.settings.features.history_length) if longer else test.queries
            ranked[rules.IN_FORCE] = answer(engine, test_queries, test.longest, test.catalogue)
    except NotComparableError as error:
        logging.warning("no comparison with the release in force: %s", error)
        progress.report(f"no comparison with the release in force: {error}")
        return {rules.IN_FORCE: str(error)}
    return {}


def _bless(blessing, inputs, verdicts, split) -> None:
    """Write the blessing of TFX for the ranking model, with the split under which both models were evaluated."""
    blessed = all(verdict.passed for verdict in verdicts)
    blessing.set_int_custom_property("blessed", int(blessed))
    blessing.set_string_custom_property("blessing_message", " ".join(v.sentence for v in verdicts if not v.passed))
    blessing.set_string_custom_property("split", json.dumps(split, sort_keys=True))
    ranking = artifact_utils.get_single_instance(inputs["ranking_model"])
    blessing.set_string_custom_property("current_model", ranking.uri)
    blessing.set_int_custom_property("current_model_id", ranking.id)
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ("BLESSED" if blessed else "NOT_BLESSED")).touch()


def _headline(steps: dict) -> dict[str, dict[str, float]]:
    """Return step → NDCG at the shortest and recall at the longest list length, without those not measured."""
    headline = {}
    for step, measured in steps.items():
        subject, ks = measured["models"][measured["subject"]], measured["ks"]
        keys = (f"ndcg@{min(ks)}", f"recall@{max(ks)}")
        headline[step] = {key: subject[key]["mean"] for key in keys if subject[key]["mean"] is not None}
    return headline


def _read_steps(artifacts) -> dict:
    return read_json(Path(artifact_utils.get_single_uri(artifacts)) / names.EVALUATION_FILE)["steps"]


def _model(artifacts) -> str:
    return path_utils.serving_model_path(artifact_utils.get_single_uri(artifacts))
