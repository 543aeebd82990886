"""The progress of a run in the terminal, and the listener that receives progress reports."""

import io
import threading

import pytest
from rich.console import Console

from core import progress as hook
from pipeline.runners.progress import NodeResult, Progress, duration


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def plain(out, clock) -> Progress:
    return Progress(Console(file=out), clock)


def test_a_report_without_a_listener_goes_nowhere():
    hook.report("epoch 1/2")


def test_reports_reach_the_innermost_listener_from_any_thread():
    outer, inner = [], []
    with hook.listening(outer.append):
        hook.report("a")
        with hook.listening(inner.append):
            thread = threading.Thread(target=hook.report, args=("b",))
            thread.start()
            thread.join()
        hook.report("c")
    hook.report("d")
    assert (outer, inner) == (["a", "c"], ["b"])


def test_a_label_is_put_before_the_reports_of_its_thread():
    heard: list[str] = []

    def fit(name):
        with hook.labelled("fusion"), hook.labelled(name):
            hook.report("epoch 1/2")

    with hook.listening(heard.append):
        thread = threading.Thread(target=fit, args=("gru",))
        thread.start()
        thread.join()
        hook.report("done")
    assert heard == ["fusion: gru: epoch 1/2", "done"]


def test_a_listener_is_gone_after_an_error():
    heard: list[str] = []
    with pytest.raises(KeyError), hook.listening(heard.append):
        raise KeyError
    hook.report("late")
    assert heard == []


def test_lines_of_finished_nodes_stand_in_columns(plain, out):
    plain.set_nodes(["Transform", "RetrievalTrainer"])
    results = [
        NodeResult("Transform", "done", 12.34, 2, 1),
        NodeResult("RetrievalTrainer", "cached", 0.1, 1, 2),
        NodeResult("Pusher", "skipped", 0.0),
        NodeResult("Index", "failed", 75.0),
    ]
    for result in results:
        plain.node_finished(result)
    plain.run_finished(results[:3], 192.0)
    assert out.getvalue().splitlines() == [
        "✓ Transform               12.3 s",
        "= RetrievalTrainer    from cache",
        "- Pusher                 skipped",
        "✗ Index               1 min 15 s  failed",
        "3 nodes in 3 min 12 s, 1 from cache, 1 skipped",
    ]


def test_where_nothing_can_be_redrawn_a_long_node_speaks_every_ten_seconds(plain, out, clock):
    plain.set_nodes(["Trainer"])
    with plain.running("Trainer"):
        for second in range(35):
            clock.now = 100.0 + second
            plain.update("Trainer", f"epoch {second}/35,\n loss 1")
    lines = out.getvalue().splitlines()
    assert lines == [f"  Trainer        {s}.0 s  epoch {s}/35, loss 1" for s in (10, 20, 30)]


def test_what_a_node_says_is_printed_as_text(plain, out, clock):
    with plain.running("Trainer"):
        clock.now += 11
        plain.update("Trainer", "[bold]x\x1b[2J\u202e")
    assert out.getvalue().splitlines()[0].endswith("[bold]x\\x1b[2J\\u202e")


def test_a_short_node_says_nothing_before_its_end(plain, out, clock):
    with plain.running("Trainer"):
        plain.update("Trainer", "epoch 1/2")
        clock.now += 9
        plain.update("Trainer", "epoch 2/2")
    assert out.getvalue() == ""


def test_long_lines_are_not_broken_in_a_log(out, clock):
    progress = Progress(Console(file=out, width=40), clock)
    progress.node_finished(NodeResult("N" * 60, "done", 1.0))
    assert len(out.getvalue().splitlines()) == 1


def test_a_terminal_shows_the_running_node_and_clears_it(out, clock):
    console = Console(file=out, force_terminal=True, width=80, legacy_windows=False, color_system=None)
    progress = Progress(console, clock)
    progress.set_nodes(["Trainer"])
    with progress.running("Trainer"):
        clock.now += 65
        progress.update("Trainer", "epoch 3/20, loss 1.23")
        progress._live.refresh()
    progress.node_finished(NodeResult("Trainer", "done", 65.0))
    shown = out.getvalue()
    assert "1 min 05 s  epoch 3/20, loss 1.23" in shown
    *_, last = shown.splitlines()
    assert last.endswith("✓ Trainer    1 min 05 s")
    assert "\x1b[2K" in shown  # the running line was erased


def test_threads_may_start_and_end_nodes_at_the_same_time(out):
    console = Console(file=out, force_terminal=True, width=80, legacy_windows=False, color_system=None)
    progress, errors = Progress(console), []

    def nodes(thread):
        try:
            for number in range(100):
                with progress.running(f"{thread}-{number}"):
                    progress.update(f"{thread}-{number}", "epoch 1/2")
                progress.node_finished(NodeResult(f"{thread}-{number}", "done", 0.0))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=nodes, args=(thread,), daemon=True) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)
    assert len(progress.results) == 400


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7325, "2 h 02 min"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_running_durations_have_no_tenths():
    assert duration(12.9, whole=True) == "12 s"
