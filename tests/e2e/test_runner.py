"""The local runner on a pipeline of three small nodes: order, cache, leftovers of a killed run, and errors."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from facts import facts, lacking
from rich.console import Console

from core.errors import DataError, TwostepError, UsageError
from pipeline import cli
from pipeline.commands.run import terminable
from pipeline.lineage import records
from pipeline.lineage.database import SQLite
from pipeline.runners import failures, local
from pipeline.runners.progress import Progress

ROOT = Path(cli.__file__).resolve().parents[1]

# The source of a module, because TFX imports an executor by its path, also in other processes.
# The nodes are Numbers -> Sums -> Report; environment variables select how Sums fails.
LITTLE = """
import os
import signal
from pathlib import Path

import apache_beam as beam
from tfx import v1 as tfx

from core import progress
from core.errors import DataError
from pipeline.config.beam import LOCAL

InputArtifact, OutputArtifact = tfx.dsl.components.InputArtifact, tfx.dsl.components.OutputArtifact
Examples = tfx.types.standard_artifacts.Examples


class Refuse(beam.DoFn):
    def process(self, element):
        raise DataError("a.csv", "row 3", "is empty", "Fill it")


@tfx.dsl.components.component
def Numbers(numbers: OutputArtifact[Examples], count: tfx.dsl.components.Parameter[int]):
    Path(numbers.uri, "numbers").write_text(str(count))


@tfx.dsl.components.component(use_beam=True)
def Sums(
    numbers: InputArtifact[Examples],
    sums: OutputArtifact[Examples],
    beam_pipeline: tfx.dsl.components.BeamComponentParameter[beam.Pipeline] = None,
):
    progress.report("40,000 rows")
    fault = os.environ.get("FAULT", "")
    if fault == "exit":
        os._exit(9)
    if fault == "data":
        raise DataError("a.csv", "row 3", "is empty", "Fill it")
    if fault == "stop":
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as stop:
            said = f"{stop!r} at: a.py(3): f"
        raise RuntimeError(said)  # as C++ that calls Python tells of it: in words alone
    if fault == "other":
        raise KeyError("no such column")
    with beam_pipeline as pipeline:
        made = pipeline | beam.Create([1, 2])
        if fault == "beam":
            made | beam.ParDo(Refuse())
    Path(sums.uri, "sums").write_text(Path(numbers.uri, "numbers").read_text())


@tfx.dsl.components.component
def Report(sums: InputArtifact[Examples], report: OutputArtifact[Examples]):
    Path(report.uri, "report").write_text("done")


def build(folder, count=3, workers=0):
    numbers = Numbers(count=count)
    sums = Sums(numbers=numbers.outputs["numbers"])
    report = Report(sums=sums.outputs["sums"])
    several = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"] if workers else []
    return tfx.dsl.Pipeline(
        pipeline_name="little",
        pipeline_root=f"{folder}/pipeline",
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            f"{folder}/metadata.sqlite"
        ),
        components=[numbers, sums, report],
        enable_cache=True,
        beam_pipeline_args=[*LOCAL, *several],
    )
"""

PROCESS = """
import sys
from pathlib import Path
from rich.console import Console
from pipeline.runners import local
from pipeline.runners.logs import captured
from pipeline.runners.progress import Progress
folder = Path(sys.argv[1])
with captured(folder / "run.log") as terminal:
    import little
    local.run(little.build(folder), Progress(Console(file=terminal)))
"""


@pytest.fixture(scope="module")
def little(tmp_path_factory):
    folder = tmp_path_factory.mktemp("module")
    (folder / "little.py").write_text(LITTLE)
    sys.path.insert(0, str(folder))
    import little

    yield little
    sys.path.remove(str(folder))
    del sys.modules["little"]


@pytest.fixture(autouse=True)
def no_fault(monkeypatch):
    monkeypatch.delenv("FAULT", raising=False)


def run(pipeline):
    """Run a pipeline; return the results of its nodes and the printed progress."""
    out = io.StringIO()
    results = local.run(pipeline, Progress(Console(file=out)))
    return results, out.getvalue().splitlines()


def search_path(little) -> str:
    """Return the PYTHONPATH with which another process can import the module of the pipeline."""
    return os.pathsep.join([str(ROOT), str(Path(little.__file__).parent)])


def states(results) -> list[tuple[str, str]]:
    return [(result.node, result.state) for result in results]


def test_nodes_run_in_order_and_a_second_time_from_cache(little, tmp_path):
    results, lines = run(little.build(tmp_path))
    assert states(results) == [("Numbers", "done"), ("Sums", "done"), ("Report", "done")]
    assert [result.outputs for result in results] == [1, 1, 1]
    assert [line.split()[:2] for line in lines[:3]] == [["✓", "Numbers"], ["✓", "Sums"], ["✓", "Report"]]
    assert lines[3].startswith("3 nodes in ")
    results, lines = run(little.build(tmp_path))
    assert states(results) == [("Numbers", "cached"), ("Sums", "cached"), ("Report", "cached")]
    assert lines[3].endswith(", 3 from cache")
    results, _ = run(little.build(tmp_path, count=4))
    assert states(results) == [("Numbers", "done"), ("Sums", "done"), ("Report", "done")]


def test_a_run_until_a_node_runs_it_and_what_it_needs(little, tmp_path):
    progress = Progress(Console(file=io.StringIO()))
    results = local.run(little.build(tmp_path), progress, until="Sums")
    assert states(results) == [("Numbers", "done"), ("Sums", "done")]
    assert progress.results == results
    assert states(run(little.build(tmp_path))[0]) == [("Numbers", "cached"), ("Sums", "cached"), ("Report", "done")]


def test_an_unknown_node_ends_the_run_before_it_begins(little, tmp_path):
    with pytest.raises(UsageError, match=r"`Sums`\?.*Numbers, Sums, Report"):
        local.run(little.build(tmp_path), Progress(Console(file=io.StringIO())), until="Sum")
    assert not (tmp_path / "pipeline").exists()


def test_a_check_after_a_node_ends_the_run_there(little, tmp_path):
    def check(results):
        if results[-1].node == "Numbers":
            raise DataError("items", "the catalogue", "3 items", "Set less")

    for state in ("done", "cached"):
        progress = Progress(Console(file=io.StringIO()))
        with pytest.raises(DataError):
            local.run(little.build(tmp_path), progress, check=check)
        assert states(progress.results) == [("Numbers", state)]


def test_a_killed_run_goes_on_at_its_node_and_libraries_say_nothing(little, tmp_path):
    environment = {**os.environ, "FAULT": "exit", "PYTHONPATH": search_path(little)}
    killed = subprocess.run(
        [sys.executable, "-c", PROCESS, str(tmp_path)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert killed.returncode == 9
    assert killed.stderr == ""
    [line] = killed.stdout.splitlines()
    assert line.startswith("✓ Numbers")
    assert "---- Sums ----" in (tmp_path / "run.log").read_text()
    sums = tmp_path / "pipeline" / "Sums"
    [left] = (sums / "sums").iterdir()
    results, _ = run(little.build(tmp_path))
    assert states(results) == [("Numbers", "cached"), ("Sums", "done"), ("Report", "done")]
    [made] = (sums / "sums").iterdir()
    assert made.name != left.name
    assert not (sums / ".system" / "executor_execution" / left.name).exists()
    assert (tmp_path / "pipeline/Numbers/numbers").is_dir()


@pytest.mark.parametrize("fault", ["data", "beam"])
def test_our_own_error_comes_out_as_it_is_and_nothing_runs_after_it(little, tmp_path, monkeypatch, fault):
    monkeypatch.setenv("FAULT", fault)
    out = io.StringIO()
    with pytest.raises(DataError) as caught:
        local.run(little.build(tmp_path), Progress(Console(file=out)))
    assert caught.value.place == "row 3"
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["✓", "Numbers"], ["✗", "Sums"]]
    monkeypatch.delenv("FAULT")
    assert states(run(little.build(tmp_path))[0]) == [("Numbers", "cached"), ("Sums", "done"), ("Report", "done")]


def test_another_process_s_error_keeps_its_message(little, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT", "beam")
    monkeypatch.setenv("PYTHONPATH", search_path(little))
    with pytest.raises(TwostepError) as caught:
        run(little.build(tmp_path, workers=1))
    assert str(caught.value) == "a.csv: row 3: is empty. Fill it"  # the message of the executor, unchanged


def test_any_other_error_names_the_node_and_what_it_raised(little, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT", "other")
    with pytest.raises(TwostepError) as caught:
        run(little.build(tmp_path))
    assert lacking(str(caught.value), "Sums … KeyError: 'no such column' … -v") == []


def test_a_request_to_stop_that_a_library_made_a_failure_of_stops_the_run(little, tmp_path, monkeypatch):
    monkeypatch.setenv("FAULT", "stop")
    out = io.StringIO()
    with terminable() as raise_if_stopped, pytest.raises(KeyboardInterrupt) as caught:
        local.run(little.build(tmp_path), Progress(Console(file=out)), raise_if_stopped=raise_if_stopped)
    assert caught.value.args == (signal.SIGTERM,)
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [["✓", "Numbers"]]


def test_progress_of_an_executor_is_reported(little, tmp_path):
    heard = []

    class Listening(Progress):
        def update(self, name, text):
            heard.append((name, text))

    local.run(little.build(tmp_path), Listening(Console(file=io.StringIO())))
    assert heard == [("Sums", "40,000 rows")]


def test_lineage_of_what_the_runner_recorded(little, tmp_path):
    results, _ = run(little.build(tmp_path))
    run(little.build(tmp_path))
    store = SQLite(tmp_path / "metadata.sqlite").open()
    [report] = store.get_events_by_execution_ids([results[-1].execution_id])[-1:]
    found = records.trace(store, report.artifact_id)
    assert [execution.node for execution in found.executions.values()] == ["Numbers", "Sums", "Report"]
    assert found.maker(report.artifact_id).id == results[-1].execution_id


@pytest.mark.parametrize("arguments", [["-v", "run", "shop.yaml"], ["run", "shop.yaml", "-v"]])
def test_the_arguments_of_the_command_are_no_flags_of_a_library(little, tmp_path, monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["twostep", *arguments])
    results, _ = run(little.build(tmp_path))
    assert [each.state for each in results] == ["done"] * 3
    assert sys.argv == ["twostep", *arguments]


def test_damaged_metadata_is_named_before_any_node_runs(little, tmp_path):
    results, _ = run(little.build(tmp_path))
    file = tmp_path / "metadata.sqlite"
    file.write_bytes(b"not SQLite" * 1000)
    out = io.StringIO()
    with pytest.raises(UsageError, match=facts(f"{file}: … damaged")):
        local.run(little.build(tmp_path), Progress(Console(file=out)))
    assert out.getvalue() == ""
    file.unlink()
    assert [each.state for each in run(little.build(tmp_path))[0]] == [each.state for each in results]


def test_a_beam_message_without_an_error_of_ours_is_cut_to_its_end():
    text = "\n".join(f"  File {number}" for number in range(50)) + "\nValueError: too long"
    message = str(failures.explained("Sums", RuntimeError(text)))
    assert lacking(message.splitlines()[0], "Sums … RuntimeError") == []
    assert "ValueError: too long" in message
    assert len(message.splitlines()) < 10
