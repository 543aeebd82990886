"""A digest of the code behind a dotted path: TFX's cache key sees parameters, so our code must be one."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def code_digest(*modules: str) -> str:
    """Hex digest of the sources of `modules` and of every module of ours that they import, however deep.

    Of a module that lies elsewhere, such as a feature's kind that a user wrote, what it imports of its own top-level
    package counts as well. Imports inside functions count too. A change in a file that none of them reaches changes
    nothing.
    """
    homes = _homes(modules)
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = _source(module, homes)
        if path is None or module in found:
            continue
        found[module] = path.read_bytes()
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        waiting += _imports(ast.parse(found[module]), package)
    digest = hashlib.sha256()
    for module in sorted(found):
        digest.update(f"{module} {len(found[module])}\n".encode() + found[module])
    return digest.hexdigest()[:16]


def _homes(modules: Iterable[str]) -> dict[str, Path]:
    """Top-level name → the folder it lies in, of the modules that are none of ours."""
    homes = {}
    for top in {module.partition(".")[0] for module in modules}:
        if _source(top, {}) is None and not (ROOT / top).is_dir():
            spec = importlib.util.find_spec(top)
            if spec is not None and spec.origin is not None:
                path = Path(spec.origin)
                homes[top] = path.parent.parent if path.name == "__init__.py" else path.parent
    return homes


def _source(module: str, homes: dict[str, Path]) -> Path | None:
    parts = module.split(".")
    base = homes.get(parts[0], ROOT).joinpath(*parts)
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(tree: ast.AST, package: str) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], base]).rstrip(".")
            names += [f"{base}.{alias.name}" for alias in node.names]
    # Importing a.b.c runs a and a.b too.
    return [".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts) + 1)]
