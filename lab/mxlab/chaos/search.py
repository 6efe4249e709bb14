"""Searches the space of schedules for one that breaks an invariant: block by block, by itself or
with processes beside it.

The seed decides what is found first, however many processes there are. The search ends with that,
when it has had its runs or its time, or when it is interrupted; then it returns what it has.
"""

import time
from collections.abc import Callable
from itertools import count

from mxlab.chaos.block import at_full_speed, search_block
from mxlab.chaos.space import SIZE
from mxlab.chaos.tally import Quest, Sum, Tally

SHRINKING = 500  # trials spent on making a finding smaller, at most


def search(
    *,
    seed: int,
    runs: int | None = None,
    seconds: float | None = None,
    size: int = SIZE,
    shrinking: int = SHRINKING,
    progress: Callable[[Tally], None] = lambda _: None,
    jobs: int = 1,
) -> Tally:
    """Try schedules of at most `size` actions until one fails, `runs` are tried, or `seconds` (of
    real time) have passed; without either bound, until interrupted. `jobs` processes share the
    work; with 1 it is done in this one.

    Raises WorkerLost when one of the processes ends before its work does.
    """
    began = time.monotonic()
    quest = Quest(seed, runs, None if seconds is None else began + seconds, size, shrinking)
    if jobs > 1:
        from mxlab.chaos.jobs import search_together

        return search_together(quest, jobs, progress, began)
    whole, interrupted = Sum(), False
    try:
        with at_full_speed():
            interrupted = _one_by_one(quest, whole, progress, began)
    except KeyboardInterrupt:  # between two blocks
        interrupted = True
    return whole.total(time.monotonic() - began, interrupted)


def _one_by_one(quest: Quest, whole: Sum, progress: Callable[[Tally], None], began: float) -> bool:
    """Search block after block in this process; returns whether it was interrupted."""
    for block in count():
        if not quest.runs_in(block):
            break
        tally = search_block(quest, block, _told(whole, block, progress, began))
        whole.update(block, tally)
        whole.close(block)
        if tally.interrupted or tally.found is not None or quest.late():
            return tally.interrupted
    return False


def _told(
    whole: Sum, block: int, progress: Callable[[Tally], None], began: float
) -> Callable[[Tally], None]:
    def told(tally: Tally) -> None:
        whole.update(block, tally)
        progress(whole.total(time.monotonic() - began))

    return told
