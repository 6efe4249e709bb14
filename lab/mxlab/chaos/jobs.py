"""The same search on several processes: each takes the next block of runs when it is free.

What is found is the finding of the lowest block that has one, so blocks below a finding are played
to their end and those above it are given up. Workers are forked: they know what their parent knew.
"""

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection, wait

from mxlab.chaos.block import at_full_speed, search_block
from mxlab.chaos.tally import BLOCK, Quest, Sum, Tally
from mxlab.errors import EnvironmentProblem

BETWEEN = 0.2  # real seconds between two words of a worker
_FORK = multiprocessing.get_context("fork")


class WorkerLost(EnvironmentProblem):
    """A process of the search ended before its work did."""


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def search_together(
    quest: Quest, jobs: int, progress: Callable[[Tally], None], began: float
) -> Tally:
    """`search` with `jobs` processes. Ends them all, whatever happens."""
    crew = _Crew(quest, jobs)
    try:
        for whole in crew.work():
            progress(whole.total(time.monotonic() - began))
    except KeyboardInterrupt:
        return crew.whole.total(time.monotonic() - began, interrupted=True)
    finally:
        crew.end()
    return crew.whole.total(time.monotonic() - began)


class _Worker:
    """A process, the pipe to it, and the block that it is at work on."""

    def __init__(self, quest: Quest, others: list[Connection]) -> None:
        self.pipe, theirs = _FORK.Pipe()
        self.block = 0
        inherited = [self.pipe, *others]
        self.process = _FORK.Process(target=_work, args=(quest, theirs, inherited), daemon=True)
        self.process.start()
        theirs.close()

    def begin(self, block: int) -> None:
        self.block = block
        with contextlib.suppress(BrokenPipeError):  # it is gone: reading will tell
            self.pipe.send(block)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Crew:
    """The workers that are at work, by their pipes, and what they have come to."""

    def __init__(self, quest: Quest, jobs: int) -> None:
        self._quest, self._jobs = quest, jobs
        self._next = 0
        self._workers: dict[Connection, _Worker] = {}
        self.whole = Sum()

    def work(self) -> Iterator[Sum]:
        """Yields after each word of a worker, until there is nothing more to do."""
        with _no_interrupts():
            for _ in range(self._jobs):
                if self._more():
                    worker = _Worker(self._quest, list(self._workers))
                    self._workers[worker.pipe] = worker
                    self._give(worker)
        while self._workers:
            for pipe in wait(list(self._workers)):
                worker = self._workers.get(pipe)  # type: ignore[call-overload]
                if worker is not None:
                    self._hear(worker)
            yield self.whole

    def end(self) -> None:
        for worker in self._workers.values():
            worker.end()
        self._workers.clear()

    def _more(self) -> bool:
        quest = self._quest
        return self.whole.found_in is None and not quest.late() and quest.runs_in(self._next) > 0

    def _give(self, worker: _Worker) -> None:
        worker.begin(self._next)
        self._next += 1

    def _hear(self, worker: _Worker) -> None:
        try:
            tally, done, trouble = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._lost(worker) from None
        if trouble:
            raise RuntimeError(f"a process of the search failed:\n{trouble}")
        self.whole.update(worker.block, tally)
        if tally.found is not None:
            for other in list(self._workers.values()):
                if other.block > worker.block:
                    self._dismiss(other)
        if done and self._more():
            self.whole.close(worker.block)
            self._give(worker)
        elif done:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        self.whole.close(worker.block)
        del self._workers[worker.pipe]
        worker.end()

    def _lost(self, worker: _Worker) -> WorkerLost:
        worker.process.join()
        code = worker.process.exitcode or 0
        how = (
            f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        first = worker.block * BLOCK + 1
        return WorkerLost(
            f"a process of the search {how} in runs {first} to {first + BLOCK - 1} "
            f"of seed {self._quest.seed}",
            "with --jobs 1 the same runs are tried in one process; fewer jobs need less memory",
        )


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C waits, here and in what is forked here, until a worker says that it is not for it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# --- in the worker --------------------------------------------------------------------------------


def _work(quest: Quest, pipe: Connection, inherited: list[Connection]) -> None:
    """Search the blocks that the parent names, until it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent takes Ctrl-C, and ends us
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for other in inherited:  # else nobody would see that the parent is gone
        other.close()
    with contextlib.suppress(EOFError, ConnectionError), at_full_speed():
        while True:
            block: int = pipe.recv()
            try:
                tally = search_block(quest, block, _teller(pipe))
            except ConnectionError:
                raise
            except Exception:  # noqa: BLE001 - the parent raises it
                pipe.send((Tally(), True, traceback.format_exc()))
                return
            pipe.send((tally, True, ""))


def _teller(pipe: Connection) -> Callable[[Tally], None]:
    """Tells of progress now and then, and of each finding that is better than the last."""
    last, told = 0.0, Tally()

    def tell(tally: Tally) -> None:
        nonlocal last, told
        now = time.monotonic()
        if now - last >= BETWEEN or tally.found is not told.found:
            last, told = now, replace(tally)
            pipe.send((told, False, ""))

    return tell
