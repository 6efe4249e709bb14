"""Blocking iterators as asynchronous ones, each read by a thread of its own.

Guarantee: `close` ends the reading (by `stop`, which must unblock it) and forgets the thread; a
reader that is slower than its source holds the source back and costs bounded memory.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

BACKLOG = 4096  # items read ahead of their consumer


def run_in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """Run a blocking call in a new daemon thread; nothing waits for it when the program ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        problem: BaseException | None = None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - handed to the awaiting task
            problem = RuntimeError("ended early") if isinstance(error, StopIteration) else error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, problem)

    # The result of a call that nobody waits for any more is looked at, so that asyncio is content.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    threading.Thread(target=work, daemon=True, name="mxlab-docker").start()
    return future


class Stream(Generic[T]):
    """Iterates asynchronously over `source`; `stop` makes a blocked `source` end."""

    def __init__(self, source: Iterator[T], stop: Callable[[], None]) -> None:
        self._source = source
        self._stop = stop
        self._items: deque[T] = deque()
        self._room = threading.Semaphore(BACKLOG)
        self._news = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._reading = run_in_thread(self._read)
        self._reading.add_done_callback(lambda _: self._news.set())

    def _read(self) -> None:
        for item in self._source:
            self._room.acquire()
            if self._closed:
                return
            self._items.append(item)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._news.set)

    def __aiter__(self) -> "Stream[T]":
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._reading.done() and not self._items:
                self._reading.result()
                raise StopAsyncIteration
            self._news.clear()
            if not self._items and not self._reading.done():
                await self._news.wait()
        self._room.release()
        return self._items.popleft()

    async def close(self) -> None:
        """End the reading. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._room.release()
        if not self._reading.done():
            await run_in_thread(self._stop)
        self._news.set()
