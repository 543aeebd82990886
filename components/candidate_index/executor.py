"""The executor of CandidateIndex: embeds the catalogue, builds the index and measures its recall."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from components.candidate_index import index
from components.candidate_index.settings import IndexSettings
from core import names, progress
from core.arrow import read_arrow
from core.files import write_json
from core.queries import Queries
from serving.candidate_source import SIGNATURES, CandidateSource
from serving.catalogue import Catalogue

SAMPLED_USERS = 500  # the number of users whose queries measure the recall


class Executor(base_executor.BaseExecutor):
    """See `components.candidate_index.component.CandidateIndex`."""

    def Do(self, input_dict, output_dict, exec_properties):  # noqa: N802 - TFX's name
        settings = IndexSettings.model_validate_json(exec_properties["settings"])
        features = settings.features
        events = Path(artifact_utils.get_single_uri(input_dict["examples"]))
        model = path_utils.serving_model_path(artifact_utils.get_single_uri(input_dict["model"]))
        output = Path(artifact_utils.get_single_uri(output_dict["candidate_index"]))
        output.mkdir(parents=True, exist_ok=True)

        catalogue = read_arrow(events / names.CATALOGUE_FILE)
        shutil.copyfile(events / names.CATALOGUE_FILE, output / names.CATALOGUE_FILE)
        items = Catalogue(catalogue, features.item)
        source = CandidateSource(model, None, items, features, (*SIGNATURES, "embed_candidate"))
        embeddings = index.embeddings_of(source, catalogue, features)
        index.build(settings.index.kind, embeddings, output)
        report: dict[str, Any] = {"kind": settings.index.kind, "items": len(items), "recall": None}
        if embeddings:
            source = CandidateSource(model, output, items, features)
            users = sample_users(events / names.USERS_FOLDER, SAMPLED_USERS, settings.seed)
            report["recall"] = index.recall(source, embeddings, users, index.DEPTH)
            index.check(report["recall"], settings.index.min_recall, settings.index.kind)
        progress.report(f"{len(items):,} items, recall {report['recall']}")
        write_json(output / names.REPORT_FILE, report)


def sample_users(folder: Path, count: int, seed: int) -> Queries:
    """Return queries of `count` random users after their last event, with no seen and no relevant items.

    Args:
      folder: the folder of users that EventJoiner writes.
      count: the number of users; all users if there are fewer.
      seed: the seed of the sample.
    """
    files = sorted(folder.glob("*.arrow"))
    # The seen items take most of the memory and are not needed here.
    tables = [read_arrow(path).drop_columns([names.HISTORY_TIME, names.EXCLUDE]) for path in files]
    ends = np.cumsum([table.num_rows for table in tables])
    rows = np.sort(np.random.default_rng(seed).permutation(int(ends[-1]))[:count])
    parts = np.split(rows, np.searchsorted(rows, ends[:-1]))
    starts = ends - [table.num_rows for table in tables]
    taken = [table.take(pa.array(part - start)) for table, part, start in zip(tables, parts, starts, strict=True)]
    users = pa.concat_tables(taken)
    nothing = pa.array([[]] * len(rows), pa.list_(pa.string()))
    history = users[names.HISTORY].combine_chunks()
    features = users.drop_columns([names.HISTORY])
    return Queries(
        features,
        np.zeros(len(rows), np.int64),
        history,
        nothing,
        np.zeros(len(rows) + 1, np.int64),
        np.zeros(0, np.int32),
    )
