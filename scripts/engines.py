"""Build the servers that tests/engines runs against, and print their files: `python scripts/engines.py`.

Each is built once from its Go module, or installed once from its Python package, at a pinned version, into
`$XDG_CACHE_HOME/twostep/engines`. Only the standard library and pip are used.
"""

import os
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
PACKAGES = {"crucible": ("crucible-emulator[server]", "0.1.0a2")}


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
            "make test-engines"
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
                f"settings of pip, then: make test-engines\n{last}"
            )
        os.chmod(partial, 0o755)
        os.replace(partial, target)
        os.mkdir(partial)  # for the end of the block


def main() -> int:
    """Build all engines; return the exit code."""
    try:
        for name in (*ENGINES, *PACKAGES):
            print(built(name))
    except EngineError as error:
        print(f"engines: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
