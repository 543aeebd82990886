"""Extensions of the product as CONTRIBUTING.md describes them: new files and an entry in a registry.

Each test extends a copy of the packages by new files and lines; `tests/contract/test_extending.py` adds a model.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

PACKAGES = ("core", "pipeline", "components", "transform", "trainer", "serving")


class Copy:
    """A copy of the packages that a test extends."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, file: str, text: str) -> None:
        """Write a new file."""
        assert not (self.folder / file).exists()
        (self.folder / file).write_text(dedent(text))

    def insert(self, file: str, line: str, before: str) -> None:
        """Insert a line into an existing file, before the only line that contains the text `before`."""
        lines = (self.folder / file).read_text().splitlines()
        [place] = [number for number, each in enumerate(lines) if before in each]
        indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
        lines.insert(place, indent + line)
        (self.folder / file).write_text("\n".join(lines) + "\n")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run Python with the copy as the first entry of its path."""
        return subprocess.run(
            [sys.executable, *words],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
        )

    def twostep(self, *words: str) -> str:
        """Run a `twostep` command and return its stdout."""
        done = self.run("-m", "pipeline.cli", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def value(self, script: str) -> dict:
        """Run a Python script and return the JSON object that it prints."""
        done = self.run("-c", dedent(script))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def recommender(self, more: str) -> Path:
        """Write a configuration with the required lines and the lines `more`."""
        file = self.folder / "recommender.yaml"
        file.write_text("name: x\ndata: {root: .}\n" + dedent(more))
        return file


@pytest.fixture
def copied(tmp_path: Path, root: Path) -> Copy:
    """Return an unchanged copy of the packages."""
    for package in PACKAGES:
        shutil.copytree(root / package, tmp_path / package, symlinks=True)
    return Copy(tmp_path)


def refused(copied: Copy, *words: str) -> str:
    """Run a command that should fail with the exit code of wrong use, and return the error."""
    done = copied.run("-m", "pipeline.cli", *words)
    assert done.returncode == 2, done.stdout + done.stderr
    return done.stderr


# ---- a re-ranking rule ----


def add_rule(copied: Copy) -> None:
    """Add the rule `unbranded`: two files, and the field of `Reranking` with the import of its type."""
    copied.add(
        "serving/rerank/unbranded_settings.py",
        '''
        """The settings of the rule `unbranded`."""

        from pydantic import Field

        from serving.rerank.rule_settings import RuleSettings


        class Unbranded(RuleSettings):
            """A bonus for items without a brand."""

            RULE = "serving.rerank.unbranded:Unbranded"
            COLUMN_KIND = "categorical"

            column: str = Field(description="The categorical item feature with the brand.")
            weight: float = Field(1.0, ge=0, le=10, description="The bonus.")
        ''',
    )
    copied.add(
        "serving/rerank/unbranded.py",
        '''
        """The rule `unbranded`: a bonus for items without a brand."""

        from serving.rerank import unbranded_settings
        from serving.rerank.rule import BonusRule


        class Unbranded(BonusRule[unbranded_settings.Unbranded]):
            """A bonus of `weight`."""

            def __init__(self, settings, items):
                super().__init__(settings, items)
                self._is_unbranded = items.indicators(settings.column).sum(axis=1) == 0

            def bonus(self, queries, rows):
                """Return [Q, C] the bonus of each candidate."""
                return self.settings.weight * self._is_unbranded[rows]
        ''',
    )
    registry = "serving/rerank/settings.py"
    copied.insert(registry, "from serving.rerank.unbranded_settings import Unbranded", before="from transform.features")
    line = 'unbranded: Unbranded | None = Field(None, description="A bonus for items without a brand.")'
    copied.insert(registry, line, before="page_size: int")


def test_a_rule_is_its_files_and_a_field_of_the_settings(copied):
    features = "features: {item: {brand: categorical, price: numeric}}\n"
    with_rule = copied.recommender(features + "reranking: {unbranded: {column: brand}}\n")
    assert "reranking.unbranded" in refused(copied, "config", "check", str(with_rule))

    add_rule(copied)
    assert "  unbranded:\n" in copied.twostep("config", "explain", "reranking")
    served = copied.value(f"""
        import json
        import sys

        import numpy as np
        import pyarrow as pa

        from pipeline import config

        loaded = config.load({str(with_rule)!r})
        heavy = "serving.rerank.rule" in sys.modules

        from core import names
        from core.queries import Queries
        from serving.rerank.reranker import Reranker

        brands = pa.array(["x", "x", None, "y", ""], pa.string())
        catalogue = pa.table({{names.ITEM_ID: list("abcde"), "brand": brands, "price": [1.0] * 5}})
        queries = Queries(
            users=pa.table({{names.USER_ID: ["u"]}}), time=np.array([9]), history=pa.array([[]], pa.list_(pa.string())),
            seen=pa.array([[]], pa.list_(pa.string())), relevant_offsets=np.zeros(2, np.int64),
            relevant_items=np.zeros(0, np.int32),
        )
        rows, scores = np.arange(5, dtype=np.int32)[None], -np.arange(5.0)[None]
        reranker = Reranker(loaded.reranking, catalogue, loaded.features.item)
        print(json.dumps({{"heavy": heavy, "rows": reranker.rerank(queries, rows, scores, 5)[0][0].tolist()}}))
    """)
    assert served == {"heavy": False, "rows": [2, 4, 0, 1, 3]}

    # The columns that the settings declare are checked in the same way as for the rules of the product.
    numeric = copied.recommender(features + "reranking: {unbranded: {column: price}}\n")
    message = refused(copied, "config", "check", str(numeric))
    assert all(fact in message for fact in ("reranking.unbranded.column", "brand", "'price'")), message


# ---- a metric ----


def add_metric(copied: Copy) -> None:
    """Add the metric `first_half`: a file, and a line of its group in the registry with the import of its module."""
    copied.add(
        "core/metrics/first_half.py",
        '''
        """A metric of the first half of a list."""


        def first_half(hits, n_relevant, k):
            """Return [Q] the share of the first k // 2 positions with a relevant item."""
            return hits[:, : k // 2].mean(axis=1)
        ''',
    )
    registry = "core/metrics/registry.py"
    copied.insert(registry, "from core.metrics.first_half import first_half", before="if TYPE_CHECKING:")
    copied.insert(registry, '"first_half": first_half,', before='"precision": relevance.precision')


def test_a_metric_is_its_file_and_a_line_of_the_registry(copied):
    ruled = copied.recommender("evaluation: {at: [4], rules: [{metric: first_half@4, at_least: 0.5}]}\n")
    message = refused(copied, "config", "check", str(ruled))
    assert "evaluation.rules.0" in message
    assert "first_half@4" in message

    add_metric(copied)
    found = copied.value(f"""
        import json

        import numpy as np
        import pyarrow as pa

        from components.recommender_evaluator import evaluation, rules
        from pipeline import config
        from pipeline.report import glossary

        result = evaluation.evaluate(
            {{"two_step": np.array([[0, 1, 2, 3], [4, 0, 1, 2]]), "popularity": np.array([[3, 2, 1, 0]] * 2)}},
            "two_step",
            relevant=(np.array([0, 2, 3]), np.array([0, 1, 4])), train_counts=np.arange(5), ks=[4],
            features=pa.table({{"x": ["a", "b"]}}), has_history=np.array([True, True]), resamples=100, seed=1,
        )
        [rule] = config.load({str(ruled)!r}).evaluation.conditions
        [verdict] = rules.check([rule], {{"two_step": result}})
        print(json.dumps({{
            "models": {{name: row["first_half@4"]["mean"] for name, row in result["models"].items()}},
            "difference": result["differences"]["popularity"]["first_half@4"]["mean"],
            "slice": "first_half@4" in result["slices"][0]["metrics"],
            "verdict": [verdict.passed, verdict.value, verdict.bound],
            "title": glossary.metric_title("first_half@4"),
        }}))
    """)
    assert found == {
        "models": {"two_step": 0.75, "popularity": 0.0},
        "difference": 0.75,
        "slice": True,
        "verdict": [True, 0.75, 0.5],
        "title": "first_half@4",  # the name of the metric, because the glossary of the report has no title for it
    }


# ---- a command ----


def add_command(copied: Copy) -> None:
    """Add the command `greet`: a file, and its name in the list."""
    copied.add(
        "pipeline/commands/greet.py",
        '''
        """`twostep greet`: print a greeting."""


        def add_arguments(subparsers):
            """Add the command `greet`."""
            parser = subparsers.add_parser("greet", help="print a greeting")
            parser.add_argument("--loudly", action="store_true", help="in upper case")
            parser.set_defaults(func=greet)


        def greet(arguments):
            """Print the greeting."""
            print("HELLO" if arguments.loudly else "hello")
            return 0
        ''',
    )
    registry = copied.folder / "pipeline/cli.py"
    text = registry.read_text()
    assert text.count('    "completion",\n') == 1
    registry.write_text(text.replace('    "completion",\n', '    "completion",\n    "greet",\n'))


def test_a_command_is_its_file_and_its_name_in_the_list(copied):
    assert "greet" in refused(copied, "greet", "--loudly")

    add_command(copied)
    assert copied.twostep("greet", "--loudly") == "HELLO\n"
    assert "print a greeting" in copied.twostep("--help")
    script = copied.twostep("completion", "bash")
    assert all(word in script for word in ("greet", "--loudly"))
