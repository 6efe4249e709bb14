"""Boards of runs that are over, asked as a client would, without a socket."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, TypeVar

import httpx

from mxlab.board.app import application
from mxlab.board.recorded import RecordedRun
from mxlab.board.replay import ReplayBoard
from mxlab.cli.recordings import simulated
from tests.support.boards import API, HOST, TOKEN

R = TypeVar("R")


@cache
def played(name: str) -> RecordedRun:
    """That story, simulated once, with its messages."""
    return simulated(name, None)


class ReplayClient:
    """A client of a replay's board. `ask` returns the JSON of a good reply."""

    def __init__(self, client: httpx.AsyncClient, board: ReplayBoard) -> None:
        self.client, self.board = client, board

    async def ask(self, path: str, body: Any = None) -> Any:
        reply = await self.reply("GET" if body is None else "POST", path, body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def reply(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return await self.client.request(method, API + path, json=body)

    async def until_ended(self) -> None:
        """Wait for the end of the run."""
        async with asyncio.timeout(30):
            while not (self.board.replay.ended and not self.board.replay.playing):
                await self.board.feed.more(self.board.feed.last)


def on_replay(
    run: RecordedRun, story: Callable[[ReplayClient], Awaitable[R]], *, playing: bool = False
) -> R:
    """Run `story` with a board that replays the run: from its beginning, where it stands unless it
    is `playing`."""

    async def with_board() -> R:
        board = ReplayBoard(run, playing=playing)
        transport = httpx.ASGITransport(app=application(board, TOKEN, [HOST]))
        headers = {"authorization": f"Bearer {TOKEN}"}
        live = asyncio.create_task(board.live())
        try:
            async with httpx.AsyncClient(
                transport=transport, base_url=f"http://{HOST}", headers=headers
            ) as client:
                await board.feed.more(0)
                return await story(ReplayClient(client, board))
        finally:
            live.cancel()
            await asyncio.gather(live, return_exceptions=True)

    return asyncio.run(with_board())
