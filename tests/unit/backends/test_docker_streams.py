"""Streams and logs of the docker backend: threads end, nothing is missed, nothing comes twice."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

import pytest

from mxlab.backends.docker.engine import Engine
from mxlab.backends.docker.logs import Position, last_position, read
from mxlab.backends.docker.streams import BACKLOG, Stream, run_in_thread


class Pipe:
    """A blocking source of items that `stop` unblocks."""

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self.ended = threading.Event()

    def __iter__(self) -> Iterator[int]:
        try:
            while (item := self._items.get()) is not None:
                yield item
        finally:
            self.ended.set()

    def put(self, item: int) -> None:
        self._items.put(item)

    def stop(self) -> None:
        self._items.put(None)


async def test_items_arrive_in_order_and_close_ends_the_thread() -> None:
    pipe = Pipe()
    stream = Stream(iter(pipe), pipe.stop)
    for number in range(3):
        pipe.put(number)
    assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
    await stream.close()
    assert await asyncio.to_thread(pipe.ended.wait, 5)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_source_that_ends_ends_the_stream_after_its_last_item() -> None:
    stream = Stream(iter([1, 2]), lambda: None)
    assert [item async for item in stream] == [1, 2]


async def test_error_of_the_source_reaches_the_consumer() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("cut")

    stream = Stream(source(), lambda: None)
    assert await anext(stream) == 1
    with pytest.raises(OSError, match="cut"):
        await anext(stream)


async def test_slow_consumer_holds_the_source_back() -> None:
    taken = 0
    full = threading.Event()

    def source() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            if taken == BACKLOG + 1:
                full.set()
            yield taken

    stream = Stream(source(), lambda: None)
    assert await asyncio.to_thread(full.wait, 10)
    assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
    await stream.close()
    assert taken <= BACKLOG + 8


async def test_waiting_consumer_is_released_by_close() -> None:
    pipe = Pipe()
    stream = Stream(iter(pipe), pipe.stop)
    waiting = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0)
    await stream.close()
    assert await waiting is None


async def test_failing_call_raises_where_it_is_awaited() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_in_thread(fail)


class FakeApi:
    """A container's log: frames as the engine sends them, a stamp in front of each."""

    def __init__(self, *frames: tuple[str, bytes]) -> None:
        self.frames = list(frames)

    def logs(self, container: str, **options: Any) -> Any:
        if options.get("tail") == 1:
            stamp, line = self.frames[-1] if self.frames else ("", b"")
            return f"{stamp} ".encode() + line if stamp else b""
        return iter([f"{stamp} ".encode() + piece for stamp, piece in self.frames])


class FakeEngine:
    def __init__(self, api: FakeApi) -> None:
        self.api = api

    async def call(self, doing: str, function: Callable[[FakeApi], Any]) -> Any:
        return function(self.api)

    @asynccontextmanager
    async def stream(
        self, doing: str, opening: Callable[[FakeApi], Any]
    ) -> AsyncIterator[Stream[bytes]]:
        stream: Stream[bytes] = Stream(opening(self.api), lambda: None)
        try:
            yield stream
        finally:
            await stream.close()


def stamp(nanoseconds: int) -> str:
    return f"2026-01-02T03:04:05.{nanoseconds:09}Z"


async def lines_of(api: FakeApi, position: Position) -> list[str]:
    engine = cast(Engine, FakeEngine(api))
    async with aclosing(read(engine, "c", "stdout", position, follow=False)) as reading:
        return [line async for line in reading]


async def test_second_reading_begins_where_the_first_ended() -> None:
    api = FakeApi((stamp(1), b"a\n"), (stamp(2), b"b\n"))
    position = Position()
    assert await lines_of(api, position) == ["a", "b"]
    api.frames.append((stamp(3), b"c\n"))
    assert await lines_of(api, position) == ["c"]
    assert await lines_of(api, position) == []


async def test_lines_with_one_stamp_are_neither_lost_nor_repeated() -> None:
    api = FakeApi((stamp(1), b"a\n"), (stamp(1), b"b\n"))
    position = Position()
    assert await lines_of(api, position) == ["a", "b"]
    api.frames.append((stamp(1), b"c\n"))
    assert await lines_of(api, position) == ["c"]


async def test_line_that_the_engine_split_is_put_together() -> None:
    api = FakeApi((stamp(1), b"x" * 16384), (stamp(1), b"y\n"), (stamp(2), b"z\n"))
    position = Position()
    assert await lines_of(api, position) == ["x" * 16384 + "y", "z"]
    assert await lines_of(api, position) == []


async def test_line_without_its_end_is_read_again_when_whole() -> None:
    api = FakeApi((stamp(1), b"a\n"), (stamp(2), b"hal"))
    position = Position()
    assert await lines_of(api, position) == ["a"]
    api.frames.append((stamp(2), b"f\n"))
    assert await lines_of(api, position) == ["half"]


async def test_last_position_is_behind_everything_so_far() -> None:
    api = FakeApi((stamp(1), b"old\n"), (stamp(1), b"older\n"))
    position = await last_position(cast(Engine, FakeEngine(api)), "c")
    api.frames.append((stamp(2), b"new\n"))
    assert await lines_of(api, position) == ["new"]
