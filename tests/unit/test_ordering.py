"""Nodes that run side by side: the order, the limit, and the end after an error."""

import threading

import pytest

from pipeline.runners.ordering import side_by_side

DIAMOND = {"a": set(), "b": {"a"}, "c": {"a", "elsewhere"}, "d": {"b", "c"}}


def nothing():
    pass


def test_each_node_runs_after_those_that_it_depends_on():
    done = []

    def run(node):
        assert DIAMOND[node] - {"elsewhere"} <= set(done)
        return node

    for node in side_by_side(DIAMOND, run, 3, nothing, nothing):
        done.append(node)
    assert sorted(done) == ["a", "b", "c", "d"]
    assert (done[0], done[-1]) == ("a", "d")


def test_independent_nodes_run_at_the_same_time_but_no_more_than_allowed():
    both, lock, now, most = threading.Barrier(2, timeout=10), threading.Lock(), [0], [0]

    def run(node):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        both.wait()  # ends only if two nodes run
        with lock:
            now[0] -= 1
        return node

    list(side_by_side({node: set() for node in "abcd"}, run, 2, nothing, nothing))
    assert most == [2]


def test_an_error_stops_the_running_nodes_and_starts_no_other():
    stopped, started = threading.Event(), []

    def run(node):
        started.append(node)
        if node == "a":
            raise ValueError("a failed")
        assert stopped.wait(10)

    with pytest.raises(ValueError, match="a failed"):
        list(side_by_side({"a": set(), "b": set(), "c": set()}, run, 2, nothing, stopped.set))
    assert sorted(started) == ["a", "b"]


def test_a_stop_ends_the_run():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(side_by_side(DIAMOND, lambda node: node, 2, stop, nothing))
