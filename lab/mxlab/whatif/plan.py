"""All outages of a site, with each length and each schedule, on as many processes as there are."""

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from mxlab.whatif.outage import Outage, outages
from mxlab.whatif.rehearsal import Consequence, rehearse
from mxlab.whatif.site import Site

SCHEDULES = ("postfix", "exim", "opensmtpd")  # by name; each gets a table of its own


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One rehearsal to be played."""

    outage: Outage
    lasts: float
    schedule: str


def cases(site: Site, durations: Sequence[float], schedules: Sequence[str]) -> list[Rehearsal]:
    """Schedule by schedule, so that the first table is whole before the second begins."""
    return [
        Rehearsal(outage, lasts, schedule)
        for schedule in schedules
        for outage in outages(site)
        for lasts in durations
    ]


def fates(site: Site, wanted: Sequence[Rehearsal], jobs: int) -> Iterator[Consequence]:
    """What becomes of the mail in each case, in that order, as soon as it is known."""
    if jobs < 2:
        yield from (_play(site, case) for case in wanted)
        return
    fork = multiprocessing.get_context("fork")  # what is loaded here is loaded there
    with ProcessPoolExecutor(jobs, mp_context=fork, initializer=_ignore_interrupts) as pool:
        try:
            yield from pool.map(_play, [site] * len(wanted), wanted, chunksize=2)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _play(site: Site, case: Rehearsal) -> Consequence:
    return rehearse(site, case.outage, case.lasts, case.schedule)


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends them
