"""The YAML that a configuration file may contain: plain values of bounded size, and unique keys."""

import os
import time

import pytest
from facts import facts

from core.errors import UsageError
from pipeline import config
from pipeline.config import yaml_file

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGE_BOMB = "k0: &k0 {a: 1}\n" + "".join(
    f"k{n}: &k{n}\n  l: {{<<: *k{n - 1}}}\n  r: {{<<: *k{n - 1}}}\n" for n in range(1, 60)
)


def load(tmp_path, text: str | bytes):
    file = tmp_path / "recommender.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return config.load(file)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        pytest.param(BOMB, ("line ", "aliases", "10,000"), id="alias bomb"),
        pytest.param(MERGE_BOMB, ("line ", "aliases"), id="merge bomb"),
        pytest.param("a: &a [*a]\n", ("line 1", "alias of itself"), id="recursive alias"),
        pytest.param("a: " + "[" * 60 + "]" * 60, ("line 1", "50 levels"), id="nested lists"),
        pytest.param("[" * 100_000, ("line 1", "50 levels"), id="very deeply nested"),
        pytest.param("a: [" + "1, " * 20_000 + "1]", ("line 1", "10,000"), id="many values"),
        pytest.param("a: " + "x" * 1_000_001, ("1,000,000 bytes", "1,000,004"), id="large file"),
        pytest.param("name: x\nseed: 1\nname: y\n", ("line 3", "`name`", "twice", "line 1"), id="key twice"),
        pytest.param("data:\n  root: a\n  'root': b\n", ("line 3", "`root`", "line 2"), id="nested key twice"),
        pytest.param("1: x\n", ("line 1", "key", "found 1"), id="numeric key"),
        pytest.param("features: {user: {on: numeric}}\n", ("line 1", "key", "found on"), id="boolean key"),
        pytest.param("? [a]\n: 1\n", ("line 1", "key", "sequence"), id="list as a key"),
        pytest.param("name: 2026-01-01\n", ("line 1", "date", "'2026-01-01'"), id="date"),
        pytest.param("name: 2026-13-99\n", ("line 1", "date"), id="no date of any year"),
        pytest.param("data: {separator: =}\n", ("line 1", "quotes"), id="value sign"),
        pytest.param("a: !!python/object/apply:os.system [ls]\n", ("line 1", "!!python/object"), id="python tag"),
        pytest.param("a: !!binary aGk=\n", ("line 1", "!!binary"), id="binary tag"),
        pytest.param("a: !mine x\n", ("line 1", "!mine"), id="a tag of one's own"),
        pytest.param("a:\n\tb: 1\n", ("line 2", "YAML", "spaces"), id="tab"),
        pytest.param("a: [1\n", ("line 2", "YAML"), id="open list"),
        pytest.param("a: 1\n---\nb: 1\n", ("line 2", "YAML"), id="two documents"),
        pytest.param("a: *b\n", ("line 1", "YAML", "'b'"), id="alias without anchor"),
        pytest.param('name: "a\\0b"\n', ("line 1", "NUL"), id="NUL in text"),
        pytest.param('name: "\\ud800"\n', ("line 1", "surrogate"), id="lone surrogate"),
        pytest.param("a: \0", ("YAML",), id="NUL byte"),
        pytest.param("seed: " + "9" * 5000 + "\n", ("read",), id="endless number"),
        pytest.param(b"\x7fELF\xff\xfe\x00", ("UTF-8",), id="binary file"),
        pytest.param("", ("mapping",), id="empty"),
        pytest.param("# nothing\n", ("mapping",), id="comment alone"),
    ],
)
def test_yaml_that_is_no_configuration_is_refused_at_once(tmp_path, text, parts):
    began = time.monotonic()
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/recommender.yaml: ")
    assert all(part in message for part in parts), message
    assert len(message) < 400


def test_a_pipe_and_a_folder_are_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", tmp_path):
        with pytest.raises(UsageError, match=facts(f"{path}: … read")):
            config.load(path)


def test_a_path_that_no_file_can_have_is_refused(tmp_path):
    for name in ("a\0b.yaml", "x" * 5000):
        with pytest.raises(UsageError, match="read"):
            config.load(tmp_path / name)


def test_anchors_aliases_and_merges_of_usual_size_are_read(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text("a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, x: 2}\n")
    assert yaml_file.read(file) == {
        "a": {"x": 1, "y": [1, 2]},
        "b": {"x": 1, "y": [1, 2]},
        "c": {"x": 2, "y": [1, 2]},
    }
