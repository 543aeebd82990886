"""A recommender without a table of users, whose users are those of the interactions."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from facts import lacking

from core import names
from core.arrow import read_arrow
from core.errors import DataError
from core.examples import read_examples
from core.files import read_json


@pytest.fixture
def joined(tmp_path):
    """Run the nodes up to EventJoiner; return its output folder and the nodes."""

    def run(interactions, **settings):
        from tfx import v1 as tfx
        from tfx.orchestration import metadata

        from pipeline import config
        from pipeline.config import paths
        from pipeline.dag import nodes, wiring

        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        pq.write_table(pa.table(interactions), folder / "interactions.parquet")
        pq.write_table(pa.table({"item_id": ["x", "y", "z"], "kind": ["a", "b", "a"]}), folder / "items.parquet")
        file = tmp_path / "shop.yaml"
        values = {
            "name": "shop",
            "run_folder": str(tmp_path / "runs"),
            "data": {"root": "data", "users": None, "interactions": {"path": "interactions.parquet", **settings}},
            "features": {"item": {"kind": "categorical"}},
            "split": {"method": "temporal", "eval": 0.25, "test": 0.25},
        }
        file.write_text(yaml.safe_dump(values))
        loaded = config.load(file)
        made = nodes.joined_nodes(loaded, wiring.local_places(loaded, file)).nodes[:-1]
        tfx.orchestration.LocalDagRunner().run(wiring.local_pipeline(loaded, made))
        connection = paths.metadata_database(loaded).message()
        with metadata.Metadata(connection) as handle:
            newest = max(handle.store.get_artifacts_by_type("Examples"), key=lambda artifact: artifact.id)
        return newest.uri, [node.id for node in made]

    return run


def events(users, items):
    return {"user_id": users, "item_id": items, "timestamp": list(range(100, 100 + len(users)))}


def test_users_are_those_of_the_interactions(joined, tmp_path):
    uri, nodes = joined(events([*"abcabcab"], [*"xyzxyzyx"]))
    assert not [node for node in nodes if node.startswith("User")]
    states = [read_arrow(path) for path in sorted((tmp_path / uri / names.USERS_FOLDER).glob("*.arrow"))]
    users = pa.concat_tables(states)
    assert sorted(users[names.USER_ID].to_pylist()) == ["a", "b", "c"]
    found = dict(zip(users[names.USER_ID].to_pylist(), users[names.HISTORY].to_pylist(), strict=True))
    assert found["c"] == ["z", "z"]
    train = read_examples(uri, names.TRAIN, {"user_id": pa.string(), "item_id": pa.string(), "kind": pa.string()})
    assert train.num_rows == 4
    assert set(train["user_id"].to_pylist()) == {"a", "b", "c"}


def test_a_share_of_events_of_unknown_items_stops_the_run(joined, tmp_path):
    table = events([*"abcabcabca"], [*"xyzxyzyxy", "none"])
    with pytest.raises(DataError) as caught:
        joined(table, on_unknown="drop", max_dropped=0.09)
    assert lacking(str(caught.value), "1 of 10 rows … 10.00% … 1 unknown_item") == []
    uri, _ = joined(table, on_unknown="drop", max_dropped=0.1)
    assert read_json(tmp_path / uri / names.REPORT_FILE)["dropped"] == {"unknown_item": 1}
