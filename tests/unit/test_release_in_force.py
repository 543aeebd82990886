"""The choice of the release to compare with, on a folder of releases."""

from datetime import UTC, datetime, timedelta

import pytest

from components.release_in_force.choice import chosen
from core import files, names
from core.release import reader, writer
from core.release.store import open_store


class Releases:
    """A folder of releases; the content of a model or of statistics is a word."""

    def __init__(self, folder):
        self.folder, self.count = folder / "releases", 0
        self.parts = folder / "parts"

    def publish(self, retrieval, ranking, delivery="1"):
        made = self.parts / str(self.count)
        contents = {f"{reader.RETRIEVAL}/model": retrieval, f"{reader.RANKING}/model": ranking}
        contents |= {f"{reader.STATISTICS}/{table}/{names.STATISTICS_FILE}": delivery for table in ("items", "users")}
        contents |= {f"{part}/file": "content" for part in (reader.INDEX, names.USERS_FOLDER)}
        contents |= {file: str(self.count) for file in reader.FILES}
        for name, content in contents.items():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            (made / name).write_text(content)
        self.count += 1
        parts = {name: made / name for name in (*reader.FOLDERS, *reader.FILES)}
        noon = datetime(2025, 1, 31, 12, tzinfo=UTC) + timedelta(minutes=self.count)
        return writer.publish(self.folder, parts, {}, created=noon)

    def chosen(self, retrieval=None, ranking=None, **deliveries):
        own = {reader.RETRIEVAL: retrieval, reader.RANKING: ranking}
        own = {part: {"model": self._digest(content)} for part, content in own.items() if content is not None}
        own |= {
            f"{reader.STATISTICS}/{table}": {names.STATISTICS_FILE: self._digest(content)}
            for table, content in deliveries.items()
        }
        return chosen(open_store(self.folder), own)

    def _digest(self, content):
        file = self.parts.parent / "content"
        file.write_text(content)
        return files.sha256(file)


@pytest.fixture
def releases(tmp_path):
    return Releases(tmp_path)


def test_a_first_run_has_nothing_to_compare_with(releases):
    assert releases.chosen("r1", "k1") is None


def test_the_models_of_this_run_are_not_compared_with_themselves(releases):
    releases.publish("r1", "k1")
    assert releases.chosen("r1", "k1") is None


def test_a_model_with_one_more_file_is_another_model(releases):
    version = releases.publish("r1", "k1")
    own = {reader.RETRIEVAL: {"model": releases._digest("r1"), "more": releases._digest("")}}
    assert chosen(open_store(releases.folder), own) == version


def test_the_release_in_force_is_found_and_for_its_own_models_the_one_before(releases):
    versions = [releases.publish(f"r{number}", f"k{number}") for number in range(3)]
    assert releases.chosen("r3", "k3") == versions[2]
    assert releases.chosen("r2", "k2") == versions[1]


def test_a_release_that_was_rolled_back_is_no_baseline(releases):
    versions = [releases.publish(f"r{number}", f"k{number}") for number in range(3)]
    writer.rollback(releases.folder, versions[0])
    assert releases.chosen("r3", "k3") == versions[0]


def test_a_run_of_the_rolled_back_models_is_compared_as_it_was_before(releases):
    version = releases.publish("r1", "k1")
    releases.publish("r2", "k2")
    assert releases.chosen("r2", "k2") == version
    writer.rollback(releases.folder)
    assert releases.chosen("r2", "k2") == version  # as before, so that its evaluators come from the cache


def test_after_a_rollback_the_models_in_force_are_not_compared_with_those_rolled_back(releases):
    releases.publish("r1", "k1")
    releases.publish("r2", "k2")
    writer.rollback(releases.folder)
    assert releases.chosen("r1", "k1") is None


def test_a_new_ranker_over_the_same_retriever_is_compared_with_the_old_pair(releases):
    version = releases.publish("r", "old")
    assert releases.chosen("r", "new") == version
    # The retriever is that of the release in force, so RetrievalEvaluator has no release to compare with.
    assert releases.chosen("r") is None


def test_a_delivery_is_compared_with_the_release_in_force_of_another_one(releases):
    old = releases.publish("r1", "k1", delivery="1")
    new = releases.publish("r2", "k2", delivery="2")
    assert releases.chosen(items="2", users="2") == old  # so that a repeated run comes from the cache
    assert releases.chosen(items="1", users="1") == new
    assert releases.chosen(items="3", users="2") == new
    assert releases.chosen(items="2", users="2", interactions="2") == new


def test_a_damaged_folder_of_releases_leaves_nothing_to_compare_with(releases):
    releases.publish("r1", "k1")
    (releases.folder / reader.CURRENT).write_text("nonsense")
    assert releases.chosen("r2", "k2") is None


def test_a_damaged_release_in_force_is_chosen_so_that_its_error_is_reported(releases):
    version = releases.publish("r1", "k1")
    (releases.folder / version / names.MANIFEST_FILE).write_text("nonsense")
    assert releases.chosen("r2", "k2") == version
