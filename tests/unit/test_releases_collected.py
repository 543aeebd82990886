"""The deletion of old releases and of the models pushed for them, without deleting files that are still needed."""

import os
from pathlib import Path

import pytest
from facts import facts

from core import files, locks
from core.errors import ReleaseError, UsageError
from core.release import pushed, reader, writer


def names_of(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


# ---- the releases that are kept ----


def test_the_newest_stay(store, publish):
    made = [publish(str(number), number) for number in range(6)]
    assert names_of(writer.collect(store, 4)) == made[:2]
    assert reader.versions(store) == made[:1:-1]
    assert reader.history(store) == made[2:-1]
    assert sorted(path.name for path in store.iterdir()) == [".lock", *made[2:], "current", "history"]
    assert writer.collect(store, 4) == []
    for version in made[2:]:
        reader.verify(store, version)


def test_what_is_or_was_in_force_stays_however_old(store, publish):
    made = [publish(str(number), number) for number in range(6)]
    writer.rollback(store, made[1])
    writer.rollback(store, made[0])
    assert names_of(writer.collect(store, 1)) == made[2:5]  # made[5] is the newest
    assert reader.current(store) == made[0]
    assert writer.rollback(store) == made[1]
    assert writer.rollback(store) == made[0]
    writer.rollback(store, made[5])
    assert writer.collect(store, 3) == []


def test_even_one_release_has_another_to_go_back_to(store, publish):
    made = [publish(str(number), number) for number in range(4)]
    assert names_of(writer.collect(store, 1)) == made[:2]
    assert writer.rollback(store) == made[2]


def test_a_release_that_is_being_read_stays_until_it_is_not(store, publish):
    made = [publish(str(number), number) for number in range(4)]
    with reader.reading(store, made[0]) as folder:
        assert names_of(writer.collect(store, 2)) == made[1:2]
        assert (folder / "retrieval/saved_model.pb").read_text() == "0"
    assert names_of(writer.collect(store, 2)) == made[:1]


def test_a_reader_that_comes_too_late_gets_an_error_or_the_new_release(store, publish, monkeypatch):
    made = [publish(str(number), number) for number in range(3)]
    opened = os.open
    late = []

    def delayed(path, *arguments, **keywords):
        """Publish two releases, delete the one that the reader looked up, and only then lock it."""
        if Path(path).name == made[2] and not late:
            late.append(path)
            for number in (3, 4):
                publish(str(number), number)
            writer.collect(store, 1)
        return opened(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", delayed)
    assert reader.resolve(store).name == reader.current(store) != made[2]
    assert late
    with pytest.raises(ReleaseError, match=f"no release {made[2]}"):
        reader.resolve(store, made[2])


def test_a_folder_that_was_replaced_while_it_was_locked_is_not_taken_for_it(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: (folder.rename(tmp_path / "old"), folder.mkdir()))
    with pytest.raises(FileNotFoundError), locks.shared(folder):
        pass


def test_a_reader_needs_no_locks_from_its_file_system(store, publish, monkeypatch):
    version = publish("one", 0)

    def refuse(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    assert reader.resolve(store) == store / version


def test_a_dry_run_deletes_nothing(store, publish, push):
    made = [publish(str(number), number, served=push(number * 10)) for number in range(4)]
    said = writer.collect(store, 2, store.parent / "serving", dry_run=True)
    assert reader.versions(store) == made[::-1]
    assert all(path.is_dir() for path in said)
    assert writer.collect(store, 2, store.parent / "serving") == said
    assert not any(path.exists() for path in said)


def test_nothing_is_deleted_where_the_current_release_is_not_whole(store, publish):
    made = [publish(str(number), number) for number in range(5)]
    (store / made[4] / "evaluation.json").write_text("damaged")
    with pytest.raises(ReleaseError, match=facts(f"evaluation.json … damaged … {made[3]}")):
        writer.collect(store, 1)
    (store / "current").unlink()
    with pytest.raises(ReleaseError, match="in force"):
        writer.collect(store, 1)
    assert reader.versions(store) == made[::-1]


def test_wrong_use_is_an_error(store, publish):
    with pytest.raises(ReleaseError, match=facts(f"{store} … twostep run")):
        writer.collect(store, 1)
    publish("one", 0)
    with pytest.raises(UsageError, match=facts("1 … found 0")):
        writer.collect(store, 0)


def test_what_is_no_release_is_left_alone_and_what_was_left_half_there_goes(store, publish):
    made = [publish(str(number), number) for number in range(3)]
    kept = [store / "20240101T000000Z-00000000", store / "notes"]  # folders without a manifest are not releases
    for folder in kept:
        folder.mkdir()
    elsewhere = store.parent / "elsewhere"
    (store / made[0]).rename(elsewhere)
    (store / made[0]).symlink_to(elsewhere)
    (store / f".{made[1]}.partial").mkdir()
    writer.collect(store, 1)
    assert all(folder.is_dir() for folder in [*kept, store / made[0], elsewhere / "retrieval"])
    assert not (store / f".{made[1]}.partial").exists()


# ---- the models that were pushed for them ----


def pushed_numbers(store: Path) -> dict[str, list[str]]:
    return {
        step: sorted(path.name for path in (store.parent / "serving" / step).iterdir())
        for step in (reader.RETRIEVAL, reader.RANKING)
    }


def test_pushed_models_go_with_the_last_release_that_names_them(store, publish, push):
    shared = push(10)
    publish("0", 0, served=shared)
    publish("1", 1, served=shared)
    push(20)  # pushed by a run that was killed before it made a release
    for minute, number in enumerate((30, 40), start=2):
        publish(str(number), minute, served=push(number))
    on_its_way = push(50)
    serving = store.parent / "serving"
    gone = writer.collect(store, 3, serving)
    assert names_of(gone[1:]) == ["20", "21"]
    assert pushed_numbers(store) == {"retrieval": ["10", "30", "40", "50"], "ranking": ["11", "31", "41", "51"]}
    writer.collect(store, 2, serving)
    publish("50", 9, served=on_its_way)
    (serving / "retrieval/.7.partial").mkdir()  # left by a killed deletion
    (serving / "retrieval/notes").mkdir()
    writer.collect(store, 1, serving)
    assert pushed_numbers(store) == {"retrieval": ["40", "50", "notes"], "ranking": ["41", "51"]}


def test_pushed_models_stay_where_a_release_does_not_say_which_are_its_own(store, publish, push):
    publish("0", 0, served=push(10))
    push(20)
    version = publish("1", 1, served=push(30))
    manifest = store / version / "manifest.json"
    before = manifest.read_text()
    publish("2", 2, served=push(40))
    manifest.write_text("{")
    assert writer.collect(store, 3, store.parent / "serving") == []
    manifest.write_text(before)
    publish("3", 3)
    assert writer.collect(store, 4, store.parent / "serving") == []
    assert "20" in pushed_numbers(store)["retrieval"]


def pair_in_force(store: Path) -> list[str]:
    """Return the versions of the retrieval and the ranking model in the configuration of TensorFlow Serving."""
    text = (store / pushed.CONFIG_FILE).read_text()
    return [line.split("versions: ")[1].split()[0] for line in text.splitlines() if "versions" in line]


def test_the_configuration_of_tensorflow_serving_names_the_current_models(store, publish, push):
    one = publish("one", 0, served=push(10))
    assert reader.manifest(store)["served"] == {
        "retrieval": "../serving/retrieval/10",
        "ranking": "../serving/ranking/11",
    }
    assert pair_in_force(store) == ["10", "11"]
    publish("two", 1, served=push(20))
    assert pair_in_force(store) == ["20", "21"]
    writer.rollback(store)
    assert pair_in_force(store) == ["10", "11"]
    (store / pushed.CONFIG_FILE).unlink()  # as if the process was killed after it put the release in force
    writer.rollback(store, one)
    assert pair_in_force(store) == ["10", "11"]


def test_a_pushed_model_that_is_gone_is_put_back_when_its_release_comes_into_force(store, publish, push):
    pair = push(10)
    one = publish("one", 0, served=pair)
    publish("two", 1, served=push(20))
    publish("three", 2, served=push(30))
    writer.collect(store, 1, store.parent / "serving")
    assert not pair["retrieval"].exists()
    assert not (store / one).exists()
    publish("one", 3, served=pair)  # the Pushers come from the cache, so the models pushed earlier are served
    assert files.folder_digests(pair["retrieval"]) == files.folder_digests(store / reader.current(store) / "retrieval")
    assert pair_in_force(store) == ["10", "11"]


def test_without_the_folders_of_the_pushers_there_is_no_configuration(store, publish, tmp_path):
    publish("one", 0)
    publish("two", 1, served={step: tmp_path / "nowhere" / step / "1" for step in pushed.STEPS})
    assert not (store / pushed.CONFIG_FILE).exists()
    assert not (tmp_path / "nowhere").exists()
