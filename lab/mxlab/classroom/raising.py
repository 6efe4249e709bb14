"""A class brought up and looked at: the engine's side and the class server's put together."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from mxlab.backends.base import Progress
from mxlab.backends.docker.sweep import Thing, uninterrupted
from mxlab.classroom.asked import HttpReply, ask
from mxlab.classroom.docker import ClassEngine, class_engine
from mxlab.classroom.handout import handout
from mxlab.classroom.plan import ClassPlan
from mxlab.classroom.seat import exercises_of
from mxlab.errors import EnvironmentProblem, NodeFailed

FIRST, PER_SEAT = 60.0, 5.0  # real seconds that a class may take to come up: and for each seat
LOOK = 0.25  # real seconds between two looks
AT_ONCE = 8  # seats that are asked at a time


@dataclass(frozen=True, slots=True)
class ShownSeat:
    """A seat as `class status` shows it. `mb`: memory in use; `done`: tasks done or skipped, of
    how many."""

    seat: int
    state: str
    joined: bool
    exercise: str
    task: str
    done: str
    mb: int | None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def as_cells(self) -> tuple[str, ...]:
        joined, mb = "yes" if self.joined else "no", "" if self.mb is None else str(self.mb)
        return (str(self.seat), self.state, joined, self.exercise, self.task, self.done, mb)


async def raise_class(
    plan: ClassPlan, address: str, cards: Path, progress: Progress, tell: Callable[[str], None]
) -> str:
    """Bring a class up, each seat ready, and write the handout; returns the server's address as
    the students reach it. What fails is told before anything is made, or undone. Raises
    LabErrors."""
    async with class_engine() as engine:
        begin = exercises_of(plan.track, tell)[0].id
        await engine.check(plan)
        root = f"http://{address or own_address(engine.host)}:{plan.port}"
        try:
            cards.write_text(handout(plan, root), encoding="utf-8")  # noqa: ASYNC240 - before all
            cards.chmod(0o600)  # noqa: ASYNC240 - it holds tokens
        except OSError as error:
            raise EnvironmentProblem(f"{cards} cannot be written: {error.strerror}") from error
        image = await engine.image(progress)
        await engine.up(plan, image, begin, progress)
        try:
            await _all_ready(engine, plan, progress)
        except BaseException:
            await uninterrupted(engine.down(plan.name))
            raise
    return root


def own_address(host: str) -> str:
    """By which others reach this machine, where the engine is here: the address from which it
    speaks to the world; nothing is sent."""
    if host != "127.0.0.1":
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return host
        return str(probe.getsockname()[0])


async def _all_ready(engine: ClassEngine, plan: ClassPlan, progress: Progress) -> None:
    """Until the board of each seat has its lab. Raises NodeFailed with a seat's last words."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + FIRST + PER_SEAT * len(plan.seats)
    waiting = [seat.number for seat in plan.seats]
    limit = asyncio.Semaphore(AT_ONCE)

    async def ready(number: int) -> bool:
        async with limit:
            return await is_ready(engine, plan, number)

    while waiting:
        begun = await _begun(engine, plan)
        asked = [number for number in waiting if number in begun]
        found = await asyncio.gather(*(ready(number) for number in asked))
        for number, good in zip(asked, found, strict=True):
            if good:
                waiting.remove(number)
        progress(f"{len(plan.seats) - len(waiting)} of {len(plan.seats)} seats are ready")
        if not waiting:
            return
        await _none_failed(engine, plan, waiting, loop.time() > deadline)
        await asyncio.sleep(LOOK)


async def _none_failed(
    engine: ClassEngine, plan: ClassPlan, waiting: list[int], over: bool
) -> None:
    """Raises NodeFailed for a seat that ended, or, where the time is `over`, is not ready."""
    seats = await engine.seats(plan.name)
    for number in waiting:
        seat = seats.get(number)
        if seat is None or over or seat.state not in ("running", "created"):
            state = "is gone" if seat is None else f"is not ready ({seat.state})"
            words = await engine.last_words(seat) if seat else []
            raise NodeFailed("\n  ".join([f"seat {number} {state}; its last words:", *words]))


async def _begun(engine: ClassEngine, plan: ClassPlan) -> set[int]:
    """The seats that told of an exercise which they began."""
    tiles = await _tiles(engine, plan)
    return {int(tile["seat"]) for tile in tiles if tile["standing"]["exercise"]}


async def _tiles(engine: ClassEngine, plan: ClassPlan) -> list[dict[str, Any]]:
    """Each seat as the class server sees it; none while it does not answer."""
    try:
        reply = await _asked(engine, plan, "/api/class")
    except EnvironmentProblem:
        return []
    if reply.status != 200:
        return []
    tiles: list[dict[str, Any]] = msgspec.json.decode(reply.body)["tiles"]
    return tiles


async def is_ready(engine: ClassEngine, plan: ClassPlan, number: int) -> bool:
    """Whether that seat's board answers, and its lab is up with an exercise in it."""
    try:
        reply = await _asked(engine, plan, f"/seat/{number}/api/v1/exercise")
        said = msgspec.json.decode(reply.body)
    except (EnvironmentProblem, msgspec.DecodeError):
        return False
    exercise = said.get("exercise") if isinstance(said, dict) else None
    return (
        reply.status == 200
        and isinstance(exercise, dict)
        and bool(exercise.get("here"))
        and not said.get("doing")
    )


async def _asked(engine: ClassEngine, plan: ClassPlan, path: str) -> HttpReply:
    return await ask("GET", f"http://{engine.host}:{plan.port}{path}", plan.teacher_token)


async def status_of(name: str) -> list[ShownSeat]:
    """Each seat of a class. Raises NotUp."""
    async with class_engine() as engine:
        plan = await engine.plan(name)
        seats = await engine.seats(name)
        tiles = {int(tile["seat"]): tile for tile in await _tiles(engine, plan)}
        limit = asyncio.Semaphore(AT_ONCE)

        async def memory(seat: Thing | None) -> int | None:
            if seat is None or seat.state != "running":
                return None
            async with limit:
                return await engine.memory(seat) // 1_000_000

        used = await asyncio.gather(*(memory(seats.get(one.number)) for one in plan.seats))
        return [
            _row(one.number, seats.get(one.number), tiles.get(one.number), mb)
            for one, mb in zip(plan.seats, used, strict=True)
        ]


def _row(number: int, seat: Thing | None, tile: dict[str, Any] | None, mb: int | None) -> ShownSeat:
    state = "gone" if seat is None else seat.state
    if tile is None:
        return ShownSeat(number, state, False, "", "", "", mb)
    here = tile["standing"]
    if state == "running" and tile["away"]:
        state = "away"
    done = f"{here['over']} of {here['tasks']}" if here["exercise"] else ""
    return ShownSeat(number, state, bool(tile["joined"]), here["exercise"], here["task"], done, mb)


async def reset_seat(name: str, number: int) -> None:
    """Start a seat anew, and wait until it is at its task again. Raises NotUp, UsageError,
    NodeFailed."""
    async with class_engine() as engine:
        plan = await engine.plan(name)
        plan.seat(number)
        seat = (await engine.seats(name)).get(number)
        if seat is None:
            raise NodeFailed(f"the container of seat {number} is gone", "bring the class up anew")
        await engine.restart(seat)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FIRST
        while not await is_ready(engine, plan, number):
            await _none_failed(engine, plan, [number], loop.time() > deadline)
            await asyncio.sleep(LOOK)
