"""One YAML file describes a recommender; these models read and check it without TensorFlow."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from components.drift_detector.settings import Drift
from core import mistakes
from core.errors import UsageError
from core.settings import Settings
from pipeline.config import column_names, yaml_file
from pipeline.config.data import Data
from pipeline.config.evaluation import Evaluation
from serving.rerank import settings as rerank_settings
from trainer.ranking import registry as ranking_registry
from trainer.ranking import signals
from trainer.retrieval import needs
from trainer.retrieval import registry as retrieval_registry
from transform import names as feature_names
from transform.features import Features, Raw, raw_columns


class Split(Settings):
    """How events are divided into train, eval and test."""

    method: Literal["temporal", "temporal_per_user", "leave_one_out", "random", "kfold", "given"] = Field(
        "temporal",
        description="`temporal`: one cut in time; `temporal_per_user`: the last share of each user's events; "
        "`leave_one_out`: each user's last event. For published tables: `random`; `kfold`, one `fold`; `given`, by a "
        "`column`.",
    )
    column: str | None = Field(
        None,
        min_length=1,
        description="Of `given`: the column of interactions that says `train`, `eval` or `test`; where none is `eval`, "
        "the share `eval` of train becomes it.",
    )
    fold: str | None = Field(
        None,
        pattern=r"^[1-9][0-9]* of [1-9][0-9]*$",
        description="Of `kfold`: which fold is test, such as `1 of 5`; the share `eval` of the others is eval.",
    )
    eval: float = Field(0.1, gt=0, lt=1, description="Share of the events in eval, which the ranker learns from.")
    test: float = Field(0.1, gt=0, lt=1, description="Share of the events in test, which only the evaluators see.")

    @model_validator(mode="after")
    def _leaves_train(self) -> "Split":
        if self.eval + self.test >= 1:
            raise ValueError(
                f"eval + test should be below 1, so that train is not empty; found {self.eval + self.test:g}"
            )
        for method, key in (("given", "column"), ("kfold", "fold")):
            if (self.method == method) != (getattr(self, key) is not None):
                raise ValueError(f"`{key}` belongs to the method `{method}`, and that needs it; found {self.method}")
        if self.fold is not None:
            fold, folds = map(int, self.fold.split(" of "))
            if folds < 2 or fold > folds:
                raise ValueError(f"fold should be `i of n` with i from 1 to n and n at least 2; found {self.fold!r}")
        return self

    @property
    def in_time(self) -> bool:
        """Whether a user's events of one split all come before those of the next."""
        return self.method not in ("random", "kfold", "given")

    def of_test(self, seed: int) -> dict[str, Any]:
        """Return what decides which events are test: models judged under another one may know these events."""
        shares = {} if self.method in ("leave_one_out", "given", "kfold") else {"test": self.test}
        chosen = {"column": self.column, "fold": self.fold}
        drawn = {"seed": seed} if self.method in ("random", "kfold") else {}
        return {"method": self.method, **shares, **{key: each for key, each in chosen.items() if each}, **drawn}


class Index(Settings):
    """The index over the catalogue."""

    kind: Literal["exact", "hnsw"] = Field(
        "exact", description="`exact` compares all items; `hnsw` is a graph, for large catalogues."
    )
    min_recall: float = Field(0.95, ge=0, le=1, description="The lowest recall against exact search that passes.")


class Retrieval(Settings):
    """The first step."""

    model: str = Field("two_tower", description="A registered retrieval model.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Settings of that model; see `twostep config explain`."
    )
    candidates: int = Field(100, ge=1, le=10_000, description="How many candidates it hands to the ranker.")
    index: Index = Field(default=Index(), description="The index over the catalogue.")
    validation_queries: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="The maximum number of eval queries, drawn at random, that choose epochs and fusion weights.",
    )


class Negatives(Settings):
    """What stands in the lists that the ranker learns from, beside the retriever's own candidates."""

    popular: float = Field(0.0, ge=0, le=0.5, description="Share of a list that is drawn by popularity.")
    uniform: float = Field(0.0, ge=0, le=0.5, description="Share of a list that is drawn from all items alike.")
    exposed: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of a list for items that the user was shown in the window asked about and did not choose, "
        "of `data.exposures`; where there are fewer, places stay empty.",
    )
    missed_weight: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="Weight of right answers that the retriever missed. Past its list only sampled items stand beside "
        "them, and exposed ones in some: with none sampled, a ranker would learn to favour what is not retrieved.",
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "Negatives":
        total = round(self.popular + self.uniform + self.exposed, 9)
        if total > 0.8:
            raise ValueError(
                "popular, uniform and exposed should be at most 0.8 together, so that places stay for the retriever's "
                f"own candidates; found {total:g}"
            )
        if self.missed_weight > 0 and self.popular + self.uniform == 0:
            raise ValueError("missed_weight needs sampled items beside what was missed: set `popular` or `uniform`")
        return self


class Ranking(Settings):
    """The second step."""

    model: str = Field("dcn", description="A registered ranking model.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="Settings of that model; see `twostep config explain`."
    )
    negatives: Negatives = Field(default=Negatives(), description="What it learns from beside the candidates.")
    earlier_windows: int = Field(
        0,
        ge=0,
        le=100,
        description="How many windows of train, each as long as eval and before it, lists to learn from are made of "
        "beside those of eval; each takes a retriever fitted on what came before it.",
    )
    max_queries: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="The maximum number of queries of a window, drawn at random, that lists to learn from are made of.",
    )


class Release(Settings):
    """Where releases go."""

    folder: str = Field("releases", description="Folder of the releases, below `run_folder`.")
    keep: int = Field(
        5,
        ge=1,
        le=10_000,
        description="How many releases stay when one is made, and those that were last in force; older ones are "
        "deleted, with the models pushed for them.",
    )
    signing_key: str | None = Field(
        None, description="File of an Ed25519 private key (PEM) that releases are signed with, from this file's folder."
    )
    trusted_keys: tuple[str, ...] = Field(
        (),
        description="Files of Ed25519 public keys (PEM), from this file's folder. Where there are any, only releases "
        "signed with one of these keys are loaded.",
    )

    @field_validator("folder")
    @classmethod
    def _one_name(cls, folder: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", folder):
            raise ValueError("should be the name of a folder, of letters, digits and `_.-`")
        return folder

    @model_validator(mode="after")
    def _own_are_trusted(self) -> "Release":
        if self.trusted_keys and self.signing_key is None:
            raise ValueError("`trusted_keys` needs a `signing_key`: else no release that a run makes could be loaded")
        return self


class Config(Settings):
    """A recommender."""

    name: str = Field(
        max_length=100, pattern=r"^[a-z0-9][a-z0-9-]*$", description="Lower-case letters, digits and dashes."
    )
    seed: int = Field(
        42, ge=0, lt=2**32, description="Of everything that is drawn; the same data and seed give the same models."
    )
    run_folder: str | None = Field(
        None,
        description="Folder of runs, from this file's folder. By default `runs/<name>` in the nearest folder above "
        "this file that holds `.git` or `runs`, else beside this file.",
    )
    data: Data = Field(description="The tables.")
    features: Features = Field(default_factory=Features, description="Which columns are features.")
    split: Split = Field(default=Split(), description="How events are divided.")
    retrieval: Retrieval = Field(default=Retrieval(), description="The first step.")
    ranking: Ranking = Field(default=Ranking(), description="The second step.")
    reranking: rerank_settings.Reranking = Field(
        default=rerank_settings.Reranking(), description="What is done to the ranker's order before it is served."
    )
    evaluation: Evaluation = Field(default=Evaluation(), description="What is measured and what must be reached.")
    drift: Drift = Field(
        default=Drift(), description="How far a delivery may be from that of the release in force, and what then."
    )
    release: Release = Field(default=Release(), description="Where releases go.")
    keep_runs: int = Field(
        5,
        ge=1,
        le=10_000,
        description="The number of latest complete runs whose artifacts stay in `run_folder`; older ones are deleted.",
    )
    _folder: Path | None = PrivateAttr(None)

    @property
    def folder(self) -> Path | None:
        """The folder of the file that this was loaded from; None where it was loaded from none."""
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
        _checked("retrieval.index.kind: ", needs.check_index, self.retrieval.model, self.retrieval.index.kind)
        ranking_registry.check(self.ranking.model, self.ranking.params)
        _checked("ranking.model: ", ranking_registry.check_needs, self.ranking.model, rated)
        _checked("features: ", feature_names.check, self.features)
        of_retriever = retrieval_registry.MODELS.signals(self.retrieval.model, self.retrieval.params)
        _checked("features: ", signals.check, self.features, of_retriever)
        _checked("reranking.", rerank_settings.check, self.reranking, self.features.item)
        self._check_slices()
        self._check_title()
        if self.data.users is None and self.features.user:
            raise ValueError(
                f"features.user: should be empty where `data.users` is null; found {sorted(self.features.user)}. "
                "Add the table of users, or remove these features"
            )
        self._check_exposed()
        if self.ranking.earlier_windows and not self.split.in_time:
            raise ValueError(
                f"ranking.earlier_windows: should be 0 with the split `{self.split.method}`, which knows no earlier"
            )
        column_names.check(self.data, self.features, self.split.column)
        column = self.split.column
        if column is not None and column in {
            *feature_names.RESERVED,
            *self.features.user,
            *self.features.item,
            self.data.title,
        }:
            raise ValueError(
                f"split.column: {column!r} is another column's name. Rename it in data.interactions.columns"
            )
        return self

    def _check_slices(self) -> None:
        columns = raw_columns(self.features.user) | raw_columns(self.features.item)
        several = {name for name in raw_columns(self.features.item) if not columns[name].numbers}  # such as genres
        sliceable = [name for name, raw in columns.items() if not raw.words and (raw.values is None or name in several)]
        unknown = sorted(set(self.evaluation.slices) - set(sliceable))
        if unknown:
            raise ValueError(
                f"evaluation.slices: {unknown} should be features of users with one value each, or features of items "
                f"with one value or categories; those are {sliceable}"
            )
        for rule in self.evaluation.conditions:
            column = (rule.slice or "").partition("=")[0]
            if column in self.features.item and not rule.metric.startswith("recall@"):
                raise ValueError(
                    f"evaluation.rules: of slices of items only recall is measured; found {rule.metric} of {rule.slice}"
                )

    def _check_exposed(self) -> None:
        if not self.ranking.negatives.exposed:
            return
        if self.data.exposures is None:
            raise ValueError(
                "ranking.negatives.exposed: needs the table of what users were shown. Add it as `data.exposures`, such "
                "as `exposures: {path: exposures.parquet}`, or set it to 0"
            )
        if not self.split.in_time:
            raise ValueError(
                f"ranking.negatives.exposed: should be 0 with the split `{self.split.method}`, which knows no later: "
                "what was shown and not chosen by then may be chosen in test"
            )

    def _check_title(self) -> None:
        title = self.data.title
        if title is None:
            return
        feature = self.features.item.get(title)
        raw = Raw() if feature is None else feature.raw
        one_text = raw is not None and raw.values is None and not raw.numbers
        if title in feature_names.RESERVED or title in self.features.user or not one_text:
            raise ValueError(f"data.title: should be a column of items that holds one text a row; found {title!r}")


def _checked(place: str, check: Callable[..., object], *arguments: Any) -> None:
    """Run a check of a part; what it raises begins with the place of that part."""
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
