"""The documents: the paths, modules, links and headings in them exist, and the diagram of packages is up to date."""

import importlib.util
import re
from pathlib import Path

import pytest

import core

ROOT = Path(core.__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"]
)
PACKAGES = ("core", "pipeline", "components", "transform", "trainer", "serving")
FOLDERS = (*PACKAGES, "tests", "docs", "benchmarks", "examples", "scripts")
MADE = {"examples/shop/data"}  # paths that a command in the same document creates
PATH = re.compile(rf"(?<![\w/.<>-])(?:{'|'.join(FOLDERS)})/[\w./*-]*")
MODULE = re.compile(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+)+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def anchors(document: str) -> set[str]:
    """Return the anchors of the headings of a document, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", text_of(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_module(name: str) -> bool:
    """Return whether a dotted name has no module, or its last part does not occur in the source of the module."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:end])
        for source in (base.with_suffix(".py"), base / "__init__.py"):
            if source.is_file():
                text = source.read_text(encoding="utf-8")
                return not all(re.search(rf"\b{part}\b", text) for part in parts[end:])
    return True


def missing(document: str) -> list[str]:
    """Return the paths, modules and links of a document that do not exist."""
    text = text_of(document)
    paths = {match.rstrip(".") for match in PATH.findall(text)} - MADE
    wrong = sorted(path for path in paths if not any(ROOT.glob(path)))
    wrong += [name for name in MODULE.findall(text) if missing_module(name)]
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        if "://" in link:
            continue
        path = (ROOT / document).parent / target if target else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path.resolve().relative_to(ROOT).as_posix())):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_exists(document):
    assert missing(document) == []


def test_the_check_finds_what_is_missing():
    assert PATH.findall("see `core/x.py`, runs/serving/y and serving/<name>/1.") == ["core/x.py", "serving/"]
    assert {"README.md", "CONTRIBUTING.md", "docs/architecture.md"} <= set(DOCUMENTS)
    assert not missing_module("core.release.reader.reading")
    assert missing_module("core.release.reader.no_such_name")
    assert missing_module("core.no_such_module")


def test_the_picture_of_the_packages_is_made_from_the_sources():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "scripts" / "architecture.py")
    architecture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architecture)
    page = architecture.PAGE.read_text(encoding="utf-8")
    assert architecture.page_with(page, architecture.picture()) == page, "run `make docs`"
    assert "    serving --> core\n" in page
    with pytest.raises(ValueError, match="lines"):
        architecture.page_with("no marks", "")
