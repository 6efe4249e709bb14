"""A board over a simulated lab, asked as a client would, without a socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import httpx

from mxlab.backends.base import Lab
from mxlab.backends.sim.backend import SimLab
from mxlab.board.app import application
from mxlab.board.board import Board
from mxlab.board.desk import Desk
from mxlab.errors import NotUp
from tests.support.stories import in_lab

R = TypeVar("R")
TOKEN, HOST = "a-token-of-tests", "127.0.0.1:8025"
API = "/api/v1"


class Asking:
    """A client that knows the token. `get` and the others return the JSON of a good reply."""

    def __init__(self, client: httpx.AsyncClient, board: Board, lab: SimLab) -> None:
        self.client, self.board, self.lab = client, board, lab
        self.is_up = True

    async def get(self, path: str, **query: Any) -> Any:
        return self._good(await self.client.get(API + path, params=query))

    async def send(self, method: str, path: str, body: Any = None) -> Any:
        return self._good(await self.client.request(method, API + path, json=body))

    async def status(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Of a reply that may be bad: its code, and what it says went wrong."""
        reply = await self.client.request(method, API + path, json=body)
        return reply.status_code, reply.json().get("error", "")

    def _good(self, reply: httpx.Response) -> Any:
        assert reply.status_code == 200, reply.text
        return reply.json()


def on_board(
    story: Callable[[Asking], Awaitable[R]],
    desk: Desk | None = None,
    base: str = "",
    **changes: Any,
) -> R:
    """Run `story` with a board over a simulated lab; `changes` are made to the topology."""

    async def with_board(lab: SimLab) -> R:

        @contextlib.asynccontextmanager
        async def attach() -> AsyncIterator[Lab]:
            if not asking.is_up:
                raise NotUp("no lab is up")
            yield lab

        board = Board("lab", attach, desk)
        app = application(board, TOKEN, [HOST], base)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url=f"http://{HOST}",
            headers={"authorization": f"Bearer {TOKEN}"},
        )
        asking = Asking(client, board, lab)
        following = asyncio.create_task(board.live())
        try:
            assert await board.until_up(10)
            return await story(asking)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    return in_lab(with_board, **changes)
