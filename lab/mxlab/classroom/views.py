"""What the class server returns and takes: the instructor's, a student's and a seat's view."""

from typing import Annotated, Any

import msgspec

from mxlab.classroom.progress import Standing
from mxlab.classroom.roll import ClassMessage, ClassQuestion, Roll, Share

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Tile(msgspec.Struct, frozen=True):
    """A seat before the instructor. Times are seconds since the Unix epoch by the server's clock;
    `moved`: when its student last got on; `on_task`: seconds on the present task."""

    seat: int
    joined: bool
    away: bool
    registered: bool
    hand: float | None
    moved: float | None
    on_task: float | None
    standing: Standing


class ClassView(msgspec.Struct, frozen=True):
    """The whole class. `answers`: how many answered the question."""

    name: str
    track: str
    now: float
    tiles: list[Tile]
    messages: list[ClassMessage]
    question: ClassQuestion | None
    shares: list[Share]
    answers: int


class PupilView(msgspec.Struct, frozen=True):
    """What a student sees beside their seat. `away`: the seat does not answer now."""

    seat: int
    name: str
    away: bool
    hand: bool
    messages: list[ClassMessage]
    question: ClassQuestion | None
    answer: str | None


class Registered(msgspec.Struct, frozen=True):
    """What a seat is told when it starts: the number with which it tells its progress, its seed,
    its class's track, and what its student had done (null: nothing yet)."""

    registration: int
    seed: int
    track: str
    progress: Any


class SayWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message to a seat, or (0) to all."""

    text: Line
    seat: int = 0


class AskWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question to all; no choices: they answer in words of their own."""

    text: Line
    choices: Annotated[list[Line], msgspec.Meta(max_length=12)] = []


class AnswerWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A student's answer to the question of that number."""

    question: int
    answer: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class HandWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hand raised, or taken down."""

    up: bool


class SkipWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pass that task over, with all before it."""

    task: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


def class_view(roll: Roll) -> ClassView:
    """The class as it is now."""
    now = roll.now()
    tiles = []
    for number, desk in roll.desks.items():
        began = desk.standing.began
        tiles.append(
            Tile(
                number,
                desk.joined is not None,
                desk.away,
                desk.registration > 0,
                desk.hand,
                desk.moved,
                None if began is None else max(0.0, now - began),
                desk.standing,
            )
        )
    answers = sum(desk.answer is not None for desk in roll.desks.values())
    plan = roll.plan
    return ClassView(
        plan.name, plan.track, now, tiles, roll.messages, roll.question, roll.shares(), answers
    )


def pupil_view(roll: Roll, seat: int) -> PupilView:
    """What that seat's student sees."""
    desk = roll.desks[seat]
    messages = [one for one in roll.messages if one.seat in (0, seat)]
    return PupilView(
        seat, roll.plan.name, desk.away, desk.hand is not None, messages, roll.question, desk.answer
    )
