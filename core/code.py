"""A digest of the code behind a dotted path: TFX's cache key sees parameters, so our code must be one."""

import ast
import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def code_digest(*modules: str) -> str:
    """Hex digest of the sources of `modules` and of every module of ours that they import, however deep.

    Imports inside functions count too. A change in a file that none of them reaches changes nothing.
    """
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = _source(module)
        if path is None or module in found:
            continue
        found[module] = path.read_bytes()
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        waiting += _imports(ast.parse(found[module]), package)
    digest = hashlib.sha256()
    for module in sorted(found):
        digest.update(f"{module} {len(found[module])}\n".encode() + found[module])
    return digest.hexdigest()[:16]


def _source(module: str) -> Path | None:
    base = ROOT.joinpath(*module.split("."))
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
