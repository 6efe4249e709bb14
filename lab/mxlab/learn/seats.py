"""The seats of exercises, walked in the simulation by several processes at once.

Workers are forked: they know what their parent knew. Whatever happens, none outlives this.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from mxlab.errors import EnvironmentProblem, LabError
from mxlab.learn.proof import Proof, Seat, Subject, proven, walk_simulated
from mxlab.operate.hands import Hands


def simulated(
    subjects: Sequence[Subject], seeds: Sequence[int], hands: Hands, jobs: int | None = None
) -> Iterator[tuple[Subject, Proof | LabError]]:
    """What came of each exercise, in their order; `jobs`: as many processes as cores if nothing is
    said. `hands` is a function of a module: workers are sent its name."""
    count = min(jobs or _cores(), len(subjects) * len(seeds))
    if count <= 1:
        for subject in subjects:
            yield subject, _proven(subject, (walk_simulated(subject, s, hands) for s in seeds))
        return
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_leave_signals_to_the_parent)
    try:
        asked = [(s, [pool.submit(walk_simulated, s, n, hands) for n in seeds]) for s in subjects]
        for subject, futures in asked:
            yield subject, _proven(subject, _results(futures))
    finally:
        pool.shutdown(cancel_futures=True)


def _proven(subject: Subject, seats: Iterator[Seat]) -> Proof | LabError:
    try:
        return proven(subject, list(seats))
    except LabError as error:
        return error


def _results(futures: Sequence["Future[Seat]"]) -> Iterator[Seat]:
    for future in futures:
        try:
            yield future.result()
        except BrokenProcessPool as error:
            raise EnvironmentProblem(
                "a process of the proof ended before its work did",
                "fewer --jobs need less memory",
            ) from error


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
