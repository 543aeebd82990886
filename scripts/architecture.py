"""The diagram of the packages in docs/architecture.md, made from the imports in the sources.

python scripts/architecture.py            write the diagram into the page
"""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("pipeline", "components", "serving", "trainer", "transform", "core")
BEGIN, END = "<!-- Made by scripts/architecture.py. -->\n", "<!-- End of what scripts/architecture.py made. -->\n"


def imported_packages(package: str, root: Path = ROOT) -> set[str]:
    """Return the other packages of this project that the sources of `package` import, anywhere in a file."""
    tops = set()
    for source in (root / package).rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops.add((node.module or "").partition(".")[0])
    return tops & set(PACKAGES) - {package}


def subpackages(package: str, root: Path = ROOT) -> list[str]:
    """Return the names of the packages directly inside a package."""
    return sorted(path.parent.name for path in (root / package).glob("*/__init__.py"))


def picture(root: Path = ROOT) -> str:
    """Return the Mermaid source: a box for each package with its subpackages, an arrow for each import."""
    lines = ["flowchart TD"]
    for package in PACKAGES:
        label = "<br/>".join([f"<b>{package}</b>", *subpackages(package, root)])
        lines.append(f'    {package}["{label}"]')
    for package in PACKAGES:
        lines += [f"    {package} --> {other}" for other in PACKAGES if other in imported_packages(package, root)]
    return "\n".join(["```mermaid", *lines, "```"]) + "\n"


def page_with(text: str, drawn: str) -> str:
    """Return the text of the page with the diagram between the lines BEGIN and END.

    Args:
      text: the text of the page.
      drawn: the Mermaid source of the diagram.
    Raises:
      ValueError: BEGIN or END is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"{PAGE} should hold the lines {BEGIN.strip()!r} and {END.strip()!r}; found one or none of them"
        )
    return f"{before}{BEGIN}{drawn}{END}{after}"


def main() -> int:
    """Write the diagram into docs/architecture.md."""
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), picture()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
