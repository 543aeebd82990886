"""The order in which the nodes of a pipeline run: each after those that it depends on, several side by side."""

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")


def side_by_side(
    upstream: Mapping[str, set[str]],
    run: Callable[[str], Result],
    count: int,
    raise_if_stopped: Callable[[], None],
    stop: Callable[[], None],
) -> Generator[Result, None, None]:
    """Run nodes in threads, each after the nodes that it depends on, and yield the results as they end.

    Args:
      upstream: node → the nodes that it depends on, which may include nodes that do not run; nodes that are ready at
        the same time start in this order.
      run: runs a node.
      count: the maximum number of nodes that run side by side.
      raise_if_stopped: called before nodes start; an exception that it raises ends the run.
      stop: ends all running nodes, after an error; their threads are then waited for.
    """
    waiting, running = dict(upstream), dict[Future[Result], str]()
    with ThreadPoolExecutor(count, "node") as threads:
        try:
            while waiting or running:
                raise_if_stopped()
                unfinished = {*waiting, *running.values()}
                ready = [node for node, needs in waiting.items() if not unfinished.intersection(needs)]
                for node in ready[: count - len(running)]:
                    running[threads.submit(run, node)] = node
                    del waiting[node]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[future]
                    yield future.result()
        except BaseException:
            stop()
            raise
