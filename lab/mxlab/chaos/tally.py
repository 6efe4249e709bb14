"""How far a search is: the tally of each block of runs, and their sum.

The runs are cut into blocks of `BLOCK`, each with a seed of its own, so that what a run tries does
not depend on how many runs there are nor on who does them.
"""

import time
from collections import Counter
from dataclasses import dataclass, field, replace

from mxlab.chaos.rare import RARE
from mxlab.chaos.trial import Trial

BLOCK = 100


@dataclass(slots=True)
class Tally:
    """How far a search is. `repeats`: the runs of which an equal one had passed in the same block,
    so that they were not played again, and add nothing to what follows. `found_after`: the number
    of the run that failed first; `shrinking`: trials spent on shrinking since; `lab_seconds` of
    virtual time lie behind it. `reached`: how many runs came to each of the rare states
    (`mxlab.chaos.rare`)."""

    runs: int = 0
    repeats: int = 0
    lab_seconds: float = 0.0
    seconds: float = 0.0
    found_after: int | None = None
    shrinking: int = 0
    found: Trial | None = None
    interrupted: bool = False
    reached: Counter[str] = field(default_factory=Counter)

    @property
    def never_reached(self) -> tuple[str, ...]:
        """The rare states that no run came to."""
        return tuple(name for name in RARE if not self.reached[name])


@dataclass(frozen=True, slots=True)
class Quest:
    """What is searched: schedules of at most `size` actions, until one fails, `runs` are tried, or
    `time.monotonic()` is past `until`. `shrinking`: trials, at most, that make a finding smaller.
    """

    seed: int
    runs: int | None
    until: float | None
    size: int
    shrinking: int

    def late(self) -> bool:
        """Whether time is up."""
        return self.until is not None and time.monotonic() >= self.until

    def runs_in(self, block: int) -> int:
        """How many runs the block number `block` (from 0) has; 0 where it is past the end."""
        return BLOCK if self.runs is None else min(BLOCK, max(0, self.runs - block * BLOCK))


class Sum:
    """The tallies of all blocks, as one: the finding is that of the lowest block that has one."""

    def __init__(self) -> None:
        self._past = Tally()  # of blocks that are over
        self._open: dict[int, Tally] = {}
        self.found_in: int | None = None

    def update(self, block: int, tally: Tally) -> None:
        """Take the newest tally of a block."""
        self._open[block] = tally
        if tally.found is not None and (self.found_in is None or block <= self.found_in):
            assert tally.found_after is not None
            self.found_in = block
            self._past.found = tally.found
            self._past.found_after = block * BLOCK + tally.found_after
            self._past.shrinking = tally.shrinking

    def close(self, block: int) -> None:
        """The block is over, or given up."""
        tally = self._open.pop(block, None)
        if tally is not None:
            self._past.runs += tally.runs
            self._past.repeats += tally.repeats
            self._past.lab_seconds += tally.lab_seconds
            self._past.reached += tally.reached

    def total(self, seconds: float, interrupted: bool = False) -> Tally:
        """The sum of all, `seconds` after the beginning."""
        return replace(
            self._past,
            runs=self._past.runs + sum(tally.runs for tally in self._open.values()),
            repeats=self._past.repeats + sum(tally.repeats for tally in self._open.values()),
            lab_seconds=self._past.lab_seconds
            + sum(tally.lab_seconds for tally in self._open.values()),
            reached=sum((tally.reached for tally in self._open.values()), self._past.reached),
            seconds=seconds,
            interrupted=interrupted,
        )
