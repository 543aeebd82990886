"""The data that every model is fitted on, tables with edge cases, joined and transformed; and the fitted models.

Nothing here imports TFX. A model is fitted on first use and shared by all tests of a session. The outputs of all models
in a process with TensorFlow and without the project's code are computed once for all tests.
"""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import functools
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from analysed import transformed

from components.event_joiner import join
from core import names, queries
from core.examples import files, read_examples, shard_path, write_examples
from core.files import read_json
from core.queries import Queries
from serving.candidates import candidate_table
from serving.catalogue import Catalogue
from serving.saved_model import SavedModel
from trainer import data as training
from trainer.ranking import run_fn as ranking
from trainer.ranking.contract import PER_CANDIDATE, RankingData
from trainer.ranking.registry import MODELS as RANKING
from trainer.registry import Registry
from trainer.retrieval import inference
from trainer.retrieval.contract import RetrievalData
from trainer.retrieval.registry import MODELS as RETRIEVAL
from transform import raw
from transform.arrow_types import feature_types
from transform.features import Features, raw_columns

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from odd_tables import COLD_ITEM, COLD_USER, tables

LISTED, SEED = 15, 7

FEATURES = Features.model_validate(
    {
        "user": {
            "Age": {"kind": "numeric", "buckets": 4},
            "gender": "categorical",
            "tags": {"kind": "multi_valued", "max_values": 2},
            "nothing": "categorical",  # missing everywhere
            "silence": "text",  # missing everywhere
            "about": {"kind": "text", "max_words": 3},
            "taste": {"kind": "embedding", "size": 2},
            "signed_up": "timestamp",
            "group": {"kind": "cross", "columns": ["gender", "Age"], "buckets": 5},
        },
        "item": {
            "genres": {"kind": "multi_valued", "max_values": 3},
            "brand": {"kind": "categorical", "min_count": 30, "oov_buckets": 2},
            "price": {"kind": "numeric", "log": True},
            "year": {"kind": "numeric", "buckets": 3},
            "story": {"kind": "text", "max_words": 7, "max_vocabulary": 7},
            "picture": {"kind": "embedding", "size": 3, "normalize": True},
            "niche": {"kind": "cross", "columns": ["genres", "brand"], "buckets": 50},
            "released": "timestamp",
            "shelf": {"kind": "first_letters:FirstLetters", "letters": 1},  # a kind defined in tests/data
        },
        "history_length": 5,
        "id_min_count": 2,
        "id_oov_buckets": 4,
    }
)


@dataclass
class World:
    """The data that the models are fitted on, and the fitted models by step and name.

    Args:
      folder: the folder that all files are written to.
      items: the catalogue.
      parts: split → joined events.
      transform_folder: the folder of the transform graph.
      events: the reader of events that the trainers use.
    """

    folder: Path
    items: pa.Table
    parts: dict[str, pa.Table]
    transform_folder: Path
    events: training.Events
    features: Features = FEATURES
    seed: int = SEED
    cold_user: str = COLD_USER
    cold_item: str = COLD_ITEM
    _fitted: dict[tuple[str, ...], Any] = field(default_factory=dict)

    @property
    def ids(self) -> pa.Array:
        return self.items[names.ITEM_ID].combine_chunks()

    @functools.cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self.items, self.features.item)

    def query_set(self, past: list[str], target: str, **changes: Any) -> Queries:
        """Return the queries of split `target`, with histories from the splits `past`."""
        known = pa.concat_tables([self.parts[split] for split in past])
        given = {"unit": "user", "exclude_seen": True, "history_length": FEATURES.history_length} | changes
        return queries.build(
            known,
            self.parts[target],
            self.ids,
            user_columns=[names.USER_ID, *raw_columns(FEATURES.user)],
            seed=SEED,
            **given,
        )

    def retrieval_data(self) -> RetrievalData:
        return self.events.data([names.TRAIN], self.query_set([names.TRAIN], names.EVAL))

    def fit(self, step: str, name: str, data: Any = None) -> Any:
        """Fit a model anew, with few epochs if it has epochs, and a time between events that the data has."""
        registry: Registry = {"retrieval": RETRIEVAL, "ranking": RANKING}[step]
        few = {"epochs": 8, "batch_size": 4, "learning_rate": 0.01}
        if step == "retrieval":
            few = {"epochs": 2, "seconds": 86_400}
        few = {key: value for key, value in few.items() if key in registry[name].settings.model_fields}
        if data is None:
            data = self.retrieval_data() if step == "retrieval" else self.ranking_data
        found = registry[name].load()(registry.check(name, few), data, SEED)
        return found if step == "retrieval" else found[0]

    def model(self, step: str, name: str) -> Any:
        """Return the fitted model in memory; it is fitted on the first call."""
        if (step, name) not in self._fitted:
            self._fitted[step, name] = self.fit(step, name)
        return self._fitted[step, name]

    def signatures(self, step: str, name: str) -> Any:
        """Return the signatures of the model in memory; they are traced on the first call."""
        if (step, name, "signatures") not in self._fitted:
            self._fitted[step, name, "signatures"] = self.model(step, name).signatures()
        return self._fitted[step, name, "signatures"]

    def saved(self, step: str, name: str) -> Path:
        """Return the folder of the model's SavedModel; it is saved on the first call."""
        folder = self.folder / "models" / step / name
        if not folder.exists():
            self.model(step, name).save(str(folder))
        return folder

    def loaded(self, step: str, name: str) -> SavedModel:
        """Return the SavedModel in the session in which the engine calls it; it is loaded on the first call."""
        if (step, name, "loaded") not in self._fitted:
            self._fitted[step, name, "loaded"] = SavedModel(self.saved(step, name))
        return self._fitted[step, name, "loaded"]

    def query(self, count: int = 6) -> dict[str, np.ndarray]:
        """Return the raw inputs of the first eval queries, without `exclude` and `k`."""
        arrays = inference.query_arrays(self.query_set([names.TRAIN], names.EVAL).take(np.arange(count)), FEATURES.user)
        return {name: _text(array) for name, array in arrays.items()}

    def odd_query(self) -> dict[str, np.ndarray]:
        """Return queries of unknown or cold users, with unknown items, empty or too long histories, or no features."""
        query = self.query(6)
        met = [["i3", "i5"], ["i1"], ["never", "i2", "heard of"], [], [f"i{row}" for row in range(12)], ["i4", "i4"]]
        query[names.USER_ID][:2] = ["nobody", COLD_USER]
        query[names.HISTORY] = raw.pad_strings(pa.array(met, pa.list_(pa.string())))
        query["Age"][5], query["gender"][5], query["tags"][5] = np.nan, "", ""
        query["gender"][4] = "a value nobody has"
        return query

    def item_inputs(self) -> dict[str, np.ndarray]:
        """Return the raw inputs of the whole catalogue."""
        columns = {name: _text(value.numpy()) for name, value in raw.from_table(self.items, FEATURES.item).items()}
        return {names.ITEM_ID: np.array(self.ids.to_pylist(), object), **columns}

    def retrieval_inputs(self) -> dict[str, dict[str, np.ndarray]]:
        """Return signature → inputs of retrieval models, which together cover the cases of all tests."""
        query, k = self.odd_query(), np.int32(12)
        exclude = np.array([["i7", "", "i9"]] * 6, object)
        return {
            "retrieve": {**query, names.EXCLUDE: exclude, names.K: k},
            "score": {
                **query,
                names.EXCLUDE: exclude,
                names.ITEM_ID: np.array([["i0", "i9", "unheard", ""]] * 6, object),
            },
            "similar": {names.ITEM_ID: np.array(["i0", "unheard", COLD_ITEM], object), names.K: k},
            "ask": query,
            "embed": self.item_inputs(),
            "embed_query": query,
            "embed_candidate": self.item_inputs(),
            # For models that predict ratings: all combinations of a known or unknown user and item.
            "predict": {
                names.USER_ID: np.array(["u1", "u1", "nobody", "nobody"], object),
                names.ITEM_ID: np.array(["i1", "unheard of", "i1", COLD_ITEM], object),
            },
        }

    def ranking_inputs(self) -> dict[str, dict[str, np.ndarray]]:
        """Return signature → inputs of ranking models: the candidate lists."""
        lists = self.lists[1]
        inputs = (
            names.USER_ID,
            names.QUERY_TIME,
            names.HISTORY,
            names.HISTORY_TIME,
            *raw_columns(FEATURES.user),
            names.ITEM_ID,
            *raw_columns(FEATURES.item),
            *PER_CANDIDATE,
        )
        [file] = files(str(self.folder / "lists"), names.TRAIN)
        examples = [record.numpy() for record in tf.data.TFRecordDataset(file, compression_type="GZIP")]
        return {
            "rank": {name: lists[name] for name in inputs},
            "rank_examples": {"examples": np.array(examples, object)},
            "pack": self.item_inputs(),
        }

    @functools.cached_property
    def lists(self) -> tuple[pa.Table, dict[str, np.ndarray]]:
        """Return candidate lists of eval, as an Arrow table and as raw arrays; some lists are padded."""
        query_set = self.query_set([names.TRAIN], names.EVAL)
        retrieve = self.signatures("retrieval", "item_knn")["retrieve"]
        found = inference.retrieve(retrieve, query_set, FEATURES.user, len(self.ids), LISTED)
        found.rows[::3, -4:], found.scores[::3, -4:] = -1, -np.inf
        table = candidate_table(query_set, found, self.catalogue)
        write_examples(table, shard_path(str(self.folder / "lists"), names.TRAIN, 0, 1))
        return table, ranking.read_lists(str(self.folder / "lists"), names.TRAIN, FEATURES)

    @functools.cached_property
    def ranking_data(self) -> RankingData:
        columns = ranking.transformed_lists(self.lists[1], FEATURES, self.events.transform)
        half = len(columns[names.LABEL]) // 2
        return RankingData(
            features=FEATURES,
            transform=self.events.transform,
            sizes=self.events.sizes,
            train={name: values[half:] for name, values in columns.items()},
            validation={name: values[:half] for name, values in columns.items()},
        )


def _text(value: np.ndarray) -> np.ndarray:
    """Decode an array of bytes to str, so that a test can compare and replace values; return other arrays unchanged."""
    return np.char.decode(value.astype("S"), "utf-8").astype(object) if value.dtype == object else value


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    folder = tmp_path_factory.mktemp("world")
    events, users, items = tables(SEED)
    cut = (int(np.quantile(events[names.TIMESTAMP], 0.7)), int(np.quantile(events[names.TIMESTAMP], 0.85)))
    joined = join.join(events, users, items, join.JoinSpec("temporal", 0.15, 0.15, cut))
    parts = {
        name: joined.table(joined.split == index) for index, name in enumerate((names.TRAIN, names.EVAL, names.TEST))
    }
    uri, transform_folder = transformed(tmp_path_factory, parts, users, items, FEATURES)
    keys = {names.USER_ID: pa.string(), names.ITEM_ID: pa.string()}
    whole = keys | feature_types(FEATURES.user | FEATURES.item)
    read = training.Events(str(uri), FEATURES, tft.TFTransformOutput(str(transform_folder)))
    return World(
        folder,
        items,
        {
            name: read_examples(str(uri), name, whole).append_column(names.TIMESTAMP, part[names.TIMESTAMP])
            for name, part in parts.items()
        },
        transform_folder,
        read,
    )


# ---- the same models in another process ----


@dataclass(frozen=True)
class Elsewhere:
    """The outputs of all models in a process with TensorFlow and without the project's code.

    Args:
      report: the report of `ask_elsewhere.py`: ops and errors of the models, and the modules that it imported.
      inputs_by_key: `step.model.signature` → the inputs.
      answers: the folder of the outputs.
    """

    report: dict[str, Any]
    inputs_by_key: dict[str, dict[str, np.ndarray]]
    answers: Path

    def answer(self, key: str) -> dict[str, np.ndarray]:
        assert "error" not in self.report["models"][key], self.report["models"][key]["error"]
        with np.load(self.answers / f"{key}.npz") as answer:
            return dict(answer)


@pytest.fixture(scope="session")
def elsewhere(world) -> Elsewhere:
    """Save all models, move the files, and call the models in a process that imports neither the project nor TFT."""
    root = world.folder / "process"
    for folder in ("inputs", "answers"):
        (root / folder).mkdir(parents=True)
    inputs_by_key = {}
    for step, registry in (("retrieval", RETRIEVAL), ("ranking", RANKING)):
        inputs = world.retrieval_inputs() if step == "retrieval" else world.ranking_inputs()
        for name in registry.entries:
            shutil.copytree(world.saved(step, name), root / "models" / step / name)
            served = world.loaded(step, name).signatures
            inputs_by_key |= {f"{step}.{name}.{key}": given for key, given in inputs.items() if key in served}
    for key, given in inputs_by_key.items():
        np.savez(root / "inputs" / f"{key}.npz", **given)
    script = Path(__file__).with_name("ask_elsewhere.py")
    # -I ignores PYTHONPATH and other environment variables of Python, so the project's code cannot be imported.
    command = [sys.executable, "-I", str(script), str(root)]
    environment = {"PATH": os.environ["PATH"], "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, env=environment, cwd=root, timeout=300)
    return Elsewhere(read_json(root / "report.json"), inputs_by_key, root / "answers")
