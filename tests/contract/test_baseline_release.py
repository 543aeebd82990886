"""The release in force as a baseline: when it is comparable, and its lists over another catalogue."""

import json

import numpy as np
import pyarrow as pa
import pytest

from components.candidate_index import index
from components.recommender_evaluator import baseline_release
from components.recommender_evaluator.baseline_release import NotComparableError
from core import names
from core.arrow import write_arrow
from core.names import EVAL, TRAIN
from core.release import reader, signing, writer
from serving.catalogue import Catalogue
from serving.settings import ServingSettings
from transform.features import Features

SPLIT = {"method": "temporal", "test": 0.1}


@pytest.fixture(scope="module")
def release(world, tmp_path_factory):
    """Return the folder of a release of fitted models over the whole catalogue."""
    folder = tmp_path_factory.mktemp("release")
    for name in ("index", "users", "statistics"):
        (folder / name).mkdir()
    index.build("exact", {}, folder / "index")
    write_arrow(
        world.items.append_column(names.EVENT_COUNT, pa.array([1] * len(world.ids))), folder / "catalogue.arrow"
    )
    (folder / "evaluation.json").write_text("{}")
    settings = ServingSettings(name="x", features=world.features, candidates=15, exclude_seen=True)
    parts = {
        reader.RETRIEVAL: world.saved("retrieval", "item_knn"),
        reader.INDEX: folder / "index",
        reader.RANKING: world.saved("ranking", "logistic"),
        names.USERS_FOLDER: folder / "users",
        reader.STATISTICS: folder / "statistics",
        names.CATALOGUE_FILE: folder / "catalogue.arrow",
        names.EVALUATION_FILE: folder / "evaluation.json",
    }
    facts = {"serving": settings.model_dump(mode="json"), "split": SPLIT}
    version = writer.publish(folder / "releases", parts, facts)
    return folder / "releases" / version


def test_it_answers_as_it_is_served(world, release):
    query_set = world.query_set([TRAIN], EVAL)
    with baseline_release.opened(release.parent, release.name, SPLIT, world.features, ()) as engine:
        rows = baseline_release.recommend(engine, query_set, 10, world.catalogue)
        np.testing.assert_array_equal(rows, engine.recommend(query_set, 10)[0])
        first = baseline_release.retrieve(engine, query_set, 10, world.catalogue)
        np.testing.assert_array_equal(first, engine.retriever.retrieve(query_set, 10).rows)
    assert (rows >= 0).all()


def test_over_a_later_catalogue_its_items_keep_their_identity_and_gone_ones_are_left_out(world, release):
    query_set = world.query_set([TRAIN], EVAL)
    with baseline_release.opened(release.parent, release.name, SPLIT, world.features, ()) as engine:
        before = engine.recommend(query_set, 10)[0]
        gone = before[0, 0]
        order = np.array([row for row in reversed(range(len(world.ids))) if row != gone])
        later = Catalogue(world.items.take(pa.array(order)), world.features.item)
        rows = baseline_release.recommend(engine, query_set, 10, later)
    for now, then in zip(rows, before, strict=True):
        left = [world.catalogue.ids[row] for row in then if row != gone]
        assert [later.ids[row] for row in now if row >= 0] == left
        assert (now[len(left) :] == -1).all()


@pytest.mark.parametrize("split", [SPLIT | {"test": 0.2}, {"method": "leave_one_out"}])
def test_another_split_is_refused_and_both_are_named(world, release, split):
    with (
        pytest.raises(NotComparableError) as caught,
        baseline_release.opened(release.parent, release.name, split, world.features, ()),
    ):
        pass
    for part in (release.name, "method temporal, test 0.1", f"method {split['method']}"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("before", "now", "comparable"), [(100, 100, True), (100, 101, True), (100, 99, False), (None, 99, False)]
)
def test_data_that_begins_earlier_may_hold_test_events_that_the_release_knows(before, now, comparable):
    begins = {} if before is None else {"begins": before}
    check = baseline_release._check_split
    if comparable:
        check("v", SPLIT | begins, SPLIT | {"begins": now})
    else:
        with pytest.raises(NotComparableError, match="later data"):
            check("v", SPLIT | begins, SPLIT | {"begins": now})


@pytest.mark.parametrize("kind", ["categorical", {"kind": "multi_valued"}, None])
def test_a_user_feature_that_is_gone_or_of_another_kind_is_named(world, release, kind):
    changed = {name: each.model_dump() for name, each in world.features.user.items() if name not in ("Age", "group")}
    changed |= {} if kind is None else {"Age": kind}
    features = Features.model_validate(world.features.model_dump() | {"user": changed})
    opened = baseline_release.opened(release.parent, release.name, SPLIT, features, ())
    with pytest.raises(NotComparableError, match="Age"), opened:
        pass


def test_a_release_that_is_unsigned_or_damaged_is_not_comparable(world, release, tmp_path):
    _, public = signing.make_keys(tmp_path)
    opened = baseline_release.opened(release.parent, release.name, SPLIT, world.features, [public])
    with pytest.raises(NotComparableError, match="signed"), opened:
        pass
    file = release / names.EVALUATION_FILE
    file.write_text(json.dumps({"changed": True}))
    opened = baseline_release.opened(release.parent, release.name, SPLIT, world.features, ())
    try:
        with pytest.raises(NotComparableError, match=r"evaluation\.json.*damaged"), opened:
            pass
    finally:
        file.write_text("{}")
