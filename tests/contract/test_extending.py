"""A new retrieval model: its module and a registry entry. See `tests/unit/test_extending.py` for other extensions."""

from textwrap import dedent

import numpy as np
import pytest
import tensorflow as tf
import yaml

from core import names
from core.errors import UsageError
from pipeline import config
from pipeline.config import explain
from serving.saved_model import SavedModel
from trainer.registry import EVENTS, Entry
from trainer.retrieval.registry import MODELS
from trainer.tuning import space

SETTINGS = '''
"""The settings of the model `recency`."""

from pydantic import Field

from core.settings import Settings
from trainer.tuning.space import between


class RecencySettings(Settings):
    """The items with the latest events."""

    half_life_days: float = Field(
        30.0, gt=0, le=10_000, description="The days after which a score is halved.",
        json_schema_extra=between(1.0, 300.0, log=True),
    )
'''
MODEL = '''
"""Recency: the items with the latest events."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import numpy as np
import tensorflow as tf

from core import names
from trainer.retrieval.contract import RetrievalModel


class RecencyModel(RetrievalModel):
    """The recency of the last event of each item."""

    def __init__(self, data, settings, recency):
        super().__init__(data, settings)
        self.recency = tf.Variable(recency, trainable=False, dtype=tf.float32)

    def scores(self, query):
        return tf.tile(self.recency[tf.newaxis], [tf.shape(query[names.USER_ID])[0], 1])

    def item_scores(self, rows):
        return tf.tile(self.recency[tf.newaxis], [tf.shape(rows)[0], 1])


def fit(settings, data, seed):
    """Return the model of the last timestamp of each item."""
    last = np.zeros(data.n_items)
    np.maximum.at(last, data.items, data.timestamps)
    days = (data.timestamps.max() - last) / 86_400
    return RecencyModel(data, settings, np.exp2(-days / settings.half_life_days))
'''


@pytest.fixture
def entry(tmp_path, monkeypatch) -> Entry:
    """Return the registry entry of a model in a package outside the product."""
    package = tmp_path / "package_of_a_user"
    package.mkdir()
    for file, text in (("__init__", ""), ("settings", SETTINGS), ("model", MODEL)):
        (package / f"{file}.py").write_text(dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    from package_of_a_user.settings import RecencySettings

    return Entry("recency", "package_of_a_user.model:fit", RecencySettings, {EVENTS}, personalised=False)


def recommender(tmp_path, baselines=("popularity",), **retrieval):
    """Load a configuration with these settings of `retrieval`."""
    file = tmp_path / "recommender.yaml"
    evaluation = {"baselines": list(baselines)}
    file.write_text(
        yaml.safe_dump({"name": "x", "data": {"root": "."}, "retrieval": retrieval, "evaluation": evaluation})
    )
    return config.load(file)


def test_a_model_is_its_module_and_an_entry(world, tmp_path, monkeypatch, entry):
    with pytest.raises(UsageError, match=r"retrieval.*'recency'"):
        recommender(tmp_path, model="recency")
    monkeypatch.setitem(MODELS.entries, "recency", entry)

    # Loading a configuration checks the settings of the model without importing the model.
    chosen = recommender(tmp_path, ["recency"], model="recency", params={"half_life_days": 7}).retrieval
    assert MODELS.check(chosen.model, chosen.params).half_life_days == 7
    with pytest.raises(UsageError, match=r"retrieval\.params of recency: half_life: .*`half_life_days`"):
        recommender(tmp_path, model="recency", params={"half_life": 7})
    assert "half_life_days" in explain.explain("retrieval.params")
    assert set(space.resolve(entry.settings(), {})) == {"half_life_days"}

    # The model can be fitted, saved, loaded and called like every model, also as a member of a fusion.
    world.fit("retrieval", "recency").save(str(tmp_path / "model"))
    signatures = SavedModel(tmp_path / "model").signatures
    query = world.query(3)
    exclude = np.full((3, 1), "", object)
    answer = signatures["retrieve"](**query, **{names.EXCLUDE: exclude, names.K: np.int32(10)})
    train = world.parts[names.TRAIN]
    last = {}
    for item, time in zip(train[names.ITEM_ID].to_pylist(), train[names.TIMESTAMP].to_pylist(), strict=True):
        last[item] = max(time, last.get(item, 0))
    expected = sorted(last.values(), reverse=True)[:10]
    assert [[last[item] for item in row] for row in answer[names.ITEM_ID].astype("U")] == [expected] * 3
    fusion = {"models": {"recency": {}, "popularity": {}}}
    assert MODELS.learns_from("fusion", fusion) == {EVENTS}
    data = world.retrieval_data()
    fused = MODELS["fusion"].load()(MODELS.check("fusion", fusion), data, world.seed)
    assert "score_of_recency" in fused.signatures()["retrieve"].structured_outputs
    assert tf.saved_model.contains_saved_model(str(tmp_path / "model"))
