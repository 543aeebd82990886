"""The nodes that use Beam make the same outputs on Prism, and in several processes, as in one process."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import beam_pool
import pyarrow as pa
import pytest
import shop
import tensorflow_model_analysis as tfma
from google.protobuf import text_format
from object_servers import engines
from same_outputs import check_statistics
from tensorflow_metadata.proto.v0 import schema_pb2

from core import examples
from core.files import folder_digests

LAST = "RankingEvaluator"
# Files that TensorFlow and TFDV write in another order at each run.
ANEW = ("saved_model.pb", "fingerprint.pb", "SchemaDiff.pb")
TRAINERS = ("RankingTrainer", "RetrievalTrainer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.make(folder)
    return folder


def run(folder: Path, name: str, beam: dict[str, object]) -> Path:
    """Run the nodes up to the evaluation of the ranker; return the folder of their outputs."""
    shop.call("run", shop.config(folder, name, beam=beam), "--until", LAST, "--workers", 2)
    return folder / "runs" / name / "pipeline"


@pytest.fixture(scope="module")
def local(folder: Path) -> Path:
    return run(folder, "local", {})


@pytest.fixture(scope="module")
def prism() -> Path:
    return engines().built("prism")


@pytest.fixture(scope="module")
def pool() -> Iterator[str]:
    """Return the address of a running pool of workers."""
    with beam_pool.running(shop.ROOT) as address:
        yield address


def test_prism_with_the_steps_in_the_process_of_the_node(folder, local, prism):
    check_same(local, run(folder, "prism", {"runner": "prism", "prism": {"location": str(prism)}}))
    assert processes_of(prism) == []


def test_prism_with_workers_in_processes_of_their_own(folder, local, prism, pool):
    options = {"location": str(prism), "workers": pool}
    check_same(local, run(folder, "pool", {"runner": "prism", "prism": options}))
    assert processes_of(prism) == []


def test_two_processes_of_this_machine(folder, local):
    check_same(local, run(folder, "two", {"processes": 2}))


def test_another_engine_takes_the_outputs_from_the_cache(folder, local, prism):
    file = shop.config(folder, "local", beam={"runner": "prism", "prism": {"location": str(prism)}})
    output = shop.call("run", file, "--until", LAST, "--workers", 1)
    assert re.findall(r"^✓ (\w+)", output, re.MULTILINE) == []


def test_a_stopped_run_leaves_no_engine_behind(folder, prism):
    for workers in (1, 2):
        options = {"runner": "prism", "prism": {"location": str(prism)}}
        process = shop.start("run", shop.config(folder, f"stopped{workers}", beam=options), "--workers", workers)
        until = time.monotonic() + 120
        while not processes_of(prism):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        shop.wait(process, 143)
        assert processes_of(prism) == []


def test_an_engine_that_is_not_there_is_named_before_any_node(folder, prism):
    for options, message in (
        ({"location": str(folder / "none")}, "beam.prism.location: .*none is not a program"),
        ({"location": str(prism), "workers": "localhost:9"}, "beam.prism.workers: localhost:9 does not answer"),
    ):
        file = shop.config(folder, "none", beam={"runner": "prism", "prism": options})
        output = shop.call("run", file, code=2)
        assert re.search(message, output), output
        assert "✓" not in output


# ---- comparisons ----


def check_same(one: Path, other: Path) -> None:
    """Check that two runs wrote the same files: bit for bit, and where the format has no order, the same content."""
    ours, theirs = outputs(one), outputs(other)
    assert ours.keys() == theirs.keys()
    assert any(name.startswith("CandidateGenerator/") for name in ours)
    assert any("/transform_fn/assets/" in name for name in ours)
    assert any("/events/" in name for name in ours)
    for name, (file, digest) in ours.items():
        found, found_digest = theirs[name]
        if "data_tfrecord-" in name:
            assert rows(file) == rows(found), name
        elif name.endswith("FeatureStats.pb"):
            check_statistics(file, found)
        elif name.endswith("schema.pbtxt"):
            assert columns(file) == columns(found), name
        elif name.startswith("RankingEvaluator/"):
            check_evaluation(file.parent, found.parent)
        elif not name.endswith(ANEW) and not name.startswith(TRAINERS):
            assert digest == found_digest, name


def outputs(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return the name of each output file → its path and digest.

    The name is without the id of the execution, and of TFMA without the number of its files, which the engine chooses.
    """
    return {
        re.sub(r"/\d+/|(?<=^RankingEvaluator).*", "/", name): (folder / name, digest)
        for name, digest in folder_digests(folder).items()
        if "/.system/" not in name and not name.startswith(".")
    }


def rows(file: Path) -> list[str]:
    """Return the rows of a file of Examples as text, in which NaN is equal to NaN; their features have no order."""
    batches = examples.read_encoded([str(file)], 1000)
    return [repr(sorted(row.items())) for batch in batches for row in pa.Table.from_batches([batch]).to_pylist()]


def columns(file: Path) -> dict[str, bytes]:
    schema = text_format.Parse(file.read_text(), schema_pb2.Schema())
    return {feature.name: feature.SerializeToString(deterministic=True) for feature in schema.feature}


def check_evaluation(one: Path, other: Path) -> None:
    """Check that TFMA computed the same metrics for each slice."""
    ours, theirs = (dict(tfma.load_eval_result(str(folder)).slicing_metrics) for folder in (one, other))
    assert ours.keys() == theirs.keys()
    assert len(ours) > 1
    for key, metrics in ours.items():
        for name, value in metrics[""][""].items():
            # Beam chooses the sizes of batches by the time that they take, and the last digits of scores depend on
            # them. Sums over buckets of scores change by millionths where a score is at the bound of one.
            expected = theirs[key][""][""][name].get("doubleValue")
            assert value.get("doubleValue") == pytest.approx(expected, rel=1e-4), name


def processes_of(program: Path) -> list[str]:
    """Return the ids of the running processes of a program that these tests have started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "exe").resolve() == program.resolve():
                found.append(folder.name)
        except OSError:
            continue
    return found
