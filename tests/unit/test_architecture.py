"""The rules on imports, checked in the sources: packages import in one direction, pure logic imports no TensorFlow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import core

ROOT = Path(core.__file__).resolve().parents[1]
OURS = ("core", "pipeline", "components", "transform", "trainer", "serving")
HEAVY = {"tensorflow", "tf_keras", "tensorflow_transform", "tensorflow_recommenders", "tfx", "tfx_bsl", "apache_beam"}
MOST_LINES = 350

# Package → the packages of the product that it may import.
ARROWS = {
    "core": {"core"},
    "transform": {"core", "transform"},
    "trainer": {"core", "transform", "trainer"},
    "components": {"core", "transform", "trainer", "serving", "components"},
    "serving": {"core", "transform", "trainer", "serving"},
    "pipeline": set(OURS),
}
# The names of modules of pure logic in trainer and transform.
PURE_NAMES = (
    *("arrays.py", "arrow_types.py", "columns.py", "features.py", "known.py", "rows.py", "names.py", "similarity.py"),
    *(
        "inference.py",
        "interactions.py",
        "listwise.py",
        "nearest.py",
        "needs.py",
        "neighbours.py",
        "records.py",
        "registry.py",
    ),
    *("settings.py", "shares.py", "space.py", "step_settings.py", "steps.py", "weights.py"),
)
# Modules of components that are not pure logic, besides component.py and executor.py.
ASKS_MODELS = "components/candidate_index/index.py"
ASKS_A_RELEASE = "components/recommender_evaluator/baseline_release.py"
CALL_MODELS = (
    *("serving/candidate_source.py", "serving/models.py", "serving/saved_model.py"),
    *("serving/server/app.py", "serving/server/current.py", "serving/server/run.py"),
)


def sources(*folders: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def parsed(source: str) -> ast.Module:
    return ast.parse((ROOT / source).read_text(encoding="utf-8"))


def pure() -> list[str]:
    """Return the sources of pure logic: modules that import neither TensorFlow nor Beam nor TFX."""
    parts = [
        source
        for source in sources("components")
        if Path(source).name not in ("component.py", "executor.py")
        and source not in (ASKS_MODELS, ASKS_A_RELEASE, "components/types.py")
    ]
    parts += [source for source in sources("trainer", "transform") if Path(source).name in PURE_NAMES]
    parts += [source for source in sources("serving") if source not in CALL_MODELS]
    # core/examples.py imports TensorFlow inside functions, to read and write files of Examples.
    return parts + [source for source in sources("core") if source not in ("core/examples.py", "core/tf.py")]


def imported(nodes: Iterator[ast.AST], package: str) -> set[str]:
    """Return the dotted names of the modules and members that import statements among `nodes` import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*package.split(".")[: package.count(".") + 2 - node.level], base]).rstrip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def everywhere(source: str) -> set[str]:
    return imported(ast.walk(parsed(source)), package(source))


def on_import(source: str) -> set[str]:
    """Return the dotted names that importing the module imports; not those in functions or for type checkers."""
    return imported(_run(parsed(source).body), package(source))


def _run(body: list[ast.stmt]) -> Iterator[ast.AST]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _run(node.orelse)
            continue
        yield node
        for part in ("body", "orelse", "finalbody", "handlers"):
            for child in getattr(node, part, []):
                yield from _run(child.body if isinstance(child, ast.ExceptHandler) else [child])


def package(source: str) -> str:
    return ".".join(Path(source).parent.parts)


def tops(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def reached(starts: list[str]) -> dict[str, str]:
    """Return each source that is imported with `starts`, directly or indirectly → the source that imports it."""
    found, waiting = dict.fromkeys(starts, ""), list(starts)
    while waiting:
        source = waiting.pop()
        for name in on_import(source):
            parts = name.split(".")
            if parts[0] not in OURS:
                continue
            for end in range(1, len(parts) + 1):
                base = "/".join(parts[:end])
                for path in (f"{base}.py", f"{base}/__init__.py"):
                    if (ROOT / path).is_file() and path not in found:
                        found[path] = source
                        waiting.append(path)
    return found


def heavy_reached(starts: list[str], heavy: set[str]) -> list[str]:
    return [
        f"{source} (by {by}): {tops(on_import(source)) & heavy}"
        for source, by in reached(starts).items()
        if tops(on_import(source)) & heavy
    ]


# ---- the rules ----


@pytest.mark.parametrize("name", OURS)
def test_arrows_point_one_way(name):
    assert len(sources(name)) > 1
    wrong = {source: tops(everywhere(source)) & set(OURS) - ARROWS[name] for source in sources(name)}
    assert {source: found for source, found in wrong.items() if found} == {}


def test_of_the_components_the_evaluator_alone_reaches_the_engine():
    starts = [source for source in sources("components") if not source.startswith("components/recommender_evaluator/")]
    assert "serving/candidate_source.py" in reached(starts)
    assert "serving/engine.py" not in reached(starts)


def test_models_and_what_they_are_made_of_never_import_tfx():
    for source in sources("trainer", "transform", "serving"):
        assert not tops(everywhere(source)) & {"tfx", "apache_beam"}, source


def test_pure_logic_imports_nothing_heavy_wherever_in_the_file():
    assert {"components/event_joiner/join.py", "core/queries.py", "trainer/registry.py", "transform/names.py"} <= set(
        pure()
    )
    for source in pure():
        assert not tops(everywhere(source)) & HEAVY, source


def test_pure_logic_reaches_nothing_heavy_through_others():
    assert heavy_reached(pure(), HEAVY) == []


def test_core_can_be_imported_where_there_is_no_tensorflow():
    assert heavy_reached(sources("core"), HEAVY) == []


def test_the_command_line_and_the_configuration_import_nothing_heavy():
    commands = sources("pipeline/commands")
    assert len(commands) > 4
    assert (
        heavy_reached(["pipeline/cli.py", "pipeline/config/model.py", *commands], HEAVY | {"pyarrow", "pandas"}) == []
    )


def test_whoever_imports_tensorflow_says_first_which_keras():
    wrong = []
    for source in sources(*OURS):
        order = [imported(iter([node]), package(source)) for node in _run(parsed(source).body)]
        heavy = [place for place, names in enumerate(order) if tops(names) & HEAVY]
        said = [place for place, names in enumerate(order) if "core.tf" in names]
        if heavy and not (said and said[0] < heavy[0]):
            wrong.append(f"{source} should import core.tf before TensorFlow")
    assert wrong == []


def test_no_bare_assert_outside_tests():
    """An assert gives no message for the user, and `python -O` removes it."""
    for source in [*sources(*OURS, "scripts"), "setup.py"]:
        lines = [node.lineno for node in ast.walk(parsed(source)) if isinstance(node, ast.Assert)]
        assert lines == [], source


def test_a_file_can_be_read_at_one_sitting():
    for source in sources(*OURS, "tests", "scripts"):
        lines = (ROOT / source).read_text(encoding="utf-8").count("\n")
        assert lines <= MOST_LINES, f"{source}: {lines} lines"


def test_every_module_says_what_lives_in_it():
    for source in sources(*OURS, "tests", "scripts"):
        tree = parsed(source)
        assert ast.get_docstring(tree) or not tree.body, source


def test_no_test_imports_from_tests_and_unit_tests_import_no_tfx():
    for source in sources("tests"):
        assert "tests" not in tops(everywhere(source)), source
    for source in sources("tests/unit"):
        assert not tops(everywhere(source)) & {"tfx"}, source
    for source in sources("tests/contract"):
        assert not tops(everywhere(source)) & {"tfx"}, source
        assert heavy_reached([source], {"tfx"}) == [], source


# ---- the checks find violations ----


def test_imports_are_read_wherever_they_stand():
    tree = ast.parse(
        "import a.b\n"
        "if TYPE_CHECKING:\n    import c\n"
        "try:\n    import d\nexcept ImportError:\n    import e\n"
        "def f():\n    import g\n"
        "class H:\n    import i\n"
        "from . import j\nfrom ..k import l\n"
    )
    assert tops(imported(_run(tree.body), "x.y")) == {"a", "d", "e", "i", "x"}
    assert {"x.y.j", "x.k.l"} <= imported(_run(tree.body), "x.y")
    assert {"c", "g"} <= imported(ast.walk(tree), "x.y")
    assert "core/names.py" in reached(["trainer/retrieval/run_fn.py"])
    assert heavy_reached(["trainer/retrieval/run_fn.py"], {"tensorflow_transform"}) != []
