"""The wheel: it contains every file of the packages, and the command line works with the wheel alone."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGES = ("core", "pipeline", "components", "transform", "trainer", "serving")
BUILT_FROM = ("setup.py", "pyproject.toml", "README.md", "LICENSE")


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files of the packages below `folder`, without bytecode."""
    paths = (path for package in PACKAGES for path in (folder / package).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths if path.suffix != ".pyc"}


@pytest.fixture(scope="module")
def checkout(root, tmp_path_factory):
    """Return a copy of the sources of the wheel, so that the build writes no file to the repository."""
    folder = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        shutil.copytree(root / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BUILT_FROM:
        shutil.copyfile(root / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def installed(checkout, tmp_path_factory):
    """Build the wheel, unpack it as an installer does, and return the folder."""
    built, folder = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(checkout)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = built.glob("twostep-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def twostep(installed, tmp_path_factory):
    """Return a function that runs the console script of the wheel in a folder outside the repository."""
    (path,) = installed.glob("*.dist-info/entry_points.txt")
    entry_points = configparser.ConfigParser()
    entry_points.read(path)
    module, _, function = entry_points["console_scripts"]["twostep"].partition(":")
    code = (
        f"import sys, {module}; assert {module}.__file__.startswith(sys.argv.pop(1)); sys.exit({module}.{function}())"
    )
    folder = tmp_path_factory.mktemp("elsewhere")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-c", code, str(installed), *arguments]
        environment = {"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def test_every_file_of_the_packages_is_in_the_wheel(checkout, installed):
    assert len(files_of(checkout)) > 100
    assert files_of(installed) == files_of(checkout)


def test_the_wheel_has_the_packages_the_licence_and_nothing_else(installed):
    (metadata,) = installed.glob("*.dist-info")
    assert {path.name for path in installed.iterdir()} == {*PACKAGES, metadata.name}
    assert (metadata / "licenses" / "LICENSE").read_text(encoding="utf-8").count("Apache License") > 0
    fields = (metadata / "METADATA").read_text(encoding="utf-8").splitlines()
    assert {"License-Expression: Apache-2.0", "Requires-Python: >=3.11,<3.12"} <= set(fields)


def test_the_version_is_that_of_the_wheel(installed, twostep):
    done = twostep("--version")
    (metadata,) = installed.glob("*.dist-info")
    name, _, version = metadata.stem.partition("-")
    assert (done.stderr, done.stdout, done.returncode) == ("", f"{name} {version}\n", 0)


def test_a_configuration_is_checked(root, twostep, tmp_path):
    shop = tmp_path / "shop"
    shop.mkdir()
    shutil.copyfile(root / "examples" / "shop" / "shop.yaml", shop / "shop.yaml")
    make_data = root / "examples" / "shop" / "make_data.py"
    subprocess.run([sys.executable, str(make_data), str(shop / "data")], check=True, timeout=120)
    done = twostep("config", "check", str(shop / "shop.yaml"))
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith(f"{shop / 'shop.yaml'}: ok")
