"""A thread for disk work that takes its jobs in groups: the threads of the spool and the mailboxes.

All jobs that wait when the thread wakes are handed to it at once, and all their callers are resumed
by one wakeup of the event loop. That is what lets many messages share one fsync. Jobs run in the
order in which they were given. Nothing else in the services starts a thread.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

J = TypeVar("J")
T = TypeVar("T")
GROUP = 1000  # jobs handed over at once, at most


class Failure:
    """An outcome that is raised in the job's caller."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


_Waiting = tuple[J, "asyncio.Future[object]"]


class Worker(Generic[J]):
    """Runs `handle` on a thread of its own.

    `handle` gets a group of jobs and returns an outcome for each, in the same order: a value, or a
    Failure. What it raises is raised in every caller of the group.
    """

    def __init__(self, name: str, handle: Callable[[Sequence[J]], Sequence[object]]) -> None:
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Waiting[J] | None] = queue.SimpleQueue()
        self._ended = self._loop.create_future()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: J) -> "asyncio.Future[object]":
        """Hand in a job; the future has its outcome. A cancelled caller does not undo the job."""
        if self._closing:
            raise RuntimeError(f"{self._thread.name} is closed")
        future: asyncio.Future[object] = self._loop.create_future()
        self._jobs.put((job, future))
        return future

    async def close(self) -> None:
        """Finish the jobs that were handed in, then end the thread. May be called again."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await asyncio.shield(self._ended)
        self._thread.join()

    def _run(self) -> None:
        ending = False
        while not ending:
            group: list[_Waiting[J]] = []
            waiting = self._jobs.get()
            while waiting is not None:
                group.append(waiting)
                if len(group) == GROUP:
                    break
                try:
                    waiting = self._jobs.get_nowait()
                except queue.Empty:
                    break
            ending = waiting is None
            if group:
                self._finish(group)
        self._tell(self._ended.set_result, None)

    def _finish(self, group: list[_Waiting[J]]) -> None:
        outcomes: Sequence[object]
        try:
            outcomes = self._handle([job for job, _ in group])
        except Exception as error:  # noqa: BLE001 - it goes to the callers, every one of them
            outcomes = [Failure(error)] * len(group)
        self._tell(_resolve, group, outcomes)

    def _tell(self, call: Callable[..., object], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            log.warning("%s: the event loop ended before its work did", self._thread.name)


def _resolve(group: Sequence[_Waiting[J]], outcomes: Sequence[object]) -> None:
    for (_, future), outcome in zip(group, outcomes, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(outcome, Failure):
            future.set_exception(outcome.error)
        else:
            future.set_result(outcome)


Call = Callable[[], object]


def run_calls(calls: Sequence[Call]) -> list[object]:
    """A handler for jobs that are plain calls, each with an outcome of its own."""
    outcomes: list[object] = []
    for call in calls:
        try:
            outcomes.append(call())
        except Exception as error:  # noqa: BLE001 - likewise, to its caller
            outcomes.append(Failure(error))
    return outcomes


class Caller:
    """A worker thread for plain calls, with their types kept."""

    def __init__(self, name: str) -> None:
        self._worker: Worker[Call] = Worker(name, run_calls)

    async def __call__(self, function: Callable[..., T], *args: object) -> T:
        box: list[T] = []
        await self._worker.submit(lambda: box.append(function(*args)))
        return box[0]

    async def close(self) -> None:
        await self._worker.close()
