"""The script that builds the engines of the tests: a missing Go, a failed build, a kept one, Redis, and Java."""

from pathlib import Path

import pytest
from facts import facts
from object_servers import engines


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return engines()


def install(file: Path, script: str) -> None:
    """Write a program of the shell."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def install_go(tmp_path: Path, script: str) -> None:
    """Write a program `go` to the only folder on the path."""
    install(tmp_path / "bin" / "go", script)


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


def test_without_redis_the_error_says_what_to_install(script):
    with pytest.raises(script.EngineError, match=facts("redis-server … apt-get install redis-server … make test-eng")):
        script.redis()


# ---- Java ----

JAVA_17 = "echo 'openjdk version \"17.0.1\"' >&2"


def install_apt(tmp_path: Path, unpacked: str) -> None:
    """Write the programs that fetch and unpack a package; `unpacked` is a script that makes its files in the folder."""
    for name in ("sh", "mkdir", "chmod", "ln"):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    install(tmp_path / "bin" / "apt-get", f'echo "$*" >> {tmp_path}/calls; echo > java.deb')
    install(tmp_path / "bin" / "dpkg-deb", f'mkdir -p "$3" && cd "$3" && {unpacked}')


def test_the_java_of_this_machine_is_taken_if_it_is_new_enough(script, tmp_path, monkeypatch):
    home = tmp_path / "lib" / "java-17"
    install(home / "bin" / "java", JAVA_17)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").symlink_to(home / "bin" / "java")
    assert script.java() == home
    install(home / "bin" / "java", "echo 'openjdk version \"11.0.1\"' >&2")
    with pytest.raises(script.EngineError, match=facts("java: found none, and no apt … Install Java 17")):
        script.java()
    install(home / "bin" / "java", JAVA_17 + "; exit 1")  # without the module
    with pytest.raises(script.EngineError):
        script.java()
    install(tmp_path / "other" / "bin" / "java", JAVA_17)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "other"))
    assert script.java() == tmp_path / "other"


def test_java_is_fetched_once_with_links_to_its_own_files(script, tmp_path):
    files = "mkdir -p usr/lib/jvm/java-17/bin etc/java-17/security && echo > etc/java-17/security/policy"
    links = "ln -s /etc/java-17/security usr/lib/jvm/java-17/conf && ln -s /nowhere usr/lib/jvm/java-17/certificates"
    program = "usr/lib/jvm/java-17/bin/java"
    made = f"echo '#!/bin/sh' > {program} && echo \"{JAVA_17.replace(chr(34), chr(92) + chr(34))}\" >> {program}"
    install_apt(tmp_path, f"{files} && {links} && {made} && chmod +x {program}")
    for _ in range(2):
        home = script.java()
    assert home == script.folder() / script.JAVA_PACKAGE / "usr" / "lib" / "jvm" / "java-17"
    assert (home / "conf" / "policy").is_file()
    assert (home / "certificates").is_symlink()
    assert (tmp_path / "calls").read_text().count(f"download {script.JAVA_PACKAGE}\n") == 1
    assert [path.name for path in script.folder().iterdir()] == [script.JAVA_PACKAGE]


def test_a_package_that_cannot_be_fetched_shows_what_to_do_and_leaves_nothing(script, tmp_path):
    install_apt(tmp_path, "true")
    install(tmp_path / "bin" / "apt-get", "echo no such package >&2; exit 100")
    with pytest.raises(script.EngineError, match=facts("ended with 100 … apt-get update … no such package")):
        script.java()
    assert list(script.folder().iterdir()) == []
