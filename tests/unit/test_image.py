"""The Dockerfile without a container engine: what it copies exists, the lock has hashes, and the user is not root."""

import ast
import re
import shutil
import subprocess

import pytest

ENGINES = ("docker", "podman")


@pytest.fixture(scope="module")
def instructions(root):
    """Return the instructions of the Dockerfile as (name, arguments), without comments and line breaks."""
    text = re.sub(r"^#.*\n", "", (root / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [tuple(line.split(maxsplit=1)) for line in lines]


@pytest.fixture(scope="module")
def copied(instructions):
    """Return the files and folders that the Dockerfile copies from the checkout."""
    arguments = [text.split() for name, text in instructions if name == "COPY" and "--from=" not in text]
    return [source for *sources, _ in arguments for source in sources]


def packages_of_setup(root):
    for node in ast.walk(ast.parse((root / "setup.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGES":
            return ast.literal_eval(node.value)
    return None


def test_what_is_copied_exists_and_is_all_that_the_wheel_needs(root, copied):
    assert [source for source in copied if not (root / source).exists()] == []
    needed = {*packages_of_setup(root), "setup.py", "pyproject.toml", "README.md", "LICENSE", "requirements.lock"}
    assert set(copied) == needed


def test_nothing_else_is_sent_to_the_builder(root, copied):
    lines = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules if rule.startswith("!")} == set(copied)
    assert "**/__pycache__" in rules


def test_each_stage_is_made_from_one_before_it(instructions):
    stages: set[str] = set()
    for name, text in instructions:
        if name == "FROM":
            base, _, stage = text.partition(" AS ")
            assert base in stages or base == "python:3.11-slim-trixie", base
            stages.add(stage)
        for source in re.findall(r"--from=(\S+)", text):
            assert source in stages, source
    assert len(stages) == 4


def test_every_locked_package_has_a_hash(root):
    lock = (root / "requirements.lock").read_text(encoding="utf-8")
    packages = re.findall(r"^([a-z0-9][a-z0-9._-]*(?:\[.*\])?)==(?:[^\n]*\\\n)((?:    --hash=\S+ ?\\?\n)+)", lock, re.M)
    assert len(packages) == len(re.findall(r"^[a-z0-9]\S*==", lock, re.M)) > 200


def test_the_tools_of_the_build_are_taken_from_the_lock_with_their_hashes(root, instructions):
    (script,) = re.findall(r"(sed -n .*?) > tools.txt", " ".join(text for name, text in instructions if name == "RUN"))
    found = subprocess.run(
        ["sh", "-c", script], cwd=root, capture_output=True, text=True, check=True, timeout=10
    ).stdout
    assert re.findall(r"^(\w+)==", found, re.M) == ["setuptools", "uv"]
    assert all(re.match(r"(\w+==|    --hash=sha256:)", line) for line in found.splitlines())
    assert not found.rstrip().endswith("\\")
    commands = " ".join(text for name, text in instructions if name == "RUN")
    assert commands.count("--require-hashes") == 2


def test_the_container_is_not_root_and_starts_the_command_line(instructions):
    last = max(index for index, (name, _) in enumerate(instructions) if name == "FROM")
    final = dict(instructions[last:])
    uid, _, gid = final["USER"].partition(":")
    assert int(uid) > 0
    assert int(gid) > 0
    assert f"useradd --uid {uid}" in final["RUN"]
    assert final["ENTRYPOINT"] == '["twostep"]'
    assert final["HEALTHCHECK"].endswith('CMD ["twostep", "--version"]')


def test_make_image_says_what_is_missing(root, tmp_path):
    for tool in ("sh", "git", "python3", "test", "echo"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = subprocess.run(
        [shutil.which("make"), "image"],
        cwd=root,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert "image: needs docker or podman, found neither" in done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_make_image_calls_the_engine_that_exists(root, tmp_path, engine):
    for tool in ("sh", "git", "python3", "test", "echo"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    (tmp_path / engine).write_text('#!/bin/sh\necho "$0 $*"\n')
    (tmp_path / engine).chmod(0o755)
    done = subprocess.run(
        [shutil.which("make"), "image", "IMAGE=shop:1"],
        cwd=root,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == f"{tmp_path}/{engine} build --tag shop:1 .\n"
