"""Calls that are answered in batches."""

import asyncio
import threading

import pytest

from serving.batcher import Batcher, BusyError


def test_calls_that_wait_are_one_batch():
    batches, begun, go_on = [], threading.Event(), threading.Event()

    def answer(values):
        batches.append(list(values))
        begun.set()
        assert go_on.wait(10)
        return [2 * value for value in values]

    async def calls(batcher):
        first = batcher.submit(1)
        await asyncio.to_thread(begun.wait, 10)
        others = [batcher.submit(value) for value in range(2, 7)]
        go_on.set()
        return await asyncio.gather(first, *others)

    batcher = Batcher(answer, most=4)
    assert asyncio.run(calls(batcher)) == [2, 4, 6, 8, 10, 12]
    batcher.close()
    assert batches == [[1], [2, 3, 4, 5], [6]]


def test_an_error_of_one_call_is_not_one_of_the_others():
    def answer(values):
        return [ValueError(value) if value == 2 else value for value in values]

    async def calls(batcher):
        return await asyncio.gather(*(batcher.call(value) for value in range(4)), return_exceptions=True)

    batcher = Batcher(answer, most=10, wait_s=0.05)
    results = asyncio.run(calls(batcher))
    assert [results[0], results[1], results[3]] == [0, 1, 3]
    assert isinstance(results[2], ValueError)


def test_an_error_of_a_batch_is_that_of_its_calls_and_the_next_are_answered():
    def answer(values):
        if "bad" in values:
            raise RuntimeError("failed")
        return values

    async def calls(batcher):
        with pytest.raises(RuntimeError, match="failed"):
            await batcher.call("bad")
        return await batcher.call("good")

    assert asyncio.run(calls(Batcher(answer, most=1))) == "good"


def test_calls_beyond_the_limit_are_refused_and_callers_may_go():
    begun, go_on, errors = threading.Event(), threading.Event(), []

    def answer(values):
        begun.set()
        assert go_on.wait(10)
        return values

    async def calls(batcher):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        first = batcher.submit(0)
        await asyncio.to_thread(begun.wait, 10)
        waiting = [batcher.submit(1), batcher.submit(2)]
        with pytest.raises(BusyError):
            batcher.submit(3)
        waiting[0].cancel()
        go_on.set()
        return await first, await waiting[1]

    batcher = Batcher(answer, most=1, waiting=2)
    assert asyncio.run(calls(batcher)) == (0, 2)
    batcher.close()
    assert errors == []


def test_a_call_without_a_result_gets_an_error():
    """A caller must not wait for ever where a batch is answered in part."""

    def in_part(values):
        yield 0, values[0]

    async def calls(batcher):
        both = asyncio.gather(*(batcher.call(value) for value in (1, 2)), return_exceptions=True)
        return await asyncio.wait_for(both, 10)

    for answer in (in_part, lambda values: values[:1]):
        batcher = Batcher(answer, most=10, wait_s=0.05)
        first, second = asyncio.run(calls(batcher))
        batcher.close()
        assert first == 1
        assert isinstance(second, RuntimeError)
