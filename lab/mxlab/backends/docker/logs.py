"""A container's output as lines, across restarts, without gaps or repeats.

The engine stamps each line with a time; a position in the log is the last stamp read and how many
lines bore it. Each reading begins a little before the position and skips what it covers. When the
container ends, so does the engine's stream: what it may have left out is read once more, and the
next life is awaited.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mxlab.backends.base import State
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.real.node import Output


@dataclass(slots=True)
class Position:
    """Just behind `repeats` lines with the stamp `stamp` (RFC 3339, nine digits)."""

    stamp: str = ""
    repeats: int = 0

    def passed(self, stamp: str) -> None:
        self.repeats = self.repeats + 1 if stamp == self.stamp else 1
        self.stamp = stamp

    @property
    def since(self) -> int | None:
        """The whole second of the stamp, or None for the beginning."""
        if not self.stamp:
            return None
        return int(datetime.fromisoformat(self.stamp[:19] + "+00:00").timestamp()) or None


@dataclass(frozen=True, slots=True)
class ContainerLife:
    """One life of a container: its state and when it was last started."""

    state: State
    started: str
    exit_code: int


async def life_of(engine: Engine, container: str) -> ContainerLife | None:
    """The container's present life, or None when it is gone."""
    try:
        found = await engine.call("inspect a node", lambda api: api.inspect_container(container))
    except EngineRefused as error:
        if error.status == 404:
            return None
        raise
    return life_in(found)


def life_in(inspected: dict[str, Any]) -> ContainerLife:
    state = inspected["State"]
    shown: State = "paused" if state["Paused"] else "running" if state["Running"] else "stopped"
    return ContainerLife(shown, state["StartedAt"], state["ExitCode"])


async def read(
    engine: Engine, container: str, output: Output, position: Position, *, follow: bool
) -> AsyncGenerator[str, None]:
    """The lines behind `position`, which moves along; with `follow` until the container ends."""
    skip, until = position.repeats, position.stamp
    partial: list[bytes] = []  # a line that the engine keeps in pieces
    async with engine.stream(
        "show a node's output",
        lambda api: api.logs(
            container,
            stdout=output == "stdout",
            stderr=output == "stderr",
            stream=True,
            timestamps=True,
            since=position.since,
            follow=follow,
        ),
    ) as frames:
        async for frame in frames:
            stamp, _, piece = bytes(frame).partition(b" ")
            partial.append(piece)
            if not piece.endswith(b"\n"):
                continue
            line = b"".join(partial)
            partial.clear()
            when = stamp.decode("ascii")
            if when < until:
                continue
            if when == until and skip > 0:
                skip -= 1
                continue
            position.passed(when)
            yield line.decode("utf-8", "replace").rstrip("\n")


async def lines(
    engine: Engine, container: str, output: Output, *, follow: bool
) -> AsyncGenerator[str, None]:
    """All lines since the container was made; with `follow`, go on through every restart."""
    position = Position()
    while True:
        life = await life_of(engine, container)
        if life is None:
            return
        for following in (True, False) if follow and life.state != "stopped" else (False,):
            async with aclosing(
                read(engine, container, output, position, follow=following)
            ) as reading:
                async for line in reading:
                    yield line
        if not follow or not await _born_again(engine, container, life, position):
            return


async def last_position(engine: Engine, container: str) -> Position:
    """Where a stopped container's log ends now, whatever it was written to."""
    tail = await engine.call(
        "show a node's output",
        lambda api: api.logs(container, timestamps=True, tail=1),
    )
    stamp = tail.partition(b" ")[0].decode("ascii")
    return Position(stamp, 1 << 30) if stamp else Position()


async def _born_again(
    engine: Engine, container: str, life: ContainerLife, position: Position
) -> bool:
    """Wait until the container has another life than `life`; False when it is gone for good."""
    async with engine.stream(
        "tell what happens",
        lambda api: api.events(
            since=position.since or 1,
            filters={"container": container, "event": ["start", "destroy"]},
            decode=True,
        ),
    ) as happenings:
        # Only now that the engine reports every change is the present state conclusive.
        while True:
            now = await life_of(engine, container)
            if now is None:
                return False
            if now.started != life.started:
                return True
            if await anext(happenings, None) is None:  # the engine ended the stream: ask it why
                return await life_of(engine, container) not in (None, life)
