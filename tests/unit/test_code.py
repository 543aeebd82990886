"""The digest of code: the changes that alter the digest, and those that do not."""

import importlib.metadata

import pytest

from core import code


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Write some modules, and return a function that overwrites one."""
    monkeypatch.setattr(code, "ROOT", tmp_path)
    monkeypatch.setattr(code, "PACKAGES", ("one", "two", "three", "four", "a", "b"))

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write("one/__init__.py", "")
    write("one/start.py", "from one import near\nimport numpy\n")
    write("one/near.py", "def late():\n    from two.far import thing\n    return thing\n")
    write("two/__init__.py", "")
    write("two/far.py", "from . import beside\nfrom .sub.deep import x\nthing = 1\n")
    write("two/beside.py", "import one.start\n")  # a circular import
    write("two/sub/__init__.py", "")
    write("two/sub/deep.py", "from ..other import y\nx = 1\n")
    write("two/other.py", "y = 1\n")
    write("two/stranger.py", "import one.start\n")
    return write


@pytest.mark.parametrize(
    "path",
    [
        "one/start.py",
        "one/near.py",  # imported by `from package import module`
        "two/far.py",  # imported inside a function
        "two/__init__.py",  # runs when a module of the package is imported
        "two/beside.py",  # imported with a relative name
        "two/sub/deep.py",
        "two/sub/__init__.py",
        "two/other.py",  # imported relatively from the parent package
    ],
)
def test_a_change_in_anything_reached_changes_the_digest(tree, path):
    before = code.code_digest("one.start")
    tree(path, (code.ROOT / path).read_text() + "# changed\n")
    assert code.code_digest("one.start") != before


def test_a_change_in_what_is_not_reached_changes_nothing(tree):
    before = code.code_digest("one.start")
    tree("two/stranger.py", "import one.start\n# changed\n")
    tree("three.py", "new = True\n")
    assert code.code_digest("one.start") == before
    assert code.code_digest("two.stranger") != before


def test_the_order_of_modules_does_not_matter_and_their_names_do(tree):
    assert code.code_digest("two.other", "one.start") == code.code_digest("one.start", "two.other", "one.start")
    tree("four.py", "y = 1\n")
    assert code.code_digest("four") != code.code_digest("two.other")


def test_text_moved_from_one_module_to_the_next_is_a_change(tree):
    # If names and texts were only concatenated, the digest would be the same before and after.
    tree("a.py", "import b\n")
    tree("b.py", "#\nb\n#2")
    before = code.code_digest("a")
    tree("a.py", "import b\nb\n#\n")
    tree("b.py", "#2")
    assert code.code_digest("a") != before


def test_a_module_and_its_package_count_even_where_the_path_names_a_class(tree):
    assert code.code_digest("two.other.y") == code.code_digest("nothing.at.all")
    assert code.code_digest("two.other") != code.code_digest("nothing.at.all")


def test_a_module_that_lies_elsewhere_counts_with_its_own_package(tree, tmp_path_factory, monkeypatch):
    away = tmp_path_factory.mktemp("away")
    (away / "mine").mkdir()
    for name, text in {"__init__": "", "kind": "from mine import part\nimport stranger\n", "part": "x = 1\n"}.items():
        (away / "mine" / f"{name}.py").write_text(text)
    (away / "stranger.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(away)
    before = code.code_digest("one.start", "mine.kind")
    assert before != code.code_digest("one.start")
    (away / "stranger.py").write_text("y = 2\n")
    assert code.code_digest("one.start", "mine.kind") == before
    (away / "mine" / "part.py").write_text("x = 2\n")
    assert code.code_digest("one.start", "mine.kind") != before


def test_a_package_without_an_init_file_counts(tree, tmp_path_factory, monkeypatch):
    away = tmp_path_factory.mktemp("away")
    (away / "bare").mkdir()
    (away / "bare" / "kind.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(away)
    before = code.code_digest("bare.kind")
    (away / "bare" / "kind.py").write_text("x = 2\n")
    assert code.code_digest("bare.kind") != before


def test_the_version_of_an_imported_package_counts_and_its_sources_do_not(tree, monkeypatch):
    tree("numpy/__init__.py", "x = 1\n")  # another package in the same folder, as in site-packages
    tree("ydf/__init__.py", "x = 1\n")
    before = code.code_digest("one.start")
    tree("numpy/__init__.py", "import ydf\nx = 2\n")
    assert code.code_digest("one.start") == before
    version = importlib.metadata.version
    for changed, counts in (("numpy", True), ("ydf", False)):
        with monkeypatch.context() as patch:
            patch.setattr(importlib.metadata, "version", lambda name, of=changed: "0" if name == of else version(name))
            assert (code.code_digest("one.start") != before) == counts


def test_our_own_code_has_a_digest_by_what_it_reaches():
    joiner, index = code.code_digest("components.event_joiner.join"), code.code_digest("core.names")
    assert joiner != index
    assert len(joiner) == 16
    assert joiner == code.code_digest("components.event_joiner.join")
