"""What stands before the class server: who asks, from which page, how much and how slowly.

Everything but /health needs a token: the seats' own (/internal) their secret, people theirs. No
address that is asked for is ever logged, since a token may stand in it.
"""

import asyncio
import math
from collections.abc import Callable, Iterable
from urllib.parse import parse_qsl

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mxlab.board.guard import POLICY, Bounded, headers_of, refuse, with_defaults
from mxlab.board.views import Trouble
from mxlab.classroom.door import Door, Person, WrongTokens, bearer, stranger

PAGE_POLICY = POLICY.replace("frame-ancestors 'none'", "frame-ancestors 'self'")
LARGEST = 300_000  # bytes of a body, but of those that are led to a seat
OPEN = ("/health", "/page/")  # paths that need no token
_ENTRY = "/join/"
_WRONG = Trouble("no token, or a wrong one", "open the address of your card, or of the teacher's")


class Porter:
    """ASGI before the application, which finds the Person in scope["state"]["who"]. `names`: by
    which this server may be called, beside addresses and localhost; `joined`: told of each who
    shows a token."""

    def __init__(
        self, app: ASGIApp, door: Door, names: Iterable[str], joined: Callable[[Person], object]
    ) -> None:
        self._app, self._door, self._names = app, door, tuple(names)
        self._joined, self._wrong = joined, WrongTokens()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers, path = headers_of(scope), scope["path"]
        scope = {**scope, "state": {**scope.get("state", {}), "who": None}}
        if path.startswith("/internal/") and scope["type"] == "http":
            await self._pass_on(scope, receive, send)
        elif wrong := stranger(headers, self._names):
            await self._turn_away(scope, receive, send, 403, wrong)
        elif scope["type"] == "websocket" and "origin" not in headers and not bearer(headers):
            await self._turn_away(scope, receive, send, 403, Trouble("no origin", ""))
        elif (shown := _shown(scope)) and path != "/health":
            await self._entry(scope, receive, send, shown)
        elif path == OPEN[0] or path.startswith(OPEN[1]):
            await self._pass_on(scope, receive, send)
        else:
            await self._known(scope, headers, receive, send)

    async def _known(
        self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send
    ) -> None:
        who = self._door.of_cookie(headers.get("cookie", ""))
        if who is None and bearer(headers):
            if wait := self._wait(scope):
                await self._hold_up(scope, receive, send, wait)
                return
            who = self._try(scope, bearer(headers))
        if who is None and scope["path"] != "/":
            await self._turn_away(scope, receive, send, 401, _WRONG)
            return
        scope["state"]["who"] = who
        await self._pass_on(scope, receive, send)

    async def _entry(self, scope: Scope, receive: Receive, send: Send, token: str) -> None:
        if wait := self._wait(scope):
            await self._hold_up(scope, receive, send, wait)
        elif who := self._try(scope, token):
            self._joined(who)
            scope["state"]["who"] = who
            scope = {**scope, "path": _ENTRY, "raw_path": _ENTRY.encode(), "query_string": b""}
            cookie = self._door.set_cookie(who).encode()
            await self._pass_on(scope, receive, send, (b"set-cookie", cookie))
        else:
            await self._turn_away(scope, receive, send, 401, _WRONG)

    def _try(self, scope: Scope, token: str) -> Person | None:
        who = self._door.of_token(token)
        if who is None:
            self._wrong.note(_address(scope), _now())
        return who

    def _wait(self, scope: Scope) -> float:
        return self._wrong.wait(_address(scope), _now())

    async def _hold_up(self, scope: Scope, receive: Receive, send: Send, wait: float) -> None:
        seconds = math.ceil(wait)
        text = "too many wrong tokens came from your network"
        why = Trouble(text, f"try again in {seconds} s")
        await self._turn_away(scope, receive, send, 429, why, (b"retry-after", b"%d" % seconds))

    async def _turn_away(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        status: int,
        why: Trouble,
        *more: tuple[bytes, bytes],
    ) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif more:
            start = with_defaults([(b"content-type", b"application/json"), *more])
            await send({"type": "http.response.start", "status": status, "headers": start})
            await send({"type": "http.response.body", "body": msgspec.json.encode(why)})
        else:
            await refuse(send, status, why)

    async def _pass_on(
        self, scope: Scope, receive: Receive, send: Send, *more: tuple[bytes, bytes]
    ) -> None:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = with_defaults([*message.get("headers", []), *more])
            await send(message)

        if scope["type"] == "http" and not scope["path"].startswith("/seat/"):
            receive = Bounded(receive, LARGEST).receive
        await self._app(scope, receive, answer)


def _shown(scope: Scope) -> str:
    """The token in the address, as it stands there once."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return ""
    path: str = scope["path"]
    if path.startswith(_ENTRY):
        return path.removeprefix(_ENTRY)
    if path != "/":
        return ""
    query: bytes = scope.get("query_string", b"")
    return dict(parse_qsl(query.decode("latin-1"))).get("token", "")


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("", 0))[0])


def _now() -> float:
    return asyncio.get_running_loop().time()
