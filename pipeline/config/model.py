"""The configuration of a recommender, read from a YAML file and checked without TensorFlow."""

import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from components.candidate_generator.settings import Negatives
from components.candidate_index.settings import Index
from components.drift_detector.settings import Drift
from components.event_joiner.settings import Split
from core import mistakes, node_ids
from core.errors import UsageError
from core.printable import one_line
from core.settings import Settings
from core.storage import uris
from pipeline.config import column_names, yaml_file
from pipeline.config.beam import Beam
from pipeline.config.cluster import Cluster
from pipeline.config.data import Data, is_dated
from pipeline.config.evaluation import Evaluation
from pipeline.config.metadata import Metadata
from pipeline.config.resources import Resources
from pipeline.schedule.settings import Schedule
from pipeline.submit.settings import Submit
from serving.rerank import settings as rerank_settings
from trainer.distribution.settings import Training
from trainer.ranking import registry as ranking_registry
from trainer.ranking import signals
from trainer.retrieval import needs
from trainer.retrieval import registry as retrieval_registry
from transform import names as feature_names
from transform.features import Features, raw_columns


class Retrieval(Settings):
    """The settings of the first step, retrieval."""

    model: str = Field("two_tower", description="A registered retrieval model.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="The settings of that model; see `twostep config explain`."
    )
    candidates: int = Field(
        100, ge=1, le=10_000, description="The number of candidates per query, which the ranker orders."
    )
    index: Index = Field(default=Index(), description="The index over the catalogue.")
    validation_queries: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="The maximum number of eval queries on which the number of epochs, or the weights of a fusion, are "
        "chosen; a larger set is sampled at random.",
    )
    warm_start: bool = Field(
        False,
        description="Whether a fit begins with the weights and vocabularies of the release in force; false for random "
        "weights. Possible for two_tower, and for a fusion with such members.",
    )


class Ranking(Settings):
    """The settings of the second step, ranking."""

    model: str = Field("dcn", description="A registered ranking model.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="The settings of that model; see `twostep config explain`."
    )
    negatives: Negatives = Field(
        default=Negatives(), description="The items added to the candidates in training lists."
    )
    earlier_windows: int = Field(
        0,
        ge=0,
        le=100,
        description="The number of earlier windows of train, each as long as eval, that add training lists. Each "
        "requires one more fit of the retriever.",
    )
    max_queries: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="The maximum number of queries of eval, and of each window, that make training lists; a larger "
        "set is sampled at random.",
    )


class Release(Settings):
    """The folder, retention and signatures of releases."""

    folder: str = Field(
        "releases",
        description="The folder of the releases, below `run_folder`; or a URI, `s3://BUCKET/PREFIX` or "
        "`gs://BUCKET/PREFIX`.",
    )
    keep: int = Field(
        5,
        ge=1,
        le=10_000,
        description="The number of newest releases, and of releases last in force, that are kept; older ones are "
        "deleted with their pushed models.",
    )
    signing_key: str | None = Field(
        None,
        description="The file of an Ed25519 private key (PEM) that signs releases, relative to this file's folder.",
    )
    trusted_keys: tuple[str, ...] = Field(
        (),
        description="The files of Ed25519 public keys (PEM), relative to this file's folder. If there are any, only "
        "releases signed with one of them are loaded.",
    )

    @field_validator("folder")
    @classmethod
    def _name_or_uri(cls, folder: str) -> str:
        if uris.is_uri(folder):
            try:
                return str(uris.parse(folder))
            except UsageError as error:
                raise ValueError(str(error)) from None
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", folder):
            raise ValueError("should be the name of a folder, of letters, digits and `_.-`, or a URI")
        return folder

    @model_validator(mode="after")
    def _own_are_trusted(self) -> "Release":
        if self.trusted_keys and self.signing_key is None:
            raise ValueError(
                "`trusted_keys` requires a `signing_key`: a release without a signature could not be loaded"
            )
        return self


class Config(Settings):
    """A recommender."""

    name: str = Field(
        max_length=100,
        pattern=r"^[a-z0-9][a-z0-9-]*$",
        description="The name of the recommender, of lower-case letters, digits and dashes.",
    )
    seed: int = Field(
        42,
        ge=0,
        lt=2**32,
        description="The seed of all random numbers; the same data and seed give the same models.",
    )
    run_folder: str | None = Field(
        None,
        description="The folder of the runs, relative to the folder of this file. By default `runs/<name>` in the "
        "nearest folder with `.git` or `runs`, from the folder of this file upwards, or else in the folder of this "
        "file.",
    )
    data: Data = Field(description="The input tables.")
    features: Features = Field(default_factory=Features, description="The features of users and items.")
    split: Split = Field(default=Split(), description="The split of the events.")
    retrieval: Retrieval = Field(default=Retrieval(), description="The retrieval model and its index.")
    ranking: Ranking = Field(default=Ranking(), description="The ranking model and its training lists.")
    reranking: rerank_settings.Reranking = Field(
        default=rerank_settings.Reranking(), description="The re-ranking of the ranker's lists."
    )
    evaluation: Evaluation = Field(default=Evaluation(), description="The metrics, and the rules of a release.")
    drift: Drift = Field(
        default=Drift(), description="The bounds of the drift from the delivery of the release in force."
    )
    release: Release = Field(default=Release(), description="The folder, retention and signatures of releases.")
    cluster: Cluster = Field(
        default=Cluster(), description="The image and the places of a compiled pipeline, for `twostep compile`."
    )
    metadata: Metadata = Field(default=Metadata(), description="The database of ML Metadata.")
    beam: Beam = Field(default=Beam(), description="The engine of the nodes that use Beam.")
    training: Training = Field(default=Training(), description="The devices on which networks are trained.")
    submit: Submit = Field(default=Submit(), description="The orchestrators of `twostep submit`.")
    resources: dict[str, Resources] = Field(
        default_factory=dict,
        description="Node → the resources of its container on Kubeflow Pipelines and Vertex AI; "
        "`twostep run --dry-run` lists the nodes.",
    )
    schedule: Schedule | None = Field(
        None, description="The triggers of the runs of `twostep schedule`, their repeats and reports."
    )
    keep_runs: int = Field(
        5,
        ge=1,
        le=10_000,
        description="The number of latest complete runs whose artifacts are kept; older artifacts are deleted.",
    )
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """Return the folder of the configuration file; None for a configuration that was not loaded from a file."""
        return self._folder

    @model_validator(mode="after")
    def _fits_together(self) -> "Config":
        rated = self.data.interactions.has_ratings
        retrieval_registry.check(self.retrieval.model, self.retrieval.params)
        for key, name, params in (
            ("retrieval.model", self.retrieval.model, self.retrieval.params),
            *(("evaluation.baselines", name, {}) for name in self.evaluation.baselines),
        ):
            _checked(f"{key}: ", needs.check, name, params, self.features, self.data.exclude_seen, rated)
        if self.retrieval.warm_start:
            step, windows = self.retrieval, self.ranking.earlier_windows
            _checked(
                "retrieval.warm_start: ", needs.check_warm_start, step.model, step.params, self.split.in_time, windows
            )
        retrieval = self.retrieval
        _checked("retrieval.index.kind: ", needs.check_index, retrieval.model, retrieval.index.kind, retrieval.params)
        ranking_registry.check(self.ranking.model, self.ranking.params)
        _checked("ranking.model: ", ranking_registry.check_needs, self.ranking.model, rated)
        _checked("features: ", feature_names.check, self.features)
        of_retriever = retrieval_registry.MODELS.signals(self.retrieval.model, self.retrieval.params)
        _checked("features: ", signals.check, self.features, of_retriever)
        _checked("reranking.", rerank_settings.check, self.reranking, self.features.item)
        self._check_slices()
        self._check_texts()
        if self.data.users is None and self.features.user:
            raise ValueError(
                f"features.user: should be empty if `data.users` is null; found {sorted(self.features.user)}. "
                "Add the table of users, or remove these features"
            )
        self._check_impressions()
        self._check_resources()
        if self.schedule is not None:
            dated = any(is_dated(path) for path in self.data.paths.values())
            _checked("schedule.", self.schedule.check, dated, self.drift.action == "stop")
        if self.ranking.earlier_windows and not self.split.in_time:
            raise ValueError(
                f"ranking.earlier_windows: should be 0 with the split `{self.split.method}`: windows require a split "
                "ordered in time"
            )
        column_names.check(self.data, self.features, self.split.column)
        column = self.split.column
        if column is not None and column in {
            *feature_names.RESERVED,
            *self.features.user,
            *self.features.item,
            self.data.title,
            self.data.owner,
        }:
            raise ValueError(
                f"split.column: {column!r} is the name of another column. Rename it in data.interactions.columns"
            )
        return self

    def _check_slices(self) -> None:
        of_users = [name for name, raw in raw_columns(self.features.user).items() if raw.sliceable(of_item=False)]
        of_items = [name for name, raw in raw_columns(self.features.item).items() if raw.sliceable(of_item=True)]
        sliceable = [*of_users, *of_items]
        unknown = sorted(set(self.evaluation.slices) - set(sliceable))
        if unknown:
            raise ValueError(
                f"evaluation.slices: {unknown} should be features of users with one value each, or features of items "
                f"with one value or categories; these are {sliceable}"
            )
        for rule in self.evaluation.conditions:
            column = (rule.slice or "").partition("=")[0]
            if column in self.features.item and not rule.metric.startswith("recall@"):
                raise ValueError(
                    f"evaluation.rules: only recall is defined for slices of items; found {rule.metric} of {rule.slice}"
                )

    def _check_impressions(self) -> None:
        if not self.ranking.negatives.impressions:
            return
        if self.data.impressions is None:
            raise ValueError(
                "ranking.negatives.impressions: should be 0 without the table `data.impressions`. Add the table, such "
                "as `impressions: {path: impressions.parquet}`, or set it to 0"
            )
        if not self.split.in_time:
            raise ValueError(
                f"ranking.negatives.impressions: should be 0 with the split `{self.split.method}`: it is not ordered "
                "in time, so an item that was shown and not chosen may be a relevant item of test"
            )

    def _check_resources(self) -> None:
        nodes = node_ids.of_dag(self.data.tables)
        for node in self.resources:
            if node not in nodes:
                close = difflib.get_close_matches(node, nodes, n=1)
                hint = f"Did you mean `{close[0]}`? " if close else ""
                raise ValueError(
                    f"resources.{one_line(node)}: should be a node. {hint}The nodes are {', '.join(sorted(nodes))}"
                )

    def _check_texts(self) -> None:
        for key, column in (("title", self.data.title), ("owner", self.data.owner)):
            feature = self.features.item.get(column or "")
            one_text = feature is None or (feature.raw is not None and feature.raw.one_string)
            if column in {*feature_names.RESERVED, *self.features.user} or not one_text:
                raise ValueError(
                    f"data.{key}: should be a column of items that holds one text per row; found {column!r}"
                )


def _checked(place: str, check: Callable[..., object], *arguments: Any) -> None:
    """Run a check of a section; prefix its error with the key of the section."""
    try:
        check(*arguments)
    except ValueError as error:
        raise ValueError(f"{place}{error}") from None


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

    Raises:
      UsageError: the file cannot be read, is not plain YAML, or a key or value in it is wrong.
    """
    path = Path(path)
    values = yaml_file.read(path)
    if not isinstance(values, dict):
        raise UsageError(
            f"{path}: should be a mapping with the keys {', '.join(Config.model_fields)}; found {type(values).__name__}"
        )
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        lines = [f"  {mistakes.explained(Config, each)}" for each in error.errors()]
        raise UsageError("\n".join([f"{path}:", *lines])) from None
    config._folder = path.absolute().parent
    return config
