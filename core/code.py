"""The digest of a node's source code, which is a parameter of the node, since TFX's cache key ignores changed code."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "pipeline", "components", "transform", "trainer", "serving")


def code_digest(*modules: str) -> str:
    """Return a hex digest of the sources of `modules` and of all that they import.

    The digest covers the sources of our packages that are imported, transitively and inside functions too. For a module
    of another package, such as a feature kind that a user wrote, it covers the sources of that top-level package. For
    every other package that one of these sources imports, it covers the name and version of the distribution. The rest
    of `site-packages` is never read, even if our packages are installed there.
    """
    homes = _homes(modules)
    sources: dict[str, bytes] = {}
    others: set[str] = set()
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module in sources:
            continue
        top = module.partition(".")[0]
        if top not in homes:
            others.add(top)
            continue
        path = _source(module, homes[top])
        if path is None:
            continue
        sources[module] = path.read_bytes()
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        pending += _imports(sources[module], package)
    digest = hashlib.sha256()
    for module in sorted(sources):
        digest.update(f"{module} {len(sources[module])}\n".encode() + sources[module])
    digest.update("\n".join(_versions(others)).encode())
    return digest.hexdigest()[:16]


def _homes(modules: Iterable[str]) -> dict[str, Path]:
    """Return top-level package → its parent folder, for our packages and the packages of `modules`."""
    homes = dict.fromkeys(PACKAGES, ROOT)
    for top in {module.partition(".")[0] for module in modules} - set(PACKAGES):
        spec = importlib.util.find_spec(top)
        if spec is not None and spec.submodule_search_locations:  # a package, with or without an `__init__.py`
            homes[top] = Path(next(iter(spec.submodule_search_locations))).parent
        elif spec is not None and spec.origin is not None:
            homes[top] = Path(spec.origin).parent
    return homes


def _source(module: str, home: Path) -> Path | None:
    """Return the source file of a module below `home`, None if there is none."""
    base = home.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@functools.lru_cache(maxsize=1024)
def _imports(source: bytes, package: str) -> list[str]:
    """Return the dotted names that a source imports, and those of all their parent packages."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).rstrip(".")
            names += [f"{base}.{alias.name}" for alias in node.names]
    # Importing a.b.c runs a and a.b too.
    return [".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts) + 1)]


def _versions(tops: Iterable[str]) -> list[str]:
    """Return `name==version` of the distributions that provide top-level packages, sorted."""
    providers = _distributions()
    names = {name for top in tops if top not in sys.stdlib_module_names for name in providers.get(top, ())}
    return sorted(f"{name}=={importlib.metadata.version(name)}" for name in names)


@functools.cache
def _distributions() -> dict[str, list[str]]:
    """Return top-level package → the distributions that provide it."""
    return dict(importlib.metadata.packages_distributions())
