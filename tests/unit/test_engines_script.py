"""The script that builds the servers of tests/engines: a missing Go, a failed build, and a build that is kept."""

from pathlib import Path

import pytest
from facts import facts
from object_servers import engines


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return engines()


def install_go(tmp_path: Path, script: str) -> None:
    """Write a program `go`, of the shell, to the only folder on the path."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    go = tmp_path / "bin" / "go"
    go.write_text(f"#!/bin/sh\n{script}\n")
    go.chmod(0o755)


def test_without_go_the_error_says_what_to_install(script):
    with pytest.raises(script.EngineError, match=facts("versitygw … Install Go … make test-engines")):
        script.built("versitygw")
    assert script.main() == 1


def test_a_failed_build_shows_its_last_lines_and_leaves_nothing(script, tmp_path):
    install_go(tmp_path, "echo no such module >&2; exit 3")
    with pytest.raises(script.EngineError, match=facts("ended with 3 … no such module … GOPROXY")):
        script.built("fake-gcs-server")
    assert list(script.folder().iterdir()) == []


def test_an_engine_is_built_once_at_its_version(script, tmp_path):
    install_go(tmp_path, f'echo "$*" >> {tmp_path}/calls; echo program > "$GOBIN/versitygw"')
    for _ in range(2):
        assert script.built("versitygw") == script.program("versitygw")
        assert script.program("versitygw").read_text() == "program\n"
    package, version = script.ENGINES["versitygw"]
    assert (tmp_path / "calls").read_text() == f"install {package}@{version}\n"
    assert [path.name for path in script.folder().iterdir()] == [f"versitygw-{version}"]
