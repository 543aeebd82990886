"""Requests of obstore in a forked process.

The threads of obstore do not survive a fork: a request in a child process never ends if the parent has made one before.
In such a child the requests are made, one after the other, by a helper: `python -m core.storage.fork`, which ends with
its caller.
"""

import functools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from core.storage.errors import UnreachableError

Function = TypeVar("Function", bound=Callable[..., Any])

_first: int | None = None  # the process that made the first request, and in which obstore's threads live
_helper: tuple[int, subprocess.Popen] | None = None  # with the process that started it
_lock = threading.Lock()


def safe(function: Function) -> Function:
    """Let a method of a picklable object run in a helper if obstore's threads were lost in a fork."""

    @functools.wraps(function)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        global _first
        if _first is None:
            _first = os.getpid()
        if _first == os.getpid():
            return function(self, *arguments, **options)
        return _ask(self, function.__name__, arguments, options)

    return cast(Function, call)


def _ask(*request: Any) -> Any:
    """Return the result of a method in the helper, or raise its error."""
    global _helper
    with _lock:
        if _helper is None or _helper[0] != os.getpid() or _helper[1].poll() is not None:
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            command = [sys.executable, "-m", "core.storage.fork"]
            _helper = (
                os.getpid(),
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment),
            )
        pipe = _helper[1]
        if pipe.stdin is None or pipe.stdout is None:
            raise RuntimeError("the helper has no pipes")
        try:
            pickle.dump(request, pipe.stdin)
            pipe.stdin.flush()
            succeeded, value = pickle.load(pipe.stdout)
        except (EOFError, BrokenPipeError):
            pipe.kill()
            pipe.wait()
            raise UnreachableError("the helper process that makes the requests to S3 ended; see its output") from None
    if not succeeded:
        raise value
    return value


def _serve() -> None:
    """Answer the requests of the caller until it ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not be mixed with the answers
    while True:
        try:
            instance, name, arguments, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, getattr(instance, name)(*arguments, **options)
        except Exception as error:
            answer = False, error
        pickle.dump(answer, answers)
        answers.flush()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_lock=threading.Lock()))

if __name__ == "__main__":
    _serve()
