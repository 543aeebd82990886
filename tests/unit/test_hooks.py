"""The git hook of `make hooks`, which lints the staged content and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BAD, GOOD = "import os\n", "VALUE = 1\n"


@pytest.fixture
def repository(root, tmp_path, monkeypatch):
    """Return a git repository with the hook, the settings of ruff and a `.venv` with ruff."""
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "--quiet")
    shutil.copyfile(root / "pyproject.toml", tmp_path / "pyproject.toml")
    git(tmp_path, "add", "pyproject.toml")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "ruff").symlink_to(Path(sys.executable).parent / "ruff")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


def stage(folder: Path, text: str) -> None:
    (folder / "module.py").write_text(text)
    git(folder, "add", "module.py")


def hook(root: Path, folder: Path) -> subprocess.CompletedProcess:
    script = root / "scripts" / "pre-commit"
    return subprocess.run([str(script)], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_staged_content_counts_and_not_that_of_the_working_tree(root, repository):
    stage(repository, BAD)
    (repository / "module.py").write_text(GOOD)
    done = hook(root, repository)
    assert done.returncode == 1
    assert "module.py" in done.stdout
    assert "F401" in done.stdout
    stage(repository, GOOD)
    (repository / "module.py").write_text(BAD)
    assert hook(root, repository).returncode == 0


def test_without_a_staged_python_file_nothing_is_started(root, repository):
    (repository / ".venv" / "bin" / "ruff").unlink()
    assert hook(root, repository).returncode == 0
    stage(repository, GOOD)
    done = hook(root, repository)
    assert done.returncode == 1
    assert "Run `make setup`" in done.stderr


def test_make_installs_the_hook_and_replaces_no_other(root, repository):
    make = ["make", "-f", str(root / "Makefile"), "-o", "setup", "hooks"]
    (repository / "scripts").mkdir()
    shutil.copy(root / "scripts" / "pre-commit", repository / "scripts")
    installed = repository / ".git" / "hooks" / "pre-commit"
    for _ in range(2):
        subprocess.run(make, cwd=repository, check=True, capture_output=True, timeout=60)
        assert installed.stat().st_mode & 0o111
    installed.write_text("#!/bin/sh\n")
    done = subprocess.run(make, cwd=repository, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "is another hook" in done.stderr
    assert installed.read_text() == "#!/bin/sh\n"
