"""Seats in processes of this machine, for a rehearsal where there are no containers: each a board
with a state folder of its own. They end with the block, and their labs with them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from pathlib import Path

from mxlab.classroom.plan import ClassPlan, SeatPlan
from mxlab.errors import EnvironmentProblem, first_of_group

MXLAB = (sys.executable, "-m", "mxlab")
ENDING = 20.0  # real seconds that a board or a lab may take to end


def ports_for(plan: ClassPlan) -> dict[int, int]:
    """A port of loopback for each seat, that nobody has now."""
    taken = [(seat.number, socket.create_server(("127.0.0.1", 0))) for seat in plan.seats]
    ports = {number: int(one.getsockname()[1]) for number, one in taken}
    for _, one in taken:
        one.close()
    return ports


@contextlib.asynccontextmanager
async def local_seats(plan: ClassPlan, ports: dict[int, int], folder: Path) -> AsyncIterator[None]:
    """The boards of all seats, below `folder`. Raises EnvironmentProblem for one that does not come
    up."""
    running: list[tuple[SeatPlan, Process]] = []
    try:
        for seat in plan.seats:
            running.append((seat, await _board(seat, ports[seat.number], folder)))
        with first_of_group(EnvironmentProblem):
            async with asyncio.TaskGroup() as group:
                for seat, one in running:
                    group.create_task(_ready(seat, one))
        yield
    finally:
        await asyncio.gather(*(_end(one) for _, one in running))
        await asyncio.gather(*(_down(seat, folder) for seat, _ in running))


def _environment(seat: SeatPlan, folder: Path) -> dict[str, str]:
    own = folder / seat.host
    own.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ, "MXLAB_STATE_DIR": str(own / "state"), "MXLAB_LEARN": str(own / "learn"),
        "MXLAB_BACKEND": "process", "MXLAB_LAB": seat.host, "MXLAB_TOKEN": seat.secret,
    }  # fmt: skip


async def _board(seat: SeatPlan, port: int, folder: Path) -> Process:
    base = f"/seat/{seat.number}"
    words = ["board", "--lab", seat.host, "--port", str(port), "--base-path", base]
    return await asyncio.create_subprocess_exec(
        *MXLAB, *words, env=_environment(seat, folder), stdout=asyncio.subprocess.PIPE,
        stderr=DEVNULL, start_new_session=True,
    )  # fmt: skip


async def _ready(seat: SeatPlan, board: Process) -> None:
    assert board.stdout is not None
    if not await board.stdout.readline():
        raise EnvironmentProblem(f"the board of seat {seat.number} did not come up")


async def _end(process: Process) -> None:
    """As Ctrl-C does; who does not heed it is killed, with all that it started."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(ENDING):
            await process.communicate()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()


async def _down(seat: SeatPlan, folder: Path) -> None:
    """The labs that were brought up in a seat's folder."""
    down = await asyncio.create_subprocess_exec(
        *MXLAB, "down", "--all", env=_environment(seat, folder), stdout=DEVNULL, stderr=DEVNULL
    )
    await _end_soon(down)


async def _end_soon(process: Process) -> None:
    try:
        async with asyncio.timeout(ENDING):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def local_class(plan: ClassPlan) -> AsyncIterator[str]:
    """The seats of a class, and its server, in a folder that is gone afterwards; gives the server's
    address."""
    from mxlab.board.serve import listen
    from mxlab.classroom.server import ClassServer, serving_class

    ports = ports_for(plan)
    with tempfile.TemporaryDirectory(prefix="mxlab-rehearsal-") as name:
        folder = Path(name)
        server = ClassServer(plan, folder / "class", places=ports)
        async with (
            serving_class(server, listen("127.0.0.1", 0)) as root,
            local_seats(plan, ports, folder),
        ):
            yield root
