"""Worker processes that run the executors of nodes side by side.

The processes are forked after the imports of TensorFlow and TFX, so that none of them imports anything again, and
before this process runs anything in TensorFlow, whose threads do not survive a fork. A worker forks a process for each
executor, so that its memory is free after its end, and each executor can configure TensorFlow. This process keeps the
access to ML Metadata: drivers and publishers run here, and only executors run in workers.
"""

import contextlib
import ctypes
import json
import logging
import os
import queue
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from core import memory, progress
from core.errors import TwostepError
from pipeline.runners import failures, processes

MOST = 3  # workers; no more nodes of the DAG take long side by side
WORKER_BYTES = 1_000_000_000  # the memory that a worker uses beside that of the models and tables

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h

# The first byte of a message of a worker.
_REPORT, _OUTPUT, _FAILURE = b"R", b"O", b"F"


def number() -> int:
    """Return the number of workers for this machine; 1 if nodes should run one after the other in this process."""
    if not hasattr(os, "fork"):
        return 1
    return max(1, min(MOST, len(os.sched_getaffinity(0)), memory.available() // WORKER_BYTES))


class WorkerLostError(TwostepError):
    """A worker process that ended while it ran a node."""


class Workers:
    """A fixed number of worker processes.

    Attributes:
      count: the number of workers.
      stopped: whether `stop` was called.
    """

    def __init__(self, count: int):
        self.count = count
        self._idle: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self._pids: dict[Connection, int] = {}
        self.stopped = False
        # TensorFlow and Beam write temporary files that they delete at a normal end of a process only.
        self._temporary = tempfile.TemporaryDirectory(prefix="twostep-", ignore_cleanup_errors=True)
        sys.stdout.flush()  # what a buffer holds at the fork would be written by each process
        sys.stderr.flush()
        for _ in range(count):
            ours, theirs = (Connection(end.detach()) for end in socket.socketpair())
            first, pid = os.getpid(), os.fork()
            if not pid:
                for other in (ours, *self._pids):
                    other.close()
                tempfile.tempdir = os.environ["TMPDIR"] = self._temporary.name
                _serve(theirs, first)
            theirs.close()
            self._pids[ours] = pid
            self._idle.put(ours)

    def run(self, spec: Any, invocation: Any, on_report: Callable[[str], None]) -> bytes:
        """Run an executor in an idle worker.

        Args:
          spec: the executor's specification, a message of `tfx.proto.orchestration.executable_spec_pb2`.
          invocation: the ExecutionInvocation message of the execution.
          on_report: called with each progress report; an exception that it raises ends the worker.

        Returns:
          The serialised ExecutorOutput.

        Raises:
          WorkerLostError: the worker ended.
          TwostepError: the executor failed.
        """
        connection = self._idle.get()
        try:
            connection.send_bytes(type(spec).__name__.encode())
            connection.send_bytes(spec.SerializeToString())
            connection.send_bytes(invocation.SerializeToString())
            while (message := connection.recv_bytes())[:1] == _REPORT:
                on_report(message[1:].decode())
        except (EOFError, OSError) as error:
            self._end(connection)
            raise WorkerLostError(
                f"{invocation.pipeline_node.node_info.id}: the worker process was ended, for example because the "
                "machine has no memory left. Run again to resume at this node"
            ) from error
        except BaseException:
            self._end(connection)
            raise
        self._idle.put(connection)
        if message[:1] == _FAILURE:
            raise failures.restored(json.loads(message[1:]))
        return message[1:]

    def _end(self, connection: Connection) -> None:
        """End a worker, whatever it does."""
        pid = self._pids.pop(connection, None)
        if pid is not None:
            _kill(pid)
            os.waitpid(pid, 0)
            connection.close()

    def stop(self) -> None:
        """End all workers, whatever they do; each `run` in progress raises WorkerLostError."""
        self.stopped = True
        for pid in list(self._pids.values()):
            _kill(pid)

    def close(self) -> None:
        """End all workers and wait for their ends."""
        self.stop()
        for connection in list(self._pids):
            self._end(connection)
        self._temporary.cleanup()


@contextlib.contextmanager
def forked(count: int) -> Iterator[Workers | None]:
    """Yield `count` workers, or None if `count` is 1; end them after the block."""
    if count < 2:
        yield None
        return
    pool = Workers(count)
    try:
        yield pool
    finally:
        pool.close()


def _serve(connection: Connection, parent: int) -> NoReturn:
    """Run the executors that arrive on a connection, each in a process, until it is closed; then end this process."""
    code = 0
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends its workers
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _end_with_parent(parent)
        sys.argv = sys.argv[:1]  # the Beam executors of TFX would parse the arguments as flags of absl
        lock = threading.Lock()  # several threads of an executor may report

        def send(message: bytes) -> None:
            with lock:
                connection.send_bytes(message)

        while True:
            request = [connection.recv_bytes() for _ in range(3)]
            worker, pid = os.getpid(), os.fork()
            if not pid:
                _end_with_parent(worker)
                with progress.listening(lambda text: send(_REPORT + text.encode())):
                    answer = _answer(*request)
                processes.end_descendants(os.getpid())
                send(answer)
                break
            if os.waitpid(pid, 0)[1]:
                code = 1
                break
    except (EOFError, OSError):
        pass
    except BaseException:
        logging.exception("a worker failed")
        code = 1
    finally:
        # Without os._exit, handlers of the first process would run here.
        os._exit(code)


def _kill(pid: int) -> None:
    """End a worker with all processes that it has started."""
    processes.end_descendants(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _end_with_parent(parent: int) -> None:
    """Let Linux end this process with its parent; the lock on the run folder is shared by all of them."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent ended in the meantime
        os._exit(1)


def _answer(name: bytes, spec: bytes, invocation: bytes) -> bytes:
    """Run an executor; return a message with its output or its failure."""
    from tfx.orchestration.portable import data_types
    from tfx.orchestration.portable.launcher import DEFAULT_EXECUTOR_OPERATORS
    from tfx.proto.orchestration import executable_spec_pb2, execution_invocation_pb2

    message = getattr(executable_spec_pb2, name.decode()).FromString(spec)
    info = data_types.ExecutionInfo.from_proto(execution_invocation_pb2.ExecutionInvocation.FromString(invocation))
    try:
        operator = DEFAULT_EXECUTOR_OPERATORS[type(message)](message)
        output = operator.run_executor(info)
    except (Exception, SystemExit) as error:
        node_id = info.pipeline_node.node_info.id
        logging.exception("%s failed", node_id)
        return _FAILURE + json.dumps(failures.described(failures.explained(node_id, error))).encode()
    return _OUTPUT + output.SerializeToString()
