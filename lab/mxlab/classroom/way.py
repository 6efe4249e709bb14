"""The way to the seats: HTTP, events and WebSockets below /seat/K/ led to that seat's board.

A seat is its student's, and not trusted: nothing that it sends may act as a page of ours. The
page's own files come from here; of a seat's reply only a few header fields are kept, and whatever
it sends is shut in a sandbox without scripts. A seat is known by its number before it is ever
looked up; its connections are its own, so that one seat cannot take the others' place.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from mxlab.board.guard import Bounded
from mxlab.classroom.plan import ClassPlan, SeatPlan
from mxlab.classroom.roll import Roll
from mxlab.errors import EnvironmentProblem, LabError, Refused

URL = "http://seat-{number}:8025"
CONNECTIONS = 40  # to one seat at a time
LOOK_UP = httpx.Timeout(connect=3.0, read=700.0, write=20.0, pool=2.0)  # /wait may take 600
FRAME = 1_000_000  # bytes of a WebSocket's message
SANDBOX = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_TO_SEAT = ("accept", "accept-language", "content-type", "last-event-id", "range")
_FROM_SEAT = ("content-type", "content-disposition", "allow", "retry-after", "content-range")


class SeatAway(EnvironmentProblem):
    """A seat does not answer now."""

    def __init__(self, seat: int) -> None:
        super().__init__(f"seat {seat} does not answer", "it is starting again, or has no room")


class Way:
    """To all seats of a class. `url`: of a seat's board, with `{number}` and `{port}` (8025 and
    the number) in it; `places`: ports of loopback instead, by seat. A seat that does not
    answer is noted in `roll`."""

    def __init__(
        self,
        plan: ClassPlan,
        roll: Roll,
        url: str = URL,
        places: Mapping[int, int] | None = None,
    ) -> None:
        self._places = places or {}
        self._seats = {seat.number: seat for seat in plan.seats}
        self._roll, self._url = roll, url
        self._clients: dict[int, httpx.AsyncClient] = {}

    def seat(self, text: str) -> SeatPlan | None:
        """The seat of that number, as it is written in an address; None: there is none."""
        known = text.isascii() and text.isdecimal() and str(int(text[:6])) == text
        return self._seats.get(int(text)) if known else None

    def place(self, seat: SeatPlan) -> str:
        """The root of a seat's board."""
        if seat.number in self._places:
            return f"http://127.0.0.1:{self._places[seat.number]}"
        return self._url.format(number=seat.number, port=8025 + seat.number)

    def _client(self, seat: SeatPlan) -> httpx.AsyncClient:
        if seat.number not in self._clients:
            self._clients[seat.number] = httpx.AsyncClient(
                base_url=self.place(seat), timeout=LOOK_UP, trust_env=False,
                limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=4),
                headers={"authorization": f"Bearer {seat.secret}", "accept-encoding": "identity"},
            )  # fmt: skip
        return self._clients[seat.number]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def lead(self, request: Request, seat: SeatPlan) -> Response:
        """A request to a seat, and its reply, as they come. Raises SeatAway, BadBody."""
        headers = {name: request.headers[name] for name in _TO_SEAT if name in request.headers}
        path = request.scope.get("raw_path", request.url.path.encode()).decode("latin-1")
        query = request.scope.get("query_string", b"").decode("latin-1")
        body = await Request(request.scope, Bounded(request.receive).receive).body()
        client = self._client(seat)
        asked = client.build_request(
            request.method, path + (f"?{query}" if query else ""), headers=headers, content=body
        )
        reply = await self._send(client, asked, seat)
        kept = {name: reply.headers[name] for name in _FROM_SEAT if name in reply.headers}
        kept |= {"content-security-policy": SANDBOX, "x-accel-buffering": "no"}
        return StreamingResponse(self._flow(reply, seat), reply.status_code, kept)

    async def _send(
        self, client: httpx.AsyncClient, asked: httpx.Request, seat: SeatPlan
    ) -> httpx.Response:
        try:
            reply = await client.send(asked, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            busy = isinstance(error, httpx.PoolTimeout)
            self._roll.saw(seat.number, away=not busy)
            raise SeatAway(seat.number) from error
        self._roll.saw(seat.number, away=False)
        return reply

    async def _flow(self, reply: httpx.Response, seat: SeatPlan) -> AsyncIterator[bytes]:
        """What a seat replies; where it ends in the middle, the viewer's connection ends too."""
        try:
            async for block in reply.aiter_raw():
                yield block
        except httpx.HTTPError:
            self._roll.saw(seat.number, away=True)
            raise ConnectionResetError(f"seat {seat.number} broke off") from None
        finally:
            await reply.aclose()

    async def ask(self, number: int, path: str, body: Any = None) -> Any:
        """What a seat's API says; with a body, a POST. Raises SeatAway, Refused with its words."""
        seat = self._seats[number]
        client, method = self._client(seat), "GET" if body is None else "POST"
        asked = client.build_request(method, f"/seat/{number}/api/v1{path}", json=body)
        reply = await self._send(client, asked, seat)
        try:
            said = (await reply.aread()) and reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise SeatAway(number) from error
        finally:
            await reply.aclose()
        if reply.status_code != 200:
            text = said.get("error", "") if isinstance(said, dict) else ""
            raise Refused(f"seat {number}: {text or f'status {reply.status_code}'}")
        return said

    async def lead_socket(self, socket: WebSocket, seat: SeatPlan) -> None:
        """A WebSocket to a seat, until either end closes it."""
        place = self.place(seat)
        path = socket.scope.get("raw_path", socket.url.path.encode()).decode("latin-1")
        query = socket.scope.get("query_string", b"").decode("latin-1")
        url = "ws" + place.removeprefix("http") + path + (f"?{query}" if query else "")
        try:
            async with connect(
                url, origin=place, max_size=FRAME, open_timeout=5, close_timeout=2, proxy=None,  # type: ignore[arg-type]
                additional_headers={"authorization": f"Bearer {seat.secret}"},
                subprotocols=socket.scope.get("subprotocols") or None,
            ) as other:  # fmt: skip
                self._roll.saw(seat.number, away=False)
                await socket.accept(subprotocol=other.subprotocol)
                await _both_ways(socket, other)
        except InvalidHandshake:
            await _close(socket, 1008, "the seat refuses it")
        except (OSError, TimeoutError):
            self._roll.saw(seat.number, away=True)
            await _close(socket, 1013, "the seat does not answer")


async def _both_ways(socket: WebSocket, seat: ClientConnection) -> None:
    """Pass messages on, until one side ends; then both have ended."""
    ways = [asyncio.create_task(_to_seat(socket, seat)), asyncio.create_task(_back(socket, seat))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
    code = seat.close_code
    await _close(socket, code if code is not None and code not in (1005, 1006) else 1001, "")


async def _to_seat(socket: WebSocket, seat: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed, WebSocketDisconnect):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text, data = message.get("text"), message.get("bytes")
            await seat.send(text if text is not None else data or b"")


async def _back(socket: WebSocket, seat: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed, WebSocketDisconnect):
        async for message in seat:
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)


async def _close(socket: WebSocket, code: int, why: str) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect, LabError):
        await socket.close(code, why)
