"""A recorded run replayed: as fast as one likes, paused, and from any moment of it.

Guarantee: wherever it is, the board shows what had happened in the run by that moment, and nothing
that came later, by whichever way it got there.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from itertools import islice
from typing import NoReturn

import msgspec

from mxlab.board.board import Board
from mxlab.board.mailbag import MessageView
from mxlab.board.moment import Moment
from mxlab.board.recorded import KEEP_IT, NotRecorded, RecordedRun
from mxlab.board.replaylab import ReplayLab
from mxlab.board.views import FindingView, ReplayState, ReplayView
from mxlab.errors import Refused, UnknownName
from mxlab.faults.open import OpenFault
from mxlab.history.trace import Trace
from mxlab.runner.now import Inspection

AT_ONCE = 2000  # events that are told before others have their turn
FRAME = 0.02  # real seconds: what falls into one is told together
UNASKED = 60.0  # real seconds in which a run is shown, unless somebody says otherwise


class ReplayClock:
    """Lab time of a replay; a Clock."""

    def __init__(self, replay: "Replay") -> None:
        self._replay = replay

    def time(self) -> float:
        return self._replay.run.begin + self._replay.position

    def real(self, seconds: float) -> float:
        return seconds / self._replay.speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.real(seconds)))


class Replay:
    """How far a run is replayed. `speed`: lab seconds in a real one; it begins paused, at 0."""

    def __init__(self, run: RecordedRun, speed: float | None = None) -> None:
        self.run = run
        self.speed = self.speed_for(UNASKED) if speed is None else speed
        self.playing = False
        self._from, self._since = 0.0, 0.0  # position at that time of the event loop
        self._changed = asyncio.Event()

    def speed_for(self, seconds: float) -> float:
        """The speed that brings all of the run in so many real seconds."""
        return max(self.run.length, 0.001) / seconds

    @property
    def position(self) -> float:
        """Lab seconds since the first event."""
        if not self.playing:
            return self._from
        passed = asyncio.get_running_loop().time() - self._since
        return min(self.run.length, self._from + passed * self.speed)

    @property
    def ended(self) -> bool:
        """Whether it is at its end."""
        return self.position >= self.run.length

    @property
    def state(self) -> ReplayState:
        return ReplayState(
            round(self.position, 6), self.run.length, self.speed, self.playing, self.ended
        )

    def go(
        self, *, playing: bool, position: float | None = None, speed: float | None = None
    ) -> None:
        """Go on from there, at that speed, or stop there; what is None stays as it is."""
        here = self.position if position is None else position
        self._from = min(max(0.0, here), self.run.length)
        self._since = asyncio.get_running_loop().time()
        self.speed = self.speed if speed is None else speed
        self.playing = playing
        self._changed.set()

    def real_until(self, position: float) -> float | None:
        """Real seconds until it comes there; None where it stands still."""
        if not self.playing:
            return None
        return max(0.0, (position - self.position) / self.speed)

    async def change(self, seconds: float | None) -> None:
        """Wait until somebody plays, pauses or seeks, so many real seconds at most."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()


def _never() -> NoReturn:
    raise AssertionError("a replay has no lab to attach to")


class ReplayBoard(Board):
    """A board of a run that is over. It begins to play as soon as it is served, where `playing`."""

    kind = "replay"

    def __init__(
        self, run: RecordedRun, speed: float | None = None, *, playing: bool = True
    ) -> None:
        super().__init__(run.result.scenario.id or "scenario", _never)
        self.run, self.replay = run, Replay(run, speed)
        self._begins_playing = playing
        self._now = Moment(run.events, run.mechanisms)
        self._upto = 0  # events that have been
        clock = ReplayClock(self.replay)
        self._lab = ReplayLab(run, clock, lambda: self._now, self.feed)

    async def faults(self) -> list[OpenFault]:
        return self._now.faults

    async def trace(self) -> Trace:
        found = Trace()
        for event in islice(self.run.events, self._upto):
            found.add(event)
        return found

    async def inspected(self, checks: Sequence[str]) -> Inspection:
        """What was found in the end. Raises Refused before that, UnknownName for a check that was
        none of the run's."""
        if not self._is_over:
            text = "a run is judged at its end, and the replay is not there yet"
            raise Refused(text, "play on, or seek to the end")
        findings = self.run.result.findings
        known = [finding.check for finding in findings]
        for name in checks:
            if name not in known:
                raise UnknownName("check of this run", name, known)
        chosen = tuple(f for f in findings if not checks or f.check in checks)
        return Inspection(chosen, (), moving=False)

    async def content(self, one: MessageView) -> bytes:
        """The message, where it was kept. Raises NotRecorded."""
        found = self.run.letter(one.node, one.mailbox, one.name)
        if found is None:
            raise NotRecorded(self.run.why_none, KEEP_IT)
        return found

    @property
    def _is_over(self) -> bool:
        return self._upto == len(self.run.events)

    def view(self) -> ReplayView:
        """All that is to be said of the replay now."""
        result, findings = self.run.result, self.run.result.findings if self._is_over else ()
        return ReplayView(
            state=self.replay.state,
            run=result.run_id,
            backend=result.backend,
            seed=result.seed,
            title=result.scenario.title,
            summary=result.scenario.summary,
            begin=self.run.begin,
            events=len(self.run.events),
            marks=self.run.marks,
            letters=self.run.has_letters,
            damage=[f"{node}: {why}" for node, why in result.trace.damage.items()],
            verdict=result.verdict.value if self._is_over else None,
            findings=[
                FindingView(f.check, f.verdict.value, f.text, list(f.details)) for f in findings
            ],
        )

    def play(self, speed: float | None = None) -> ReplayState:
        """Go on; from the beginning where it is at its end."""
        if self.replay.ended and not self.replay.playing:
            self.seek(0.0)
        self.replay.go(playing=True, speed=speed)
        return self._told()

    def pause(self) -> ReplayState:
        self.replay.go(playing=False)
        self._advance()
        return self._told()

    def set_speed(self, speed: float) -> ReplayState:
        self.replay.go(playing=self.replay.playing, speed=speed)
        return self._told()

    def seek(self, to: float) -> ReplayState:
        """Go to that moment, and go on from there or stand still as before."""
        self.replay.go(playing=self.replay.playing, position=to)
        number = self.run.number_at(self.replay.position)
        if number < self._upto:
            self._now = Moment(self.run.events, self.run.mechanisms)
            self._upto = 0
            self.feed.set_back(tuple(self.lab.nodes), ())
        passed = self.run.events[self._upto : number]
        for event in passed:
            self._now.add(event)
        self.feed.skip(passed)
        self._upto = number
        state = self.replay.state
        self.feed.note("replay.moved", msgspec.json.encode(state))
        return state

    async def live(self) -> None:
        """Play it, as often as somebody likes, until cancelled."""
        lab = self.lab
        self.feed.begin(lab.run, tuple(lab.nodes))
        self.replay.go(playing=self._begins_playing)
        self._advance()
        self._told()
        while True:
            ended = self.replay.ended  # before what is told: nothing of the end is left out
            if self._advance():
                await asyncio.sleep(0)  # others have their turn
                continue
            if self.replay.playing and ended:
                self.replay.go(playing=False)
                self._told()
            await self.replay.change(self._pause())

    def _advance(self) -> bool:
        """Tell of what has happened by now; returns whether there is more of it."""
        upto = self.run.number_at(self.replay.position)
        for event in self.run.events[self._upto : min(upto, self._upto + AT_ONCE)]:
            self._now.add(event)
            self._upto += 1
            self.feed.add(event)
        return self._upto < upto

    def _pause(self) -> float | None:
        """Real seconds until something is to be told; None: until somebody does something."""
        over = self._is_over
        next_ = self.run.length if over else self.run.events[self._upto].at - self.run.begin
        until = self.replay.real_until(next_)
        return None if until is None else max(FRAME, until)

    def _told(self) -> ReplayState:
        state = self.replay.state
        self.feed.note("replay.state", msgspec.json.encode(state))
        return state
