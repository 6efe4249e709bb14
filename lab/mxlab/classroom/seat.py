"""What runs in a seat: the board with terminal and exercises, the lab, and word of each progress.

Guarantee: what the student has done is told to the class server at each change, and again until it
is taken; a seat that starts anew goes on at the task at which it was, with the same seed. A seat
that is not the newest of its number any more tells nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mxlab.board.board import Attach, Board
from mxlab.board.desk import Desk
from mxlab.board.serve import listen, serving
from mxlab.board.terminals import Terminals
from mxlab.classroom.asked import HttpReply, ask
from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.learn.progress import FILE, Progress, folder
from mxlab.learn.starting import begin, every_exercise, sit_down
from mxlab.model.exercise import Exercise
from mxlab.operate.hands import Hands

LAB, BACKEND = "lab", "process"
ADDRESS, PORT = "0.0.0.0", 8025
AGAIN = 0.5  # real seconds before the class server is asked again
WAITING = 90.0  # real seconds in which it has to answer first
CHANGES = 0.25  # real seconds between two looks at the student's file
COMING = 10.0  # real seconds that a lab which was brought up may take to be seen
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SeatEnvironment:
    """What a seat is told when it is made. `begin`: the exercise that it begins with, or nothing:
    the first of its track."""

    number: int
    seed: int
    secret: str
    track: str
    server: str
    begin: str = ""

    @property
    def root(self) -> str:
        """What is the seat's own on the class server."""
        return f"{self.server}/internal/seats/{self.number}"


class Registration(msgspec.Struct, frozen=True):
    """What the class server replies to a seat that registers."""

    registration: int
    progress: Progress | None = None


def seat_environment(given: Mapping[str, str]) -> SeatEnvironment:
    """Raises UsageError for what is missing, or makes no sense."""
    words = {}
    for key in ("SEAT", "SEAT_SEED", "SEAT_SECRET", "TRACK", "CLASS"):
        words[key] = given.get(f"MXLAB_{key}", "").strip()
        if not words[key]:
            raise UsageError(
                f"MXLAB_{key} is not set", "`mxlab class up` starts seats, in containers"
            )
    for key in ("SEAT", "SEAT_SEED"):
        if not (words[key].isascii() and words[key].isdecimal() and len(words[key]) < 10):
            raise UsageError(f"MXLAB_{key}: {words[key][:40]!r} is no number")
    if not words["CLASS"].startswith("http://"):
        raise UsageError(f"MXLAB_CLASS: {words['CLASS'][:80]!r} is no address", "http://class:8000")
    return SeatEnvironment(
        int(words["SEAT"]), int(words["SEAT_SEED"]), words["SEAT_SECRET"], words["TRACK"],
        words["CLASS"].rstrip("/"), given.get("MXLAB_SEAT_BEGIN", ""),
    )  # fmt: skip


def exercises_of(track: str, tell: Tell) -> list[Exercise]:
    """Those of a track that a seat can do, in order. Raises UsageError where there are none."""
    every = list(every_exercise(None, tell))
    own = [one for one in every if one.track == track]
    able = [one for one in own if not one.backends or BACKEND in one.backends]
    if not able:
        tracks = ", ".join(sorted({one.track for one in every if one.track}))
        raise UsageError(f"no exercise of a track {track!r} can be done in a seat", tracks)
    return sorted(able, key=lambda one: (one.part, one.id))


async def sit(env: SeatEnvironment, attach: Attach, hands: Hands, tell: Tell) -> None:
    """Be the seat until cancelled. `attach` opens its lab, `hands` type commands on it. Raises
    EnvironmentProblem where the class server does not know it, or does not answer."""
    registered = await register(env)
    desk = Desk(hands, None, BACKEND)
    board = Board(LAB, attach, desk, Terminals(LAB))
    own_name = f"seat-{env.number}:{PORT}"
    base = f"/seat/{env.number}"
    async with serving(board, listen(ADDRESS, PORT), env.secret, base, [own_name]):
        if registered.progress is None or registered.progress.current is None:
            await _begin(env, board, desk, tell)
        else:
            await _go_on(registered.progress, board, desk, tell)
        tell(f"seat {env.number} is ready")
        await tell_progress(env, registered.registration, folder() / FILE, tell)
        await asyncio.Event().wait()


async def register(env: SeatEnvironment) -> Registration:
    """Be known as the newest of this number. Raises EnvironmentProblem."""
    deadline = asyncio.get_running_loop().time() + WAITING
    while True:
        try:
            reply = await ask("POST", f"{env.root}/register", env.secret)
        except EnvironmentProblem:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(AGAIN)
            continue
        if reply.status != 200:
            raise EnvironmentProblem(
                f"the class server does not take seat {env.number}: {_words(reply)}"
            )
        return msgspec.json.decode(reply.body, type=Registration)


async def _begin(env: SeatEnvironment, board: Board, desk: Desk, tell: Tell) -> None:
    """The first exercise of the track."""
    name = env.begin or exercises_of(env.track, tell)[0].id
    with desk.busy("bringing the lab up"):
        sitting = sit_down(desk.store(), name, env.seed, board.name, None)
        async with board.aside():
            await begin(sitting, BACKEND, desk.progress, desk.tell)
        await board.until_up(COMING)


async def _go_on(progress: Progress, board: Board, desk: Desk, tell: Tell) -> None:
    """Where the student was: the same seed, with all that was done before the present task."""
    with desk.store().changing() as now:
        now.exercises, now.current = progress.exercises, progress.current
    sitting = desk.sitting()
    if sitting is None:
        return
    with desk.busy("bringing your task back"):
        async with board.aside():
            await begin(sitting, BACKEND, desk.progress, desk.tell, desk.hands)
        await board.until_up(COMING)


async def tell_progress(env: SeatEnvironment, registration: int, file: Path, tell: Tell) -> None:
    """Tell the class server what stands in the file, at each change, until it says that another
    seat has this number now."""
    url = f"{env.root}/progress?registration={registration}"
    async for line in changes(file):
        while True:
            try:
                reply = await ask("POST", url, env.secret, line)
            except EnvironmentProblem:
                await asyncio.sleep(AGAIN)
                continue
            break
        if reply.status == 409:
            tell("another seat has this number now: nothing more is told to the class server")
            return
        if reply.status != 200:
            tell(f"the class server does not take what was done: {_words(reply)}")


async def changes(file: Path) -> AsyncIterator[bytes]:
    """The file on one line, as it is now, and whenever it is replaced by another."""
    seen: object = None
    while True:
        with contextlib.suppress(FileNotFoundError):
            status = file.stat()  # noqa: ASYNC240 - in memory
            if (status.st_ino, status.st_mtime_ns) != seen:
                seen = (status.st_ino, status.st_mtime_ns)
                with contextlib.suppress(msgspec.DecodeError):
                    text = file.read_bytes()  # noqa: ASYNC240 - in memory
                    yield msgspec.json.format(text, indent=-1)
        await asyncio.sleep(CHANGES)


def _words(reply: HttpReply) -> str:
    try:
        said: Any = msgspec.json.decode(reply.body)
    except msgspec.DecodeError:
        said = None
    words = said.get("error") if isinstance(said, dict) else None
    return str(words or f"status {reply.status}")
