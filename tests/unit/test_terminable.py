"""A signal to stop that arrives while Python discards exceptions."""

import contextlib
import os
import signal

import pytest

from pipeline.commands.run import terminable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_that_was_lost_is_raised_again(number):
    before = signal.getsignal(number)
    with terminable() as raise_if_stopped:
        raise_if_stopped()
        with contextlib.suppress(KeyboardInterrupt):  # as a destructor discards an exception
            os.kill(os.getpid(), number)
        with pytest.raises(KeyboardInterrupt) as caught:
            raise_if_stopped()
    assert caught.value.args == (number,)
    assert signal.getsignal(number) is before


def test_where_ctrl_c_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
