"""The class as it stands now: each seat's progress, raised hands, messages, the open question.

Guarantee: what is shown was written down before; a server that starts again shows the same.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mxlab.classroom.plan import ClassPlan
from mxlab.classroom.progress import Standing, how_far, standing
from mxlab.classroom.store import ClassStore, Happening
from mxlab.errors import Refused, UnknownName, UsageError
from mxlab.learn.progress import Progress

MESSAGES = 20  # that are kept before a student
SHOWN = 12  # answers of a distribution, the most frequent first


class ClassMessage(msgspec.Struct, frozen=True):
    """What the teacher says to a seat, or (0) to all."""

    number: int
    at: float
    text: str
    seat: int = 0


class ClassQuestion(msgspec.Struct, frozen=True):
    """What all are asked. `choices` empty: they answer in words of their own."""

    number: int
    text: str
    choices: list[str]
    open: bool = True


class Share(msgspec.Struct, frozen=True):
    """How many gave an answer."""

    answer: str
    count: int


@dataclass
class SeatDesk:
    """One seat as it is known. `moved`: when its student last got on, by our clock; `away`: the
    seat does not answer."""

    registration: int = 0
    progress: Progress | None = None
    standing: Standing = field(default_factory=Standing)
    body: bytes = b""
    joined: float | None = None
    moved: float | None = None
    told: float | None = None
    hand: float | None = None
    answer: str | None = None
    away: bool = False


class Roll:
    """A class's state. `now`: seconds since the Unix epoch. Whoever wants to hear of changes waits
    for `more(version)`."""

    def __init__(self, plan: ClassPlan, store: ClassStore, now: Callable[[], float]) -> None:
        self.plan, self._store, self.now = plan, store, now
        self.desks = {seat.number: SeatDesk() for seat in plan.seats}
        self.messages: list[ClassMessage] = []
        self.question: ClassQuestion | None = None
        self.version, self._changed = 0, asyncio.Event()
        self._writing = asyncio.Lock()
        self._numbers = 0
        for happening in store.everything():
            self._apply(happening)

    async def more(self, version: int) -> None:
        """Return when something is other than at that version."""
        while self.version == version:
            await self._changed.wait()

    async def register(self, seat: int) -> int:
        """A seat has started: the number by which it tells its progress from now on."""
        async with self._writing:
            number = self.desks[seat].registration + 1
            await self._happen(seat, "registered", number)
        return number

    async def tell(self, seat: int, registration: int, body: bytes) -> None:
        """A seat's progress as it is now. Raises Refused for one that another has replaced."""
        async with self._writing:
            desk = self.desks[seat]
            if registration != desk.registration:
                raise Refused(
                    f"registration {registration} of seat {seat} is not the newest, "
                    f"{desk.registration}", "this seat was started anew elsewhere; end it",
                )  # fmt: skip
            if body != desk.body:  # told twice is told once
                await self._happen_raw(seat, "progress", body)

    async def raise_hand(self, seat: int, up: bool) -> None:
        async with self._writing:
            if (self.desks[seat].hand is not None) != up:
                await self._happen(seat, "hand", up)

    async def joined(self, seat: int) -> None:
        """A student opened their address."""
        async with self._writing:
            if seat and self.desks[seat].joined is None:
                await self._happen(seat, "joined", None)

    async def say(self, text: str, seat: int = 0) -> ClassMessage:
        """A message of the teacher's to a seat, or to all."""
        if seat and seat not in self.desks:
            raise UnknownName("seat", str(seat), map(str, self.desks))
        async with self._writing:
            message = ClassMessage(self._numbers + 1, self.now(), text, seat)
            await self._happen(seat, "message", message)
        return message

    async def ask(self, text: str, choices: list[str]) -> ClassQuestion:
        """A question to all, in the place of one before."""
        async with self._writing:
            question = ClassQuestion(self._numbers + 1, text, choices)
            await self._happen(0, "question", question)
        return question

    async def close_question(self) -> None:
        """No more answers are taken."""
        async with self._writing:
            if self.question and self.question.open:
                await self._happen(0, "closed", None)

    async def answer(self, seat: int, number: int, text: str) -> None:
        """A student's answer; a later one takes its place. Raises UsageError."""
        async with self._writing:
            asked = self.question
            if asked is None or asked.number != number or not asked.open:
                raise UsageError("that question is over", "look at what is asked now")
            if asked.choices and text not in asked.choices:
                raise UnknownName("choice", text, asked.choices)
            if self.desks[seat].answer != text:
                await self._happen(seat, "answer", text)

    def shares(self) -> list[Share]:
        """How the answers to the question are distributed; each choice, also where nobody took it.
        Of free answers those that differ in case or spaces only are one."""
        given = [desk.answer for desk in self.desks.values() if desk.answer is not None]
        if self.question and self.question.choices:
            counts = Counter(given)
            return [Share(one, counts[one]) for one in self.question.choices]
        spelt: dict[str, str] = {}
        free: Counter[str] = Counter()
        for one in given:
            key = " ".join(one.casefold().split())
            free[key] += 1
            spelt.setdefault(key, one)
        return [Share(spelt[key], count) for key, count in free.most_common(SHOWN)]

    def saw(self, seat: int, *, away: bool) -> None:
        """A seat does, or does not, answer."""
        if self.desks[seat].away != away:
            self.desks[seat].away = away
            self._tell_all()

    async def _happen(self, seat: int, kind: str, what: Any) -> None:
        await self._happen_raw(seat, kind, msgspec.json.encode(what))

    async def _happen_raw(self, seat: int, kind: str, body: bytes) -> None:
        happening = Happening(self.now(), seat, kind, body)
        await self._store.append([happening])
        self._apply(happening)
        self._tell_all()

    def _tell_all(self) -> None:
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    def _apply(self, happening: Happening) -> None:
        at, seat, body = happening.at, happening.seat, happening.body
        if seat and seat not in self.desks:
            return  # the class has become smaller
        match happening.kind:
            case "registered":
                self.desks[seat].registration = msgspec.json.decode(body, type=int)
            case "progress":
                self._progress(self.desks[seat], at, body)
            case "hand":
                self.desks[seat].hand = at if msgspec.json.decode(body) else None
            case "joined":
                self.desks[seat].joined = at
            case "answer":
                self.desks[seat].answer = msgspec.json.decode(body, type=str)
            case "message":
                message = msgspec.json.decode(body, type=ClassMessage)
                self._numbers = message.number
                self.messages = [*self.messages, message][-MESSAGES:]
            case "question":
                self.question = msgspec.json.decode(body, type=ClassQuestion)
                self._numbers = self.question.number
                for desk in self.desks.values():
                    desk.answer = None
            case "closed" if self.question:
                self.question = msgspec.structs.replace(self.question, open=False)

    def _progress(self, desk: SeatDesk, at: float, body: bytes) -> None:
        progress = msgspec.json.decode(body, type=Progress)
        if how_far(progress) != how_far(desk.progress) or desk.moved is None:
            desk.moved = at
        desk.progress, desk.body, desk.told = progress, body, at
        desk.standing = standing(progress)
