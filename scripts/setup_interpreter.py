"""The search for a CPython 3.11, from which `.venv` is made."""

import shutil
import sys
from pathlib import Path

from setup_commands import SetupError, output, say

LOOP_STEPS = 300_000  # the length of the loop whose time compares interpreters


def find_python(hint):
    """Return the path of a CPython 3.11 binary, with links resolved.

    Without a hint, the fastest interpreter is chosen: distributions build Python with profile-guided optimisation, but
    pyenv does not by default, and its Python is a third slower.

    Args:
      hint: the Python to use; None for the fastest on PATH, of pyenv or of uv.
    Raises:
      SetupError: the hint is not a CPython 3.11; or, without a hint, none was found.
    """
    home = Path.home()
    candidates = [shutil.which("python3.11"), sys.executable, "/usr/bin/python3.11", "/usr/local/bin/python3.11"]
    candidates += sorted(map(str, home.glob(".pyenv/versions/3.11.*/bin/python3.11")), reverse=True)
    candidates += sorted(map(str, home.glob(".local/share/uv/python/cpython-3.11*/bin/python3.11")), reverse=True)
    suitable, others = {}, []
    for candidate in dict.fromkeys([hint] if hint else filter(None, candidates)):
        name, version, binary = probe(candidate)
        if (name, version) == ("cpython", "3.11"):
            suitable[binary] = None
        elif name:
            others.append(f"{candidate} ({name} {version})")
    if suitable:
        return fastest(list(suitable))
    if hint:
        raise SetupError(
            "needs CPython 3.11 (TFX has wheels for no other version); "
            f"PYTHON is {others[0] if others else hint + ', which is not a Python that runs'}. "
            "Give the path of a python3.11, or leave PYTHON out to search for one."
        )
    raise SetupError(
        "needs CPython 3.11 (TFX has wheels for no other version), found "
        + (", ".join(dict.fromkeys(others)) or "no Python")
        + ". Install it (Debian 12: `apt-get install python3.11`; elsewhere: pyenv, uv, or Ubuntu's deadsnakes), "
        "or give its path: `make demo PYTHON=/path/to/python3.11`."
    )


def fastest(pythons):
    """Return the interpreter that runs a loop in the least time, and print all times."""
    if len(pythons) == 1:
        return pythons[0]
    seconds = {python: min(loop_seconds(python) for _ in range(3)) for python in pythons}
    ordered = sorted(pythons, key=seconds.get)
    times = ", ".join(f"{python} {1000 * seconds[python]:.0f} ms" for python in ordered)
    say(f"taking the fastest CPython 3.11 for a loop of {LOOP_STEPS:,} steps: {times}")
    return ordered[0]


def loop_seconds(python):
    """Return the seconds that an interpreter takes for a loop of pure Python; infinity if it fails."""
    code = (
        "import time; start = time.perf_counter(); values = {}\n"
        f"for i in range({LOOP_STEPS}): values[str(i % 999)] = i * i % 7\n"
        "print(time.perf_counter() - start)"
    )
    try:
        return float(output(python, "-I", "-c", code))
    except ValueError:
        return float("inf")


def probe(command):
    """Return the implementation, version and binary of a Python; three Nones if it does not run.

    The binary of a Python in a venv is that of the interpreter from which the venv was made.
    """
    code = (
        "import os,sys; version = '%d.%d' % sys.version_info[:2]; inside = sys.prefix != sys.base_prefix; "
        "binary = os.path.join(sys.base_prefix, 'bin', 'python' + version) if inside else sys.executable; "
        "print(sys.implementation.name, version, os.path.realpath(binary))"
    )
    parts = output(command, "-c", code).split(maxsplit=2)
    return (parts[0], parts[1], parts[2].strip()) if len(parts) == 3 else (None, None, None)
